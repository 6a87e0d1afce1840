//! Connect attempts: outcomes, how long they took, and those that wait for an answer.

use tcpwatch_common::{
    counters::outcome_slot, flow::Family as AddressFamily, histogram::CONNECT_BOUNDS_NS,
    outcome::Outcome,
};

use super::Family;
use crate::model::Snapshot;

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let counters = &snapshot.counters;

    let mut total = Family::counter(
        "tcpwatch_connects_total",
        "Connect attempts that ended, told apart by sk_err, sk_err_soft and received RSTs at the sock:inet_sock_set_state that ended them.",
    );
    for outcome in Outcome::ALL {
        for family in AddressFamily::ALL {
            total.count(
                &[("outcome", outcome.label()), ("family", family.label())],
                counters.connects[outcome_slot(outcome as u8, family)],
            );
        }
    }

    let mut duration = Family::histogram(
        "tcpwatch_connect_duration_seconds",
        "Time from CLOSE -> SYN_SENT to the end of the attempt, between two calls of tracepoint sock:inet_sock_set_state.",
    );
    for (outcome, latency) in Outcome::ALL.into_iter().zip(&counters.connect_latency) {
        duration.distribution(
            &[("outcome", outcome.label())],
            &CONNECT_BOUNDS_NS,
            &latency.buckets,
            latency.sum_ns,
        );
    }

    let mut stalled = Family::gauge(
        "tcpwatch_syn_sent_stalled",
        "Connect attempts under way with at least one SYN retransmit (tracepoint tcp:tcp_retransmit_skb) or older than syn_sent.stall_after.",
    );
    stalled.count(&[], snapshot.stalled() as u64);

    let mut stalls = Family::counter(
        "tcpwatch_syn_sent_stalls_total",
        "Connect attempts that sent their SYN a second time, counted in the kernel at tracepoint tcp:tcp_retransmit_skb.",
    );
    stalls.count(&[], counters.syn_stalls.iter().sum());

    let mut unfollowed = Family::counter(
        "tcpwatch_handshakes_unfollowed_total",
        "Handshakes whose start (before the agent, table full, or missed) or end (missed; found out at tracepoint tcp:tcp_destroy_sock) was not seen.",
    );
    unfollowed.count(&[("lost", "start")], counters.handshakes_unknown);
    unfollowed.count(&[("lost", "end")], counters.handshakes_unended);

    vec![total, duration, stalled, stalls, unfollowed]
}
