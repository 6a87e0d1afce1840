//! Everything that a view needs, as it was at one moment.

use std::{collections::BTreeMap, time::Duration};

use tcpwatch_common::counters::Counters;

use super::{Agent, Connection, EndedAttempt, Probe, QueueCounts, Ring, Table};

/// Turns CLOCK_MONOTONIC nanoseconds into wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch minus CLOCK_MONOTONIC, both read at the same moment.
    pub offset_ns: i128,
}

impl Clock {
    /// Nanoseconds since the Unix epoch of a monotonic time.
    #[must_use]
    pub const fn unix_ns(self, monotonic_ns: u64) -> i128 {
        monotonic_ns as i128 + self.offset_ns
    }
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// `host`, or its name under /run/netns; `None` for one that has none.
    pub name: Option<String>,
}

impl Namespace {
    /// What to show for the namespace with that inode number: its name, else the number.
    #[must_use]
    pub fn label(namespaces: &BTreeMap<u32, Self>, inode: u32) -> String {
        namespaces
            .get(&inode)
            .and_then(|namespace| namespace.name.clone())
            .unwrap_or_else(|| inode.to_string())
    }
}

/// What is known at one moment. Views read it and nothing else.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken, CLOCK_MONOTONIC nanoseconds.
    pub taken_ns: u64,
    /// How to show times.
    pub clock: Clock,
    /// The agent.
    pub agent: Agent,
    /// The counts of all CPUs together.
    pub counters: Box<Counters>,
    /// What the queues' own counters grew by, where they are polled for want of a hook.
    pub polled: Option<QueueCounts>,
    /// Every probe of the plan.
    pub probes: Vec<Probe>,
    /// Both rings.
    pub rings: Vec<Ring>,
    /// Every bounded table.
    pub tables: Vec<Table>,
    /// The namespaces that were seen, by inode number.
    pub namespaces: BTreeMap<u32, Namespace>,
    /// Live connections in SYN_SENT, and in the SYN_RECV of a simultaneous open. Sorted by nothing.
    pub connections: Vec<Connection>,
    /// Of the last attempts that failed or stalled, newest last.
    pub ended: Vec<EndedAttempt>,
    /// Since when `ended` holds every one of them, CLOCK_MONOTONIC nanoseconds.
    pub history_begins_ns: u64,
    /// Whether every record of that time reached `ended`.
    pub history_complete: bool,
    /// A connection in SYN_SENT is stalled when it is older than this.
    pub stall_after: Duration,
}

impl Snapshot {
    /// How many connections are stalled in their handshake now.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.connections
            .iter()
            .filter(|connection| connection.syn.is_some_and(|syn| syn.stalled))
            .count()
    }
}
