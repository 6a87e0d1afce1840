//! The daemon's own process, under the names that every Prometheus client library uses.

use super::Family;
use crate::model::Snapshot;

/// The families of this file; what could not be read is absent.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let stats = &snapshot.agent.process;
    let mut families = Vec::new();
    let mut add = |mut family: Family, value: Option<f64>| {
        if let Some(value) = value {
            family.value(&[], value);
            families.push(family);
        }
    };
    let count = |value: Option<u64>| value.map(|value| value as f64);
    add(
        Family::counter(
            "process_cpu_seconds_total",
            "User and system CPU time of tcpwatch in seconds, from /proc/self/stat.",
        ),
        stats.cpu.map(|cpu| cpu.as_secs_f64()),
    );
    add(
        Family::gauge(
            "process_resident_memory_bytes",
            "Resident memory of tcpwatch, from /proc/self/stat.",
        ),
        count(stats.resident_bytes),
    );
    add(
        Family::gauge(
            "process_virtual_memory_bytes",
            "Virtual memory of tcpwatch, from /proc/self/stat.",
        ),
        count(stats.virtual_bytes),
    );
    add(
        Family::gauge(
            "process_open_fds",
            "File descriptors that tcpwatch has open, from /proc/self/fd.",
        ),
        count(stats.open_fds),
    );
    add(
        Family::gauge(
            "process_max_fds",
            "File descriptors that tcpwatch may open: its soft RLIMIT_NOFILE.",
        ),
        count(stats.max_fds),
    );
    add(
        Family::gauge(
            "process_start_time_seconds",
            "When tcpwatch started, in seconds since the Unix epoch, from /proc/self/stat.",
        ),
        stats.started.map(|started| started.as_secs_f64()),
    );
    families
}
