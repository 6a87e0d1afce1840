//! What the kernel side reads at one moment, before the store makes a snapshot of it.

use std::{collections::BTreeMap, time::Duration};

use tcpwatch_common::counters::Counters;

use super::{Agent, Attempt, Clock, Probe, Socket};

/// What the kernel side read at one moment.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When, CLOCK_MONOTONIC nanoseconds.
    pub taken_ns: u64,
    /// How to show times.
    pub clock: Clock,
    /// The agent.
    pub agent: Agent,
    /// The counts of all CPUs together.
    pub counters: Box<Counters>,
    /// The handshake table.
    pub attempts: Vec<Attempt>,
    /// How many entries the table takes.
    pub attempts_capacity: u32,
    /// Every probe.
    pub probes: Vec<Probe>,
    /// What sock_diag told; `None` where it was not asked.
    pub sockets: Option<Sockets>,
}

/// What sock_diag told of every network namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sockets {
    /// Sockets in SYN_SENT.
    pub syn_sent: Vec<Socket>,
    /// The namespaces that could be entered, by inode number.
    pub namespaces: BTreeMap<u32, NamespaceFacts>,
}

/// What is known of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// `host` or its name.
    pub name: Option<String>,
    /// Its SYN sysctls; `None` where they could not be read.
    pub syn: Option<SynSysctls>,
}

/// What /proc/net/netstat says of the queues of all listeners in one network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// ListenOverflows
    pub accept_queue_overflows: u64,
    /// TCPReqQFullDrop
    pub syn_queue_drops: u64,
    /// SyncookiesSent
    pub syn_cookies_sent: u64,
}

/// The sysctls that decide how long a handshake lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynSysctls {
    /// net.ipv4.tcp_syn_retries
    pub retries: u8,
    /// net.ipv4.tcp_syn_linear_timeouts, where the kernel has it.
    pub linear_timeouts: Option<u8>,
    /// net.ipv4.tcp_rto_max_ms, where the kernel has it.
    pub rto_max: Option<Duration>,
}
