//! Sockets there are now, by state.

use tcpwatch_common::{flow::Family as AddressFamily, tcp_state::TcpState};

use super::Family;
use crate::model::{Connection, Snapshot};

/// The states that a snapshot's connections cover.
const STATES: [TcpState; 1] = [TcpState::SynSent];

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut sockets = Family::gauge(
        "tcpwatch_sockets",
        "TCP sockets in a state now: those between the sock:inet_sock_set_state that entered it and the one that left it.",
    );
    let mut oldest = Family::gauge(
        "tcpwatch_state_oldest_seconds",
        "How long the longest in a state has been there at least, by the time of its sock:inet_sock_set_state; 0 where there is none.",
    );
    for state in STATES {
        let within = |connection: &&Connection| connection.state == state;
        for family in AddressFamily::ALL {
            let count = snapshot
                .connections
                .iter()
                .filter(within)
                .filter(|connection| connection.family == family)
                .count();
            sockets.count(
                &[("state", state.label()), ("family", family.label())],
                count as u64,
            );
        }
        let age = snapshot
            .connections
            .iter()
            .filter(within)
            .map(|connection| connection.age_at_least)
            .max()
            .unwrap_or_default();
        oldest.value(&[("state", state.label())], age.as_secs_f64());
    }
    vec![sockets, oldest]
}
