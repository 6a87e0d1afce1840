//! Connections: live ones, and connect attempts that ended.

use std::{net::SocketAddr, time::Duration};

use tcpwatch_common::{flow::Family, outcome::Outcome, tcp_state::TcpState};

/// Whose socket it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, as the host numbers it.
    pub pid: u32,
    /// The thread's name at the time of connect(), at most 15 bytes.
    pub comm: String,
    /// The path of its cgroup, `None` where it could not be read.
    pub cgroup: Option<String>,
}

/// A connect attempt under way, as the handshake table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The socket's own family.
    pub family: Family,
    /// Local address; the port is 0 while it is not known.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// The inode number of the network namespace.
    pub netns: u32,
    /// The socket's inode number.
    pub inode: Option<u64>,
    /// The user who connects; `None` for an attempt from before the agent.
    pub uid: Option<u32>,
    /// Who connects.
    pub process: Option<Process>,
    /// The id of the process's cgroup in the unified hierarchy.
    pub cgroup_id: Option<u64>,
    /// When it began; `None` for an attempt from before the agent.
    pub started_ns: Option<u64>,
    /// SYN_SENT, or SYN_RECV in a simultaneous open.
    pub state: TcpState,
    /// SYN retransmits so far.
    pub syn_retransmits: u32,
    /// When the last of them was seen.
    pub last_retransmit_ns: Option<u64>,
    /// TCP_SYNCNT, where the application set it.
    pub syn_count: Option<u8>,
    /// TCP_USER_TIMEOUT, where the application set it.
    pub user_timeout: Option<Duration>,
    /// A SYN of it was dropped on this host; `None` where the kernel does not tell.
    pub dropped_locally: Option<bool>,
}

/// A connect attempt that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedAttempt {
    /// The attempt at its end.
    pub attempt: Attempt,
    /// What became of it.
    pub outcome: Outcome,
    /// The errno that the application got, by name (`ETIMEDOUT`), `None` for none.
    pub error: Option<String>,
    /// When it ended.
    pub ended_ns: u64,
}

/// What sets the end of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivesUpBecause {
    /// The namespace's net.ipv4.tcp_syn_retries.
    TcpSynRetries,
    /// The socket's own TCP_SYNCNT.
    TcpSyncnt,
    /// The socket's own TCP_USER_TIMEOUT.
    TcpUserTimeout,
}

impl GivesUpBecause {
    /// The name in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TcpSynRetries => "tcp_syn_retries",
            Self::TcpSyncnt => "TCP_SYNCNT",
            Self::TcpUserTimeout => "TCP_USER_TIMEOUT",
        }
    }
}

/// When the kernel will give up on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivesUp {
    /// From the snapshot's moment on; zero when it is due.
    pub after: Duration,
    /// What sets that moment.
    pub because: GivesUpBecause,
}

/// The handshake's part of a connection in SYN_SENT or SYN_RECV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syn {
    /// SYN retransmits so far.
    pub retransmits: u32,
    /// How many there will be before the kernel gives up.
    pub retransmits_limit: Option<u32>,
    /// Until the next retransmit, or until the end where none is left.
    pub next_retransmit: Option<Duration>,
    /// At least one retransmit, or older than the configured threshold.
    pub stalled: bool,
    /// A SYN of it was dropped on this host; `None` where the kernel does not tell.
    pub dropped_locally: Option<bool>,
}

/// What the socket's timer waits for (`idiag_timer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// No timer runs.
    Off,
    /// The retransmit timer, or one of its relatives.
    Retransmit,
    /// Keepalive.
    Keepalive,
    /// TIME_WAIT.
    TimeWait,
    /// The zero-window probe timer.
    Probe,
}

impl TimerKind {
    /// The name in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Retransmit => "retransmit",
            Self::Keepalive => "keepalive",
            Self::TimeWait => "time_wait",
            Self::Probe => "probe",
        }
    }
}

/// A socket's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What it waits for.
    pub kind: TimerKind,
    /// Until it fires.
    pub expires: Duration,
    /// How often it fired without an answer (`idiag_retrans`).
    pub retransmits: u8,
}

/// What `struct tcp_info` and the socket's memory tell; `None` where the kernel did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tcp {
    /// Smoothed round trip.
    pub rtt: Option<Duration>,
    /// Its mean deviation.
    pub rtt_var: Option<Duration>,
    /// Least round trip in the kernel's window.
    pub min_rtt: Option<Duration>,
    /// Segments resent in the connection's life.
    pub retransmits_total: Option<u32>,
    /// Segments believed lost now.
    pub lost: Option<u32>,
    /// Congestion window in segments.
    pub congestion_window: Option<u32>,
    /// The congestion control's name.
    pub congestion_control: Option<String>,
    /// Sending maximum segment size in bytes.
    pub mss: Option<u32>,
    /// Bytes sent and not acknowledged, or for LISTEN the backlog.
    pub send_queue_bytes: u32,
    /// Bytes received and not read, or for LISTEN the accept queue.
    pub recv_queue_bytes: u32,
    /// Bytes not sent yet.
    pub notsent_bytes: Option<u32>,
    /// The window we advertise, in bytes.
    pub rcv_wnd_bytes: Option<u32>,
    /// The window the peer advertises, in bytes.
    pub snd_wnd_bytes: Option<u32>,
    /// Our window scale.
    pub rcv_wscale: Option<u8>,
    /// The peer's window scale.
    pub snd_wscale: Option<u8>,
    /// Whether window scaling was agreed on.
    pub wscale_ok: Option<bool>,
    /// SO_RCVBUF.
    pub rcvbuf_bytes: Option<u32>,
    /// SO_SNDBUF.
    pub sndbuf_bytes: Option<u32>,
    /// Time in which the peer's window limited sending.
    pub rwnd_limited: Option<Duration>,
    /// Time in which the send buffer limited sending.
    pub sndbuf_limited: Option<Duration>,
    /// Time with data to send.
    pub busy: Option<Duration>,
    /// The last measured delivery rate.
    pub delivery_rate_bytes_per_second: Option<u64>,
    /// Bytes the peer acknowledged.
    pub bytes_acked: Option<u64>,
    /// Bytes received.
    pub bytes_received: Option<u64>,
    /// Since data were last sent.
    pub last_send_ago: Option<Duration>,
    /// Since data were last received.
    pub last_receive_ago: Option<Duration>,
}

/// A socket as sock_diag shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Socket {
    /// Its state.
    pub state: TcpState,
    /// Its own family.
    pub family: Family,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// The inode number of the network namespace.
    pub netns: u32,
    /// The socket's inode number; `None` for one that no file holds.
    pub inode: Option<u64>,
    /// The kernel's socket cookie.
    pub cookie: Option<u64>,
    /// The owner's user id.
    pub uid: u32,
    /// What `struct tcp_info` and the socket's memory tell.
    pub tcp: Option<Tcp>,
    /// Its timer.
    pub timer: Option<Timer>,
}

/// One live connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its state.
    pub state: TcpState,
    /// The socket's own family.
    pub family: Family,
    /// Local address; the port is 0 where it is not known.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// The inode number of the network namespace.
    pub netns: u32,
    /// The socket's inode number.
    pub inode: Option<u64>,
    /// The kernel's socket cookie.
    pub cookie: Option<u64>,
    /// The owner's user id.
    pub uid: Option<u32>,
    /// Whose it is.
    pub process: Option<Process>,
    /// When it entered its state; `None` where that was before the agent looked.
    pub since_ns: Option<u64>,
    /// A lower bound of the time in its state that is known in any case.
    pub age_at_least: Duration,
    /// When the kernel gives up, where an end is in sight.
    pub gives_up: Option<GivesUp>,
    /// The handshake, for SYN_SENT and SYN_RECV.
    pub syn: Option<Syn>,
    /// What sock_diag tells; `None` for a socket that it did not show.
    pub tcp: Option<Tcp>,
    /// The socket's timer; `None` for a socket that sock_diag did not show.
    pub timer: Option<Timer>,
}
