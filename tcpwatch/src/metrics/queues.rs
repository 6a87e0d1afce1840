//! A listener's queues: what found them full.

use tcpwatch_common::{
    counters::{Stage, SynDrop, overflow_slot, syn_drop_slot},
    flow::Family as AddressFamily,
};

use super::Family;
use crate::model::Snapshot;

/// What polling cannot tell.
const UNKNOWN: &str = "unknown";

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let counters = &snapshot.counters;
    let polled = snapshot.polled.unwrap_or_default();

    let mut overflows = Family::counter(
        "tcpwatch_accept_queue_overflows_total",
        "SYNs and final ACKs that found the accept queue full, at tcp_conn_request and tcp_v4/v6_syn_recv_sock; stage and family are unknown where ListenOverflows is polled instead.",
    );
    for stage in Stage::ALL {
        for family in AddressFamily::ALL {
            overflows.count(
                &[("stage", stage.label()), ("family", family.label())],
                counters.accept_queue_overflows[overflow_slot(stage, family)],
            );
        }
    }
    overflows.count(
        &[("stage", UNKNOWN), ("family", UNKNOWN)],
        polled.accept_queue_overflows,
    );

    let mut drops = Family::counter(
        "tcpwatch_syn_queue_drops_total",
        "SYNs dropped for want of room in the SYN queue, at tcp_conn_request and tcp_peer_is_proven; cause and family are unknown where TCPReqQFullDrop is polled instead, which lacks those of the last quarter.",
    );
    for cause in SynDrop::ALL {
        for family in AddressFamily::ALL {
            drops.count(
                &[("cause", cause.label()), ("family", family.label())],
                counters.syn_queue_drops[syn_drop_slot(cause, family)],
            );
        }
    }
    drops.count(
        &[("cause", UNKNOWN), ("family", UNKNOWN)],
        polled.syn_queue_drops,
    );

    let mut cookies = Family::counter(
        "tcpwatch_syn_cookies_sent_total",
        "SYN cookies sent, at cookie_v4/v6_init_sequence; the family is unknown where SyncookiesSent is polled instead.",
    );
    for family in AddressFamily::ALL {
        cookies.count(
            &[("family", family.label())],
            counters.syn_cookies_sent[family as usize],
        );
    }
    cookies.count(&[("family", UNKNOWN)], polled.syn_cookies_sent);

    vec![overflows, drops, cookies]
}
