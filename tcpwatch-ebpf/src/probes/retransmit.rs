//! SYN and SYN-ACK retransmits.
//!
//! Hooks: tp_btf tcp_retransmit_skb `(const struct sock *sk, const struct sk_buff *skb[, int
//! err])`, 4.15 and later; 6.18 and later fire for failures too, with `err` set, where earlier
//! kernels stay silent. tp_btf tcp_retransmit_synack `(const struct sock *sk, const struct
//! request_sock *req)`, 4.15 and later, for those that were sent.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use tcpwatch_common::{
    counters::Ring,
    event::{Header, KIND_CONNECT_STALLED, connect::ConnectStalled},
    handshake::DROPPED_LOCALLY,
    tcp_state::TcpState,
};

use crate::{
    emit::{copy, emit},
    handshakes,
    kernel::{Sock, retransmit_has_err},
    maps::{add, counters},
};

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock::new(ctx.arg(0));
    if sk.state() != TcpState::SynSent.raw() || !sk.is_watched() {
        return 0;
    }
    let Some(counters) = counters() else { return 0 };
    let Some(tcp) = sk.tcp() else { return 0 };
    let family = sk.family() as usize;
    let failed = retransmit_has_err() && ctx.arg::<i32>(2) != 0;
    if failed {
        add(&counters.retransmit_failures[family], 1);
    } else {
        add(&counters.syn_retransmits[family], 1);
    }
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let retransmits = u32::from(tcp.retransmits());
    if retransmits == 1 {
        add(&counters.syn_stalls[family], 1);
    }
    let Some(entry) = handshakes::find(sk) else {
        return 0;
    };
    entry.syn_retransmits = retransmits;
    entry.last_retransmit_ns = now;
    if failed {
        entry.flags |= DROPPED_LOCALLY;
    }
    // The port was not chosen yet when the entry was made.
    entry.flow.sport = tcp.sport();
    if retransmits == 1 {
        emit(counters, Ring::Events, |record: &mut ConnectStalled| {
            record.header = Header {
                time_ns: now,
                kind: KIND_CONNECT_STALLED,
                length: size_of::<ConnectStalled>() as u32,
            };
            record.socket = sk.key();
            copy(entry, &mut record.handshake);
        });
    }
    0
}

#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock::new(ctx.arg(0));
    if !sk.is_watched() {
        return 0;
    }
    if let Some(counters) = counters() {
        add(&counters.synack_retransmits[sk.family() as usize], 1);
    }
    0
}
