//! The agent itself: probes, rings, tables and the build.

use tcpwatch_common::counters::Ring;

use super::Family;
use crate::model::Snapshot;

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families = probes(snapshot);
    families.extend(rings(snapshot));
    families.extend(tables(snapshot));
    families.push(build_info(snapshot));
    families
}

fn probes(snapshot: &Snapshot) -> Vec<Family> {
    let mut up = Family::gauge(
        "tcpwatch_probe_up",
        "Whether the probe is attached to the kernel hook that its label names; the status route says why not.",
    );
    let mut missed = Family::counter(
        "tcpwatch_probe_missed_total",
        "Events that the kernel did not show the probe lest it interrupt itself: recursion_misses of its bpf_prog_info (5.12 and later).",
    );
    for probe in &snapshot.probes {
        up.count(
            &[("probe", probe.name), ("hook", probe.hook.label())],
            u64::from(probe.unavailable.is_none()),
        );
        if let Some(count) = probe.missed {
            missed.count(&[("probe", probe.name)], count);
        }
    }
    vec![up, missed]
}

fn rings(snapshot: &Snapshot) -> Vec<Family> {
    let mut records = Family::counter(
        "tcpwatch_events_total",
        "Records that the eBPF programs had for a ring, those that found it full included.",
    );
    let mut lost = Family::counter(
        "tcpwatch_events_lost_total",
        "Records for which the eBPF ring buffer had no room: detail that is missing, never a count.",
    );
    for ring in Ring::ALL {
        let labels = [("ring", ring.label())];
        records.count(&labels, snapshot.counters.events[ring as usize]);
        lost.count(&labels, snapshot.counters.events_lost[ring as usize]);
    }
    let mut undecodable = Family::counter(
        "tcpwatch_events_undecodable_total",
        "Records read from an eBPF ring buffer that this build does not understand: a bug or a mixed build.",
    );
    for ring in &snapshot.rings {
        undecodable.count(&[("ring", ring.name)], ring.undecodable);
    }
    vec![records, lost, undecodable]
}

fn tables(snapshot: &Snapshot) -> Vec<Family> {
    let mut entries = Family::gauge(
        "tcpwatch_table_entries",
        "Entries of a bounded table now, eBPF maps included.",
    );
    let mut capacity = Family::gauge(
        "tcpwatch_table_capacity",
        "How many entries a bounded table holds at most (max_entries of an eBPF map).",
    );
    let mut full = Family::counter(
        "tcpwatch_table_full_total",
        "Entries that found a bounded table full (E2BIG of an eBPF map update) and were left out.",
    );
    for table in &snapshot.tables {
        let labels = [("table", table.name)];
        entries.count(&labels, table.entries);
        capacity.count(&labels, table.capacity);
        full.count(&labels, table.full);
    }
    vec![entries, capacity, full]
}

fn build_info(snapshot: &Snapshot) -> Family {
    let agent = &snapshot.agent;
    let mut info = Family::gauge(
        "tcpwatch_build_info",
        "Always 1: the version and source revision of tcpwatch and the running kernel's release (uname).",
    );
    info.count(
        &[
            ("version", agent.version),
            ("revision", agent.revision),
            ("kernel", &agent.kernel),
        ],
        1,
    );
    info
}
