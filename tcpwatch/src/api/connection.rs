//! The JSON of one live connection.

use serde::Serialize;

use super::view;
use crate::model::{Connection, GivesUpBecause, Snapshot, Syn, Tcp, Timer, TimerKind};

/// A connection.
#[derive(Debug, Serialize)]
pub struct View<'a> {
    state: &'static str,
    family: &'static str,
    local: view::Endpoint,
    remote: view::Endpoint,
    netns: u32,
    netns_name: Option<&'a str>,
    inode: Option<u64>,
    cookie: Option<u64>,
    uid: Option<u32>,
    process: Option<view::Owner<'a>>,
    since: Option<String>,
    age_seconds: Option<f64>,
    age_at_least_seconds: f64,
    gives_up_in_seconds: Option<f64>,
    gives_up_because: Option<&'static str>,
    syn: Option<SynView>,
    tcp: Option<TcpView<'a>>,
    timer: Option<TimerView>,
}

impl<'a> View<'a> {
    /// The view of a connection that `snapshot` holds.
    pub fn new(connection: &'a Connection, snapshot: &'a Snapshot) -> Self {
        let gives_up = connection.gives_up;
        Self {
            state: connection.state.name(),
            family: connection.family.label(),
            local: connection.local.into(),
            remote: connection.remote.into(),
            netns: connection.netns,
            netns_name: view::netns_name(snapshot, connection.netns),
            inode: connection.inode,
            cookie: connection.cookie,
            uid: connection.uid,
            process: connection.process.as_ref().map(Into::into),
            since: connection
                .since_ns
                .and_then(|since| view::time(snapshot, since)),
            age_seconds: connection
                .since_ns
                .map(|since| view::seconds_between(since, snapshot.taken_ns)),
            age_at_least_seconds: view::seconds(connection.age_at_least),
            gives_up_in_seconds: gives_up.map(|gives_up| view::seconds(gives_up.after)),
            gives_up_because: gives_up.map(|gives_up| GivesUpBecause::label(gives_up.because)),
            syn: connection.syn.map(Into::into),
            tcp: connection.tcp.as_ref().map(Into::into),
            timer: connection.timer.map(Into::into),
        }
    }
}

#[derive(Debug, Serialize)]
struct SynView {
    retransmits: u32,
    retransmits_limit: Option<u32>,
    next_retransmit_in_seconds: Option<f64>,
    stalled: bool,
    dropped_locally: Option<bool>,
}

impl From<Syn> for SynView {
    fn from(syn: Syn) -> Self {
        Self {
            retransmits: syn.retransmits,
            retransmits_limit: syn.retransmits_limit,
            next_retransmit_in_seconds: syn.next_retransmit.map(view::seconds),
            stalled: syn.stalled,
            dropped_locally: syn.dropped_locally,
        }
    }
}

#[derive(Debug, Serialize)]
struct TcpView<'a> {
    rtt_seconds: Option<f64>,
    rtt_var_seconds: Option<f64>,
    min_rtt_seconds: Option<f64>,
    retransmits_total: Option<u32>,
    lost: Option<u32>,
    congestion_window: Option<u32>,
    congestion_control: Option<&'a str>,
    mss: Option<u32>,
    send_queue_bytes: u32,
    recv_queue_bytes: u32,
    notsent_bytes: Option<u32>,
    rcv_wnd_bytes: Option<u32>,
    snd_wnd_bytes: Option<u32>,
    rcv_wscale: Option<u8>,
    snd_wscale: Option<u8>,
    wscale_ok: Option<bool>,
    rcvbuf_bytes: Option<u32>,
    sndbuf_bytes: Option<u32>,
    rwnd_limited_seconds: Option<f64>,
    sndbuf_limited_seconds: Option<f64>,
    busy_seconds: Option<f64>,
    delivery_rate_bytes_per_second: Option<u64>,
    bytes_acked: Option<u64>,
    bytes_received: Option<u64>,
    last_send_ago_seconds: Option<f64>,
    last_receive_ago_seconds: Option<f64>,
    /// Not read yet.
    keepalive: Option<bool>,
    /// Not read yet.
    orphan: Option<bool>,
}

impl<'a> From<&'a Tcp> for TcpView<'a> {
    fn from(tcp: &'a Tcp) -> Self {
        Self {
            rtt_seconds: tcp.rtt.map(view::seconds),
            rtt_var_seconds: tcp.rtt_var.map(view::seconds),
            min_rtt_seconds: tcp.min_rtt.map(view::seconds),
            retransmits_total: tcp.retransmits_total,
            lost: tcp.lost,
            congestion_window: tcp.congestion_window,
            congestion_control: tcp.congestion_control.as_deref(),
            mss: tcp.mss,
            send_queue_bytes: tcp.send_queue_bytes,
            recv_queue_bytes: tcp.recv_queue_bytes,
            notsent_bytes: tcp.notsent_bytes,
            rcv_wnd_bytes: tcp.rcv_wnd_bytes,
            snd_wnd_bytes: tcp.snd_wnd_bytes,
            rcv_wscale: tcp.rcv_wscale,
            snd_wscale: tcp.snd_wscale,
            wscale_ok: tcp.wscale_ok,
            rcvbuf_bytes: tcp.rcvbuf_bytes,
            sndbuf_bytes: tcp.sndbuf_bytes,
            rwnd_limited_seconds: tcp.rwnd_limited.map(view::seconds),
            sndbuf_limited_seconds: tcp.sndbuf_limited.map(view::seconds),
            busy_seconds: tcp.busy.map(view::seconds),
            delivery_rate_bytes_per_second: tcp.delivery_rate_bytes_per_second,
            bytes_acked: tcp.bytes_acked,
            bytes_received: tcp.bytes_received,
            last_send_ago_seconds: tcp.last_send_ago.map(view::seconds),
            last_receive_ago_seconds: tcp.last_receive_ago.map(view::seconds),
            keepalive: None,
            orphan: None,
        }
    }
}

#[derive(Debug, Serialize)]
struct TimerView {
    kind: &'static str,
    expires_in_seconds: Option<f64>,
    retransmits: u8,
}

impl From<Timer> for TimerView {
    fn from(timer: Timer) -> Self {
        Self {
            kind: timer.kind.label(),
            expires_in_seconds: (timer.kind != TimerKind::Off)
                .then(|| view::seconds(timer.expires)),
            retransmits: timer.retransmits,
        }
    }
}
