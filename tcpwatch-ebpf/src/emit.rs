//! Ring records: reserve, fill, submit; a record that finds no room is counted as lost.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    maps::RingBuf,
};
use tcpwatch_common::{
    counters::{Counters, Ring},
    wire::Record,
};

use crate::maps::{EVENTS, TRANSITIONS, add};

/// The reader is woken when this much waits for it; below, its drain timer finds the records.
/// A wake-up costs 2-6 us, a record that waits costs nothing.
const WAKE_ABOVE_BYTES: u64 = 64 * 1024;

/// Writes one record to `ring`: `fill` writes every field in place, since a record built on the
/// 512-byte stack first would not fit beside the rest.
#[inline(always)]
pub fn emit<T: Record + 'static>(counters: &Counters, ring: Ring, fill: impl FnOnce(&mut T)) {
    let map: &RingBuf = match ring {
        Ring::Events => &EVENTS,
        Ring::Transitions => &TRANSITIONS,
    };
    add(&counters.events[ring as usize], 1);
    let Some(mut entry) = map.reserve::<T>(0) else {
        add(&counters.events_lost[ring as usize], 1);
        return;
    };
    // SAFETY: the reserved bytes are pages that the kernel allocated zeroed, or older records:
    // never uninitialised, and every bit pattern is a valid plain old data record.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    // A look at the fill level costs as much as filling the record: one in 32 looks.
    let looks = counters.events[ring as usize].is_multiple_of(32);
    let flags = if looks && map.query(u64::from(BPF_RB_AVAIL_DATA)) >= WAKE_ABOVE_BYTES {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    entry.submit(u64::from(flags));
}

/// Copies plain old data in words; the compiler would call a function that copies bytes.
#[inline(always)]
pub fn copy<T: Record>(from: &T, to: &mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let (from, to) = (
        core::ptr::from_ref(from).cast::<u64>(),
        core::ptr::from_mut(to).cast::<u64>(),
    );
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: both are a whole `T`, aligned to 8 bytes, and word is below its length in words.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
    }
}
