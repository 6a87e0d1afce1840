//! The two clocks: what the kernel stamps records with, and what people read.

use rustix::time::{ClockId, clock_gettime};

use crate::model::Clock;

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// CLOCK_MONOTONIC in nanoseconds: the clock of `bpf_ktime_get_ns`.
#[must_use]
pub fn monotonic_ns() -> u64 {
    u64::try_from(nanoseconds(ClockId::Monotonic)).unwrap_or(0)
}

/// How far the wall clock is ahead of CLOCK_MONOTONIC now.
#[must_use]
pub fn wall_clock() -> Clock {
    Clock {
        offset_ns: nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Monotonic),
    }
}

/// How far the wall clock is ahead of CLOCK_BOOTTIME, in nanoseconds: the moment of boot.
pub(super) fn boot_offset() -> i128 {
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}
