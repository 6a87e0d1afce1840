//! `/metrics` as a whole: the promised names, the promised label sets, and sums that mean something.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use tcpwatch::{metrics, model::Snapshot};
use tcpwatch_common::{counters::Counters, outcome::Outcome, tcp_state::TRANSITIONS};

fn render(snapshot: &Snapshot) -> String {
    metrics::render(snapshot).unwrap()
}

/// A snapshot of a host where nothing has happened yet.
fn quiet() -> Snapshot {
    let mut snapshot = common::snapshot();
    snapshot.counters = Box::new(Counters::ZERO);
    snapshot.polled = None;
    snapshot.connections.clear();
    snapshot
}

/// Every series and its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The sum of the series whose text starts with `prefix` and holds `label`.
fn sum(text: &str, prefix: &str, label: &str) -> f64 {
    series(text)
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && name.contains(label))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn the_text_is_the_golden_one() {
    common::check_golden("metrics.txt", &render(&common::snapshot()));
}

#[test]
fn every_promised_name_has_its_type() {
    let text = render(&quiet());
    for (name, kind) in [
        ("tcpwatch_state_transitions_total", "counter"),
        ("tcpwatch_sockets", "gauge"),
        ("tcpwatch_state_oldest_seconds", "gauge"),
        ("tcpwatch_connects_total", "counter"),
        ("tcpwatch_connect_duration_seconds", "histogram"),
        ("tcpwatch_syn_sent_stalled", "gauge"),
        ("tcpwatch_syn_sent_stalls_total", "counter"),
        ("tcpwatch_retransmits_total", "counter"),
        ("tcpwatch_retransmit_failures_total", "counter"),
        ("tcpwatch_resets_total", "counter"),
        ("tcpwatch_accept_queue_overflows_total", "counter"),
        ("tcpwatch_syn_queue_drops_total", "counter"),
        ("tcpwatch_syn_cookies_sent_total", "counter"),
        ("tcpwatch_probe_up", "gauge"),
        ("tcpwatch_probe_missed_total", "counter"),
        ("tcpwatch_events_total", "counter"),
        ("tcpwatch_events_lost_total", "counter"),
        ("tcpwatch_events_undecodable_total", "counter"),
        ("tcpwatch_table_entries", "gauge"),
        ("tcpwatch_table_capacity", "gauge"),
        ("tcpwatch_table_full_total", "counter"),
        ("tcpwatch_build_info", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_max_fds", "gauge"),
        ("process_start_time_seconds", "gauge"),
    ] {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
}

#[test]
fn every_family_has_one_sentence_of_help_and_a_name_that_fits_its_type() {
    let text = render(&common::snapshot());
    let helps: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let types: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert_eq!(helps.len(), types.len(), "a family is there once");
    for (name, help) in helps {
        assert!(help.ends_with('.'), "{name}: {help}");
        assert!(!help.contains(". "), "{name}: {help}");
    }
    for (name, kind) in types {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
}

#[test]
fn every_series_of_a_fixed_label_set_is_there_from_the_start() {
    let text = render(&quiet());
    let check = |prefix: &str, expected: usize| {
        let all = series(&text);
        let names: Vec<_> = all.keys().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(names.len(), expected, "{prefix}: {names:?}");
    };
    check("tcpwatch_state_transitions_total{", TRANSITIONS.len() * 2);
    check("tcpwatch_sockets{", 2);
    check("tcpwatch_state_oldest_seconds{", 1);
    check("tcpwatch_connects_total{", Outcome::ALL.len() * 2);
    check(
        "tcpwatch_connect_duration_seconds_bucket{",
        Outcome::ALL.len() * 23,
    );
    check("tcpwatch_connect_duration_seconds_sum{", Outcome::ALL.len());
    check(
        "tcpwatch_connect_duration_seconds_count{",
        Outcome::ALL.len(),
    );
    check("tcpwatch_syn_sent_stalled", 1);
    check("tcpwatch_syn_sent_stalls_total", 1);
    check("tcpwatch_retransmits_total{", 4);
    check("tcpwatch_retransmit_failures_total", 1);
    check("tcpwatch_resets_total{", 16);
    check("tcpwatch_accept_queue_overflows_total{", 5);
    check("tcpwatch_syn_queue_drops_total{", 5);
    check("tcpwatch_syn_cookies_sent_total{", 3);
    check("tcpwatch_events_total{", 2);
    check("tcpwatch_events_lost_total{", 2);
    for (name, value) in series(&text) {
        let counted = name.starts_with("tcpwatch_")
            && !["probe", "table", "build", "events_undecodable"]
                .iter()
                .any(|own| name.starts_with(&format!("tcpwatch_{own}")));
        assert!(!counted || value == 0.0, "{name} {value}");
    }
}

#[test]
fn a_sum_over_labels_is_the_whole() {
    let snapshot = common::snapshot();
    let text = render(&snapshot);
    let check = |prefix: &str, label: &str, expected: f64| {
        assert_eq!(sum(&text, prefix, label), expected, "{prefix} {label}");
    };
    check("tcpwatch_state_transitions_total{", "", 223.0);
    check("tcpwatch_connects_total{", "", 109.0);
    check("tcpwatch_connects_total{", "\"timed_out\"", 12.0);
    check("tcpwatch_connect_duration_seconds_count{", "", 109.0);
    check("tcpwatch_connect_duration_seconds_bucket{", "+Inf", 109.0);
    check("tcpwatch_syn_sent_stalls_total", "", 15.0);
    check("tcpwatch_syn_sent_stalled", "", 2.0);
    check("tcpwatch_retransmits_total{", "", 74.0);
    check("tcpwatch_retransmits_total{", "\"syn\"", 70.0);
    check("tcpwatch_retransmit_failures_total", "", 2.0);
    check("tcpwatch_resets_total{", "", 8.0);
    check("tcpwatch_sockets{", "syn_sent", 3.0);
    check("tcpwatch_sockets{", "\"ipv6\"", 2.0);
    check("tcpwatch_state_oldest_seconds{", "", 65.0);
    check("tcpwatch_events_total{", "", 40.0);
    check("tcpwatch_events_lost_total{", "", 5.0);
    check("tcpwatch_table_full_total{", "handshakes", 2.0);
    check("tcpwatch_accept_queue_overflows_total{", "", 11.0);
    check("tcpwatch_syn_queue_drops_total{", "", 23.0);
    check("tcpwatch_syn_cookies_sent_total{", "", 17.0);
    check("tcpwatch_probe_up{", "", 3.0);
}

#[test]
fn buckets_are_cumulated_and_bounded_in_seconds() {
    let text = render(&common::snapshot());
    let all = series(&text);
    let bucket = |le: &str| {
        all[&format!(
            "tcpwatch_connect_duration_seconds_bucket{{outcome=\"timed_out\",le=\"{le}\"}}"
        )]
    };
    for bound in [
        "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
        "0.25", "0.5", "0.9", "1.5", "2.5", "3.5", "5", "8", "16", "32", "64",
    ] {
        assert_eq!(bucket(bound), 0.0, "{bound}");
    }
    assert_eq!(bucket("132"), 10.0);
    assert_eq!(bucket("+Inf"), 12.0);
    assert_eq!(
        all["tcpwatch_connect_duration_seconds_sum{outcome=\"timed_out\"}"],
        1576.0
    );
}

#[test]
fn what_is_not_known_is_absent() {
    let mut snapshot = common::snapshot();
    let text = render(&snapshot);
    assert!(text.contains("tcpwatch_probe_missed_total{probe=\"inet_sock_set_state\"} 3\n"));
    assert!(!text.contains("tcpwatch_probe_missed_total{probe=\"tcp_receive_reset\""));
    assert!(
        text.contains("tcpwatch_probe_up{probe=\"tcp_receive_reset\",hook=\"tracepoint\"} 0\n")
    );

    for probe in &mut snapshot.probes {
        probe.missed = None;
    }
    snapshot.agent.process = tcpwatch::model::ProcessStats::default();
    snapshot.tables.clear();
    let text = render(&snapshot);
    for name in ["tcpwatch_probe_missed", "process_", "tcpwatch_table_"] {
        assert!(!text.contains(name), "{name}");
    }
}

#[test]
fn label_values_are_escaped() {
    let mut snapshot = common::snapshot();
    snapshot.agent.kernel = "6.1\"\\\n".to_owned();
    let text = render(&snapshot);
    assert!(text.contains("kernel=\"6.1\\\"\\\\\\n\"} 1\n"), "{text}");
}
