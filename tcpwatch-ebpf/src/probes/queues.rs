//! A listener's queues: accept-queue overflows, SYNs dropped for want of room in the SYN queue, SYN
//! cookies sent.
//!
//! Hooks, by fentry and fexit (5.5 and later) or by kprobe and kretprobe, all of them or none:
//! - tcp_conn_request `(struct request_sock_ops *, const struct tcp_request_sock_ops *, struct sock
//!   *sk, struct sk_buff *skb)`: each SYN to a listener. On 5.10-7.2 it looks at the SYN queue first
//!   (net/ipv4/tcp_input.c), unless the SYN ended a TIME_WAIT, and at the accept queue second.
//! - tcp_v4_syn_recv_sock, tcp_v6_syn_recv_sock `(const struct sock *sk, struct sk_buff *skb, ...)`:
//!   each final ACK, also of a SYN cookie. The look at the accept queue is the first thing they do;
//!   the second hands what IPv4 carries to the first.
//! - tcp_peer_is_proven `(struct request_sock *, struct dst_entry *)`, its return: tcp_conn_request
//!   asks only in the last quarter of tcp_max_syn_backlog without SYN cookies, and drops at `false`.
//! - cookie_v4_init_sequence, cookie_v6_init_sequence: each SYN cookie made. They and the one before
//!   do not get the listener, which is therefore noted at tcp_conn_request.
//!
//! Equal to the kernel's ListenOverflows, TCPReqQFullDrop and SyncookiesSent. Not seen: on 6.10 and
//! later, that a SYN ended a TIME_WAIT, for which the kernel waives the SYN queue's limit: without SYN
//! cookies such a SYN counts as a drop of a full SYN queue, and with the accept queue full too its
//! overflow is missed; and a change of a queue by another CPU between the hook and the kernel's own
//! look a few instructions later.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use tcpwatch_common::{
    counters::{Stage, SynDrop, overflow_slot, syn_drop_slot},
    flow::Family,
};

use crate::{
    kernel::{Listener, Memory, Probed, Skb, Typed},
    maps::{SYN_LISTENER, add, cell, counters},
};

#[fentry(function = "tcp_conn_request")]
pub fn tcp_conn_request(ctx: FEntryContext) -> i32 {
    syn::<Typed>(ctx.arg(2), ctx.arg(3));
    0
}

#[kprobe(function = "tcp_conn_request")]
pub fn tcp_conn_request_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(skb)) = (ctx.arg(2), ctx.arg(3)) {
        syn::<Probed>(sk, skb);
    }
    0
}

#[fentry(function = "tcp_v4_syn_recv_sock")]
pub fn tcp_v4_syn_recv_sock(ctx: FEntryContext) -> i32 {
    final_ack::<Typed>(ctx.arg(0));
    0
}

#[kprobe(function = "tcp_v4_syn_recv_sock")]
pub fn tcp_v4_syn_recv_sock_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        final_ack::<Probed>(sk);
    }
    0
}

#[fentry(function = "tcp_v6_syn_recv_sock")]
pub fn tcp_v6_syn_recv_sock(ctx: FEntryContext) -> i32 {
    if !Skb::<Typed>::new(ctx.arg(1)).is_ipv4() {
        final_ack::<Typed>(ctx.arg(0));
    }
    0
}

#[kprobe(function = "tcp_v6_syn_recv_sock")]
pub fn tcp_v6_syn_recv_sock_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(skb)) = (ctx.arg(0), ctx.arg(1))
        && !Skb::<Probed>::new(skb).is_ipv4()
    {
        final_ack::<Probed>(sk);
    }
    0
}

#[fexit(function = "tcp_peer_is_proven")]
pub fn tcp_peer_is_proven(ctx: FExitContext) -> i32 {
    // Behind the two arguments; the helper for it came with 5.17.
    peer(ctx.arg::<u64>(2));
    0
}

#[kretprobe(function = "tcp_peer_is_proven")]
pub fn tcp_peer_is_proven_kretprobe(ctx: RetProbeContext) -> u32 {
    peer(ctx.ret::<u64>());
    0
}

#[fentry(function = "cookie_v4_init_sequence")]
pub fn cookie_v4_init_sequence(_ctx: FEntryContext) -> i32 {
    cookie();
    0
}

#[kprobe(function = "cookie_v4_init_sequence")]
pub fn cookie_v4_init_sequence_kprobe(_ctx: ProbeContext) -> u32 {
    cookie();
    0
}

#[fentry(function = "cookie_v6_init_sequence")]
pub fn cookie_v6_init_sequence(_ctx: FEntryContext) -> i32 {
    cookie();
    0
}

#[kprobe(function = "cookie_v6_init_sequence")]
pub fn cookie_v6_init_sequence_kprobe(_ctx: ProbeContext) -> u32 {
    cookie();
    0
}

/// A SYN reached a listener: softirq context.
#[inline(always)]
fn syn<M: Memory>(sk: *const u8, skb: *const u8) {
    let sk = Listener::<M>::new(sk);
    if !sk.is_watched() {
        note(None);
        return;
    }
    let family = sk.family();
    note(Some(family));
    if !sk.syn_queue_is_full() && !sk.accept_queue_is_full() {
        return;
    }
    let Some(counters) = counters() else { return };
    let dropped =
        sk.syn_queue_is_full() && !sk.may_send_cookies() && !Skb::<M>::new(skb).ended_time_wait();
    if dropped {
        let slot = syn_drop_slot(SynDrop::QueueFull, family);
        add(cell(&counters.syn_queue_drops, slot), 1);
    } else if sk.accept_queue_is_full() {
        let slot = overflow_slot(Stage::Syn, family);
        add(cell(&counters.accept_queue_overflows, slot), 1);
    }
}

/// The handshake would end here.
#[inline(always)]
fn final_ack<M: Memory>(sk: *const u8) {
    let sk = Listener::<M>::new(sk);
    if sk.accept_queue_is_full()
        && sk.is_watched()
        && let Some(counters) = counters()
    {
        let slot = overflow_slot(Stage::Ack, sk.family());
        add(cell(&counters.accept_queue_overflows, slot), 1);
    }
}

/// The last quarter of the SYN queue: for peers that are known only. A `bool` is the lowest byte of
/// what is returned, the others are left over.
#[inline(always)]
fn peer(proven: u64) {
    if proven & 0xff == 0
        && let Some(family) = noted()
        && let Some(counters) = counters()
    {
        let slot = syn_drop_slot(SynDrop::LastQuarter, family);
        add(cell(&counters.syn_queue_drops, slot), 1);
    }
}

/// A SYN cookie is made.
#[inline(always)]
fn cookie() {
    if let Some(family) = noted()
        && let Some(counters) = counters()
    {
        add(cell(&counters.syn_cookies_sent, family as usize), 1);
    }
}

/// Notes whose SYN this CPU is looking at.
#[inline(always)]
fn note(family: Option<Family>) {
    if let Some(noted) = SYN_LISTENER.get_ptr_mut(0) {
        let value = family.map_or(0, |family| 1 + family as u64);
        // SAFETY: this CPU's map value, which no other program writes.
        unsafe { noted.write(value) };
    }
}

/// The family of the listener whose SYN this CPU is looking at, if it is watched.
#[inline(always)]
fn noted() -> Option<Family> {
    let noted = SYN_LISTENER.get_ptr_mut(0)?;
    // SAFETY: as in `note`.
    match unsafe { noted.read() } {
        1 => Some(Family::Ipv4),
        2 => Some(Family::Ipv6),
        _ => None,
    }
}
