//! The end of a socket: what takes away a handshake whose end was missed.
//!
//! Hook: tp_btf tcp_destroy_sock `(struct sock *sk)`, 4.16 and later. A tracing program that
//! interrupts itself is skipped by the kernel (recursion_misses), so an entry can outlive its
//! handshake; it must not outlive its socket.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    handshakes,
    kernel::Sock,
    maps::{add, counters},
};

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock::new(ctx.arg(0));
    // A socket without a peer has none: listeners, for one, whose memory comes from anywhere, so that
    // a look-up would wait for memory.
    if sk.dport_be() == 0 {
        return 0;
    }
    if let Some(entry) = handshakes::find(sk)
        && let Some(counters) = counters()
    {
        add(&counters.handshakes_unended, 1);
        handshakes::release(counters, sk, entry);
    }
    0
}
