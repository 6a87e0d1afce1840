//! RST segments.

use tcpwatch_common::{counters::state_slot, flow::Family as AddressFamily, tcp_state::TcpState};

use super::Family;
use crate::model::Snapshot;

/// The states that an accepted RST can hit (callers of tcp_reset(), net/ipv4/tcp_input.c): always
/// shown, the others only where a kernel has counted one.
const HIT: [TcpState; 8] = [
    TcpState::Established,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Closing,
];

/// The families of this file.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut total = Family::counter(
        "tcpwatch_resets_total",
        "RST segments; received ones by the state of the socket they hit, at tracepoint tcp:tcp_receive_reset.",
    );
    for state in TcpState::ALL {
        for family in AddressFamily::ALL {
            let count = snapshot.counters.resets_received[state_slot(state.raw(), family)];
            if HIT.contains(&state) || count != 0 {
                total.count(
                    &[
                        ("direction", "received"),
                        ("reason", state.label()),
                        ("family", family.label()),
                    ],
                    count,
                );
            }
        }
    }
    vec![total]
}
