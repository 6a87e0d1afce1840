//! Segments sent again.

use tcpwatch_common::flow::Family as AddressFamily;

use super::Family;
use crate::model::Snapshot;

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let counters = &snapshot.counters;

    let mut total = Family::counter(
        "tcpwatch_retransmits_total",
        "Segments sent again, at tracepoints tcp:tcp_retransmit_skb and tcp:tcp_retransmit_synack.",
    );
    let kinds = [
        ("syn", &counters.syn_retransmits),
        ("synack", &counters.synack_retransmits),
    ];
    for (kind, counts) in kinds {
        for family in AddressFamily::ALL {
            total.count(
                &[("kind", kind), ("family", family.label())],
                counts[family as usize],
            );
        }
    }

    let mut failures = Family::counter(
        "tcpwatch_retransmit_failures_total",
        "Retransmits that the IP layer of this host refused, from the err of tracepoint tcp:tcp_retransmit_skb (kernels that show it).",
    );
    failures.count(&[], counters.retransmit_failures.iter().sum());

    vec![total, failures]
}
