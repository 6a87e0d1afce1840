//! What the programs report one by one.

use std::net::SocketAddr;

use tcpwatch_common::{flow::Family, tcp_state::TcpState};

use super::{Attempt, EndedAttempt};

/// The first SYN retransmit of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectStalled {
    /// When.
    pub time_ns: u64,
    /// The attempt as it stood.
    pub attempt: Attempt,
}

/// One state transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub time_ns: u64,
    /// The socket's own family.
    pub family: Family,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// The inode number of the network namespace.
    pub netns: u32,
    /// The state it left.
    pub from: TcpState,
    /// The state it entered.
    pub to: TcpState,
}

/// A decoded ring record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first SYN retransmit.
    ConnectStalled(ConnectStalled),
    /// An attempt that failed, or stalled before it went well.
    ConnectEnded(EndedAttempt),
    /// A state transition, while somebody wants them.
    Transition(Transition),
}
