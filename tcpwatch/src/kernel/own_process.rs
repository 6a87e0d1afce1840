//! What the daemon's own process uses, read from /proc/self.

use std::time::Duration;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::clock;
use crate::model::ProcessStats;

/// Reads everything; what cannot be read is unknown. `started` is what an earlier call found: it
/// must not move with the wall clock.
#[must_use]
pub fn stats(started: Option<Duration>) -> ProcessStats {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = after_comm(&stat);
    let ticks = |value: u64| {
        Duration::from_millis(value.saturating_mul(1000) / clock_ticks_per_second().max(1))
    };
    let field = |number: usize| {
        fields
            .get(number - 3)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let open = std::fs::read_dir("/proc/self/fd").ok();
    ProcessStats {
        cpu: field(14)
            .zip(field(15))
            .map(|(user, system)| ticks(user + system)),
        virtual_bytes: field(23),
        resident_bytes: field(24).map(|pages| pages * page_size() as u64),
        // The one that lists them is not counted.
        open_fds: open.map(|open| (open.count() as u64).saturating_sub(1)),
        max_fds: getrlimit(Resource::Nofile).current,
        started: started.or_else(|| field(22).map(ticks).and_then(since_epoch)),
    }
}

/// The fields of /proc/PID/stat from the third on; the second, in brackets, may hold anything.
fn after_comm(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default()
}

/// The kernel gives the start in time since boot.
fn since_epoch(since_boot: Duration) -> Option<Duration> {
    let boot = clock::boot_offset();
    u64::try_from(boot)
        .ok()
        .map(|boot| Duration::from_nanos(boot) + since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_move_the_fields() {
        let fields = after_comm("12 (a ) b) S 1 2 3");
        assert_eq!(fields, ["S", "1", "2", "3"]);
        assert!(after_comm("").is_empty());
    }

    #[test]
    fn this_process_is_seen() {
        let stats = stats(None);
        assert!(stats.resident_bytes.unwrap() > 100_000);
        assert!(stats.open_fds.unwrap() >= 3);
        let started = stats.started.unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(started <= now && now - started < Duration::from_secs(3600));
        assert_eq!(super::stats(Some(started)).started, Some(started));
    }
}
