//! State transitions, by pair and family.

use tcpwatch_common::{
    flow::Family as AddressFamily,
    tcp_state::{TRANSITIONS, TcpState},
};

use super::Family;
use crate::model::Snapshot;

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut total = Family::counter(
        "tcpwatch_state_transitions_total",
        "TCP state transitions, counted in the kernel at tracepoint sock:inet_sock_set_state.",
    );
    for from in TcpState::ALL {
        for to in TcpState::ALL {
            let promised = TRANSITIONS.contains(&(from, to));
            for family in AddressFamily::ALL {
                let count = snapshot.counters.transition(from, to, family);
                // A pair that no known kernel shows is not hidden where one does.
                if promised || count != 0 {
                    total.count(
                        &[
                            ("from", from.label()),
                            ("to", to.label()),
                            ("family", family.label()),
                        ],
                        count,
                    );
                }
            }
        }
    }
    vec![total]
}
