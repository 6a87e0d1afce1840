//! State transitions and the life of a handshake.
//!
//! Hook: tp_btf inet_sock_set_state `(const struct sock *sk, const int oldstate, const int
//! newstate)`, 4.16 and later. It never shows the way into TIME_WAIT nor request sockets. Every
//! transition adds one to a counter; only the ways into and out of SYN_SENT touch the table.

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns,
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use tcpwatch_common::{
    counters::{Counters, Ring, outcome_slot, transition_slot},
    event::{
        Header, KIND_CONNECT_ENDED, KIND_TRANSITION, connect::ConnectEnded, transition::Transition,
    },
    handshake::{RESET_RECEIVED, SIMULTANEOUS},
    histogram::connect_bucket,
    outcome::{Ending, Outcome},
    tcp_state::TcpState,
};

use crate::{
    emit::{copy, emit},
    handshakes,
    kernel::Sock,
    maps::{add, cell, counters, export_transitions},
};

const ESTABLISHED: u8 = TcpState::Established.raw();
const SYN_SENT: u8 = TcpState::SynSent.raw();
const SYN_RECV: u8 = TcpState::SynRecv.raw();
const CLOSE: u8 = TcpState::Close.raw();
const CLOSE_WAIT: u8 = TcpState::CloseWait.raw();

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock::new(ctx.arg(0));
    let from = ctx.arg::<i32>(1) as u8;
    let to = ctx.arg::<i32>(2) as u8;
    if !sk.is_watched() {
        return 0;
    }
    let Some(counters) = counters() else { return 0 };
    let slot = transition_slot(from, to, sk.family());
    add(cell(&counters.transitions, slot), 1);
    if to == SYN_SENT {
        start(counters, sk);
    } else if from == SYN_SENT {
        if to == SYN_RECV {
            simultaneous(sk);
        } else {
            end(&ctx, counters, sk, from, to);
        }
    } else if from == SYN_RECV && sk.has_owner() {
        // A passive child has no owner before accept(), and so costs no look-up.
        end(&ctx, counters, sk, from, to);
    }
    if export_transitions() {
        transition(counters, sk, from, to);
    }
    0
}

/// CLOSE -> SYN_SENT: process context, so the current task is the one that connects.
#[inline(always)]
fn start(counters: &Counters, sk: Sock) {
    let Some(tcp) = sk.tcp() else { return };
    let Some(entry) = handshakes::claim(counters, sk) else {
        return;
    };
    sk.flow(Some(tcp), &mut entry.flow);
    // SAFETY: the helpers have no preconditions.
    entry.started_ns = unsafe { bpf_ktime_get_ns() };
    entry.last_retransmit_ns = 0;
    entry.inode = sk.inode();
    // SAFETY: as above.
    entry.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    entry.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    entry.uid = sk.uid();
    entry.syn_retransmits = 0;
    entry.user_timeout_ms = tcp.user_timeout_ms();
    entry.flags = 0;
    entry.syn_retries = tcp.syn_retries();
    entry.comm = bpf_get_current_comm().unwrap_or_default();
    entry.state = SYN_SENT;
}

/// SYN_SENT -> SYN_RECV: the peer's SYN crossed ours; the attempt goes on.
#[inline(always)]
fn simultaneous(sk: Sock) {
    if let Some(entry) = handshakes::find(sk) {
        entry.state = SYN_RECV;
        entry.flags |= SIMULTANEOUS;
    }
}

/// The handshake is over, one way or another.
#[inline(always)]
fn end(ctx: &BtfTracePointContext, counters: &Counters, sk: Sock, from: u8, to: u8) {
    let entry = handshakes::find(sk);
    if entry.is_none() && from == SYN_RECV {
        // A child that was accepted before its handshake was over (TCP Fast Open).
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let arrival = if from == SYN_SENT && to == ESTABLISHED {
        tcp.arrival_ns()
    } else {
        None
    };
    // SAFETY: no preconditions.
    let now = arrival.unwrap_or_else(|| unsafe { bpf_ktime_get_ns() });
    let (started, reset_received, last_syn) = match &entry {
        Some(entry) => (
            entry.started_ns,
            entry.flags & RESET_RECEIVED != 0,
            entry.started_ns.max(entry.last_retransmit_ns),
        ),
        None => (0, false, 0),
    };
    let outcome = match to {
        ESTABLISHED | CLOSE_WAIT => Outcome::Established,
        CLOSE => Ending {
            sk_err: sk.error(),
            sk_err_soft: sk.soft_error(),
            reset_received,
            segs_out: tcp.segs_out(),
            sport: tcp.sport(),
            since_last_syn_ns: now.wrapping_sub(last_syn),
        }
        .outcome(),
        _ => Outcome::Cancelled,
    };
    // The compiler knows that an outcome is below 9, the verifier need not.
    let index = outcome as usize;
    if index >= counters.connect_latency.len() {
        return;
    }
    let slot = outcome_slot(index as u8, sk.family());
    add(&counters.connects[slot], 1);
    let Some(entry) = entry else {
        add(&counters.handshakes_unknown, 1);
        return;
    };
    if started != 0 {
        let elapsed = now.saturating_sub(started);
        let latency = &counters.connect_latency[index];
        let bucket = connect_bucket(elapsed);
        if bucket < latency.buckets.len() {
            add(&latency.buckets[bucket], 1);
        }
        add(&latency.sum_ns, elapsed);
    }
    if outcome != Outcome::Established || entry.syn_retransmits != 0 {
        debug!(ctx, "a connect ended with outcome {}", index);
        emit(counters, Ring::Events, |record: &mut ConnectEnded| {
            record.header = Header {
                time_ns: now,
                kind: KIND_CONNECT_ENDED,
                length: size_of::<ConnectEnded>() as u32,
            };
            record.socket = sk.key();
            copy(entry, &mut record.handshake);
            if entry.flow.sport == 0 {
                sk.flow(Some(tcp), &mut record.handshake.flow);
            }
            record.sk_err = sk.error();
            record.sk_err_soft = sk.soft_error();
            record.outcome = index as u8;
            record.to = to;
            record.reserved = [0; 6];
        });
    }
    handshakes::release(counters, sk, entry);
}

#[inline(always)]
fn transition(counters: &Counters, sk: Sock, from: u8, to: u8) {
    emit(counters, Ring::Transitions, |record: &mut Transition| {
        record.header = Header {
            // SAFETY: no preconditions.
            time_ns: unsafe { bpf_ktime_get_ns() },
            kind: KIND_TRANSITION,
            length: size_of::<Transition>() as u32,
        };
        record.socket = sk.key();
        sk.flow(sk.tcp(), &mut record.flow);
        record.from = from;
        record.to = to;
        record.reserved = [0; 6];
    });
}
