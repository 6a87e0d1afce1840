//! RSTs that a full socket accepted.
//!
//! Hook: tp_btf tcp_receive_reset `(struct sock *sk)`, 4.16 and later. It fires just before the
//! state changes; request and timewait sockets do not come here, nor does a RST that the kernel
//! ignored. No counter of the kernel's agrees with it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tcpwatch_common::{
    counters::state_slot,
    handshake::{Handshake, RESET_RECEIVED},
    tcp_state::TcpState,
};

use crate::{
    kernel::Sock,
    maps::{HANDSHAKES, add, cell, counters},
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
    if let Some(entry) = HANDSHAKES.get_ptr_mut(sk.key()) {
        // SAFETY: a pointer to a map value from a look-up that succeeded; tcp_reset() runs with
        // the socket locked, so nobody else writes this entry.
        unsafe { (*entry).flags |= RESET_RECEIVED };
    } else if state == TcpState::SynSent.raw() {
        // An attempt from before the agent: its outcome needs this one fact.
        let entry = Handshake {
            state,
            flags: RESET_RECEIVED,
            ..Handshake::default()
        };
        if HANDSHAKES.insert(sk.key(), entry, 0).is_err() {
            add(&counters.handshakes_full, 1);
        }
    }
    0
}
