//! RSTs that a full socket accepted.
//!
//! Hook: tp_btf tcp_receive_reset `(struct sock *sk)`, 4.16 and later. It fires just before the
//! state changes; request and timewait sockets do not come here, nor does a RST that the kernel
//! ignored. No counter of the kernel's agrees with it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tcpwatch_common::{counters::state_slot, handshake::RESET_RECEIVED, tcp_state::TcpState};

use crate::{
    emit::copy,
    handshakes,
    kernel::Sock,
    maps::{add, cell, counters},
};

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock::new(ctx.arg(0));
    if !sk.is_watched() {
        return 0;
    }
    let Some(counters) = counters() else { return 0 };
    let state = sk.state();
    let slot = state_slot(state, sk.family());
    add(cell(&counters.resets_received, slot), 1);
    if state != TcpState::SynSent.raw() && state != TcpState::SynRecv.raw() {
        return 0;
    }
    if let Some(entry) = handshakes::find(sk) {
        entry.flags |= RESET_RECEIVED;
    } else if state == TcpState::SynSent.raw()
        && let Some(entry) = handshakes::claim(counters, sk)
    {
        // An attempt from before the agent: its outcome needs this one fact.
        copy(&handshakes::EMPTY, entry);
        entry.flags = RESET_RECEIVED;
        entry.state = state;
    }
    0
}
