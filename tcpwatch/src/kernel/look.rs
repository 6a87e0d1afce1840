//! A look into every network namespace: sockets by sock_diag, and the sysctls that say how long
//! they will wait. What cannot be entered is left out and told in the log, once per reason.

use std::time::Duration;

use tcpwatch_common::{flow, tcp_state::TcpState};

use super::{
    netns::{self, NamespaceThread},
    sock_diag::{
        DiagError, DiagSocket, Entry, Extensions, Family, Request, StateMask, TcpInfo, TimerKind,
    },
    sysctl,
};
use crate::model::{
    NamespaceFacts, Socket, Sockets, SynSysctls, Tcp, Timer, TimerKind as ModelTimerKind,
};

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// /proc could not be read.
    #[error("cannot find the network namespaces: {0}")]
    Discover(#[from] std::io::Error),
    /// The thread that enters namespaces does not answer.
    #[error(transparent)]
    Netns(#[from] netns::NetnsError),
}

/// The sockets in SYN_SENT of every namespace, or of `only` that one.
///
/// # Errors
/// When /proc or the namespace thread is gone; a single namespace that cannot be entered is logged
/// and left out.
pub async fn syn_sent(thread: &NamespaceThread, only: Option<u32>) -> Result<Sockets, LookError> {
    // stat() on another user's namespace needs that thread's privilege, too.
    let found = thread.run_in(netns::Target::Own, netns::discover).await??;
    let mut sockets = Sockets::default();
    for namespace in found.list {
        if only.is_some_and(|only| only != namespace.inode) {
            continue;
        }
        let inode = namespace.inode;
        match thread
            .run_in(namespace.target(), move || in_namespace(inode))
            .await
        {
            Ok(Ok((found, syn))) => {
                sockets.syn_sent.extend(found);
                let facts = NamespaceFacts {
                    name: namespace.name,
                    syn,
                };
                sockets.namespaces.insert(inode, facts);
            }
            Ok(Err(error)) => tracing::warn!(netns = inode, %error, "sockets are not listed"),
            Err(error) if error.is_gone() => {}
            Err(error @ (netns::NetnsError::Stranded(_) | netns::NetnsError::Ended)) => {
                return Err(error.into());
            }
            Err(error) => tracing::debug!(netns = inode, %error, "a namespace is left out"),
        }
    }
    Ok(sockets)
}

fn in_namespace(netns: u32) -> Result<(Vec<Socket>, Option<SynSysctls>), DiagError> {
    let mut diag = DiagSocket::open()?;
    let mut sockets = Vec::new();
    for family in [Family::V4, Family::V6] {
        let request = Request {
            extensions: Extensions::ALL,
            ..Request::new(family, StateMask::SYN_SENT)
        };
        let (entries, _) = diag.collect(&request)?;
        sockets.extend(entries.into_iter().filter_map(|entry| socket(netns, entry)));
    }
    let syn = sysctl::SynSysctls::read().ok().map(|sysctls| SynSysctls {
        retries: sysctls.syn_retries,
        linear_timeouts: sysctls.syn_linear_timeouts,
        rto_max: sysctls
            .rto_max_ms
            .map(|ms| Duration::from_millis(ms.into())),
    });
    Ok((sockets, syn))
}

/// A dump's entry in the model's words; `None` for a state that this version does not know.
fn socket(netns: u32, entry: Entry) -> Option<Socket> {
    Some(Socket {
        state: TcpState::from_raw(entry.state)?,
        family: match entry.family {
            Family::V4 => flow::Family::Ipv4,
            Family::V6 => flow::Family::Ipv6,
        },
        local: entry.local,
        remote: entry.remote,
        netns,
        inode: (entry.inode != 0).then_some(entry.inode),
        cookie: Some(entry.cookie),
        uid: entry.uid,
        timer: timer(&entry),
        tcp: Some(tcp(&entry)),
    })
}

fn timer(entry: &Entry) -> Option<Timer> {
    let kind = match entry.timer.kind {
        TimerKind::Off => ModelTimerKind::Off,
        TimerKind::Retransmit => ModelTimerKind::Retransmit,
        TimerKind::Keepalive => ModelTimerKind::Keepalive,
        TimerKind::TimeWait => ModelTimerKind::TimeWait,
        TimerKind::Probe0 => ModelTimerKind::Probe,
        TimerKind::Other(_) => return None,
    };
    Some(Timer {
        kind,
        expires: entry.timer.expires,
        retransmits: entry.timer.retransmits,
    })
}

fn tcp(entry: &Entry) -> Tcp {
    let queues = Tcp {
        send_queue_bytes: entry.send_queue,
        recv_queue_bytes: entry.recv_queue,
        congestion_control: entry.congestion_control.clone(),
        rcvbuf_bytes: entry.memory.map(|memory| memory.rcvbuf),
        sndbuf_bytes: entry.memory.map(|memory| memory.sndbuf),
        ..Tcp::default()
    };
    match &entry.info {
        Some(info) => with_info(queues, info),
        None => queues,
    }
}

/// Windows, rates and times of the last segments mean nothing before the handshake is over.
fn with_info(queues: Tcp, info: &TcpInfo) -> Tcp {
    let synchronised = !matches!(
        TcpState::from_raw(info.state),
        Some(TcpState::SynSent | TcpState::Listen | TcpState::Close) | None
    );
    let micros = |value: Option<u64>| value.map(Duration::from_micros);
    let after = |value: u32| synchronised.then(|| Duration::from_millis(value.into()));
    Tcp {
        rtt: info.rtt(),
        rtt_var: info
            .rtt()
            .map(|_| Duration::from_micros(info.rttvar_us.into())),
        min_rtt: info.min_rtt(),
        retransmits_total: Some(info.total_retrans),
        lost: Some(info.lost),
        congestion_window: Some(info.snd_cwnd),
        mss: Some(info.snd_mss),
        notsent_bytes: info.notsent_bytes,
        rcv_wnd_bytes: info.rcv_wnd.filter(|_| synchronised),
        snd_wnd_bytes: info.snd_wnd.filter(|_| synchronised),
        rcv_wscale: synchronised.then_some(info.rcv_wscale),
        snd_wscale: synchronised.then_some(info.snd_wscale),
        wscale_ok: synchronised.then(|| info.wscale_ok()),
        rwnd_limited: micros(info.rwnd_limited_us),
        sndbuf_limited: micros(info.sndbuf_limited_us),
        busy: micros(info.busy_time_us),
        delivery_rate_bytes_per_second: info.delivery_rate.filter(|rate| *rate > 0),
        bytes_acked: info.bytes_acked,
        bytes_received: info.bytes_received,
        last_send_ago: after(info.last_data_sent_ms),
        last_receive_ago: after(info.last_data_recv_ms),
        ..queues
    }
}
