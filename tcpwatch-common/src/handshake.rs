//! The handshake table: one entry for each socket between connect() and the end of its handshake.
//!
//! A hash keyed by the socket's address. Socket storage would spare the delete, but tracing
//! programs have it from 5.11 only and user space cannot list it without a BPF iterator, while the
//! list of sockets in SYN_SENT is what an incident asks for first. The closing states, a last RTT
//! or an owner fit a second table of the same shape, entered only on the way into those states.

use crate::flow::Flow;

/// How many handshakes the table holds unless the configuration says otherwise.
pub const DEFAULT_CAPACITY: u32 = 16_384;

/// The state of an entry that no handshake uses: kept for the next socket at the same address.
pub const FREE: u8 = 0;

/// The RST that ended this handshake was seen (tracepoint tcp_receive_reset).
pub const RESET_RECEIVED: u8 = 1;
/// The socket went through SYN_RECV: simultaneous open or a connect to itself.
pub const SIMULTANEOUS: u8 = 2;

/// A SYN retransmit failed inside this host (6.18 and later tell).
pub const DROPPED_LOCALLY: u8 = 4;

/// A connect attempt under way.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The tuple; the source port is 0 until a SYN retransmit shows it, unless it was bound.
    pub flow: Flow,
    /// When CLOSE -> SYN_SENT was seen, CLOCK_MONOTONIC nanoseconds.
    pub started_ns: u64,
    /// When the last SYN retransmit was seen, 0 for none.
    pub last_retransmit_ns: u64,
    /// The socket's inode number, 0 for unknown: what links it to sock_diag and to /proc/PID/fd.
    pub inode: u64,
    /// The id of the process's cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// The process that called connect().
    pub pid: u32,
    /// Its user id.
    pub uid: u32,
    /// SYN retransmits so far.
    pub syn_retransmits: u32,
    /// TCP_USER_TIMEOUT in milliseconds, 0 for none.
    pub user_timeout_ms: u32,
    /// The socket's state: SYN_SENT or SYN_RECV; [`FREE`] for none.
    pub state: u8,
    /// [`RESET_RECEIVED`], [`SIMULTANEOUS`] and [`DROPPED_LOCALLY`].
    pub flags: u8,
    /// TCP_SYNCNT, 0 where the namespace's tcp_syn_retries holds.
    pub syn_retries: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// The process's name, NUL-terminated.
    pub comm: [u8; 16],
}

impl Handshake {
    /// All zero, and free.
    pub const EMPTY: Self = Self {
        flow: Flow {
            saddr: [0; 16],
            daddr: [0; 16],
            netns: 0,
            sport: 0,
            dport: 0,
            family: 0,
            reserved: [0; 3],
        },
        started_ns: 0,
        last_retransmit_ns: 0,
        inode: 0,
        cgroup_id: 0,
        pid: 0,
        uid: 0,
        syn_retransmits: 0,
        user_timeout_ms: 0,
        state: FREE,
        flags: 0,
        syn_retries: 0,
        reserved: [0; 5],
        comm: [0; 16],
    };
}
