//! What is remembered, and the one place where what the programs saw and what sock_diag tells
//! become connections. Pure: time is an argument, and nothing here does I/O.

mod connections;
mod polled;
pub mod syn_timer;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tcpwatch_common::counters::Ring as RingName;

use self::{polled::Polled, syn_timer::SynPolicy};
use crate::model::{
    Attempt, EndedAttempt, Event, Namespace, Observation, QueueCounts, Ring, Snapshot, Sockets,
    SynSysctls, Table,
};

/// How many ended attempts are kept.
const ENDED_KEPT: usize = 10_000;

fn policy(sysctls: &SynSysctls, attempt: Option<&Attempt>) -> SynPolicy {
    SynPolicy {
        syn_retries: sysctls.retries,
        syn_count: attempt.and_then(|attempt| attempt.syn_count),
        linear_timeouts: sysctls.linear_timeouts,
        user_timeout: attempt.and_then(|attempt| attempt.user_timeout),
        rto_max: sysctls.rto_max,
    }
}

/// What one task owns and every view is made from.
#[derive(Debug)]
pub struct Store {
    stall_after: Duration,
    ended: VecDeque<EndedAttempt>,
    history_begins_ns: u64,
    undecodable: [u64; 2],
    ring_bytes: [u64; 2],
    polled: Polled,
    /// What the last look into every namespace found. Its sockets that no program saw start are
    /// shown until the next look.
    sockets: Sockets,
}

impl Store {
    /// An empty store; `now_ns` is when its history begins, `ring_bytes` the sizes of the rings.
    #[must_use]
    pub fn new(now_ns: u64, stall_after: Duration, ring_bytes: [u64; 2]) -> Self {
        Self {
            stall_after,
            ended: VecDeque::new(),
            history_begins_ns: now_ns,
            undecodable: [0; 2],
            ring_bytes,
            polled: Polled::default(),
            sockets: Sockets::default(),
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::ConnectEnded(ended) => {
                if self.ended.len() == ENDED_KEPT {
                    self.ended.pop_front();
                    if let Some(oldest) = self.ended.front() {
                        self.history_begins_ns = oldest.ended_ns;
                    }
                }
                self.ended.push_back(ended);
            }
            // Live connections come from the table, and counts from the counters.
            Event::ConnectStalled(_) | Event::Transition(_) => {}
        }
    }

    /// Takes in what the kernel's own counters say in every namespace.
    pub fn polled(&mut self, counts: BTreeMap<u32, Option<QueueCounts>>) {
        self.polled.apply(counts);
    }

    /// Counts a record that could not be decoded.
    pub fn undecodable(&mut self, ring: RingName) {
        self.undecodable[ring as usize] += 1;
    }

    /// Whether the last look found sockets that only another look can take away again.
    #[must_use]
    pub fn wants_another_look(&self, attempts: &[Attempt]) -> bool {
        connections::unseen(attempts, &self.sockets.syn_sent)
            .next()
            .is_some()
    }

    /// Everything that a view needs.
    #[must_use]
    pub fn snapshot(&mut self, observation: Observation) -> Snapshot {
        let looked = observation.sockets.is_some();
        if let Some(sockets) = observation.sockets {
            self.sockets = sockets;
        }
        let connections = connections::syn_sent(
            observation.taken_ns,
            self.stall_after,
            &observation.attempts,
            &self.sockets,
            looked,
        );
        let namespaces = self
            .sockets
            .namespaces
            .iter()
            .map(|(inode, facts)| {
                (
                    *inode,
                    Namespace {
                        name: facts.name.clone(),
                    },
                )
            })
            .collect();
        let counters = observation.counters;
        let rings = RingName::ALL
            .into_iter()
            .map(|ring| Ring {
                name: ring.label(),
                size_bytes: self.ring_bytes[ring as usize],
                records: counters.events[ring as usize],
                lost: counters.events_lost[ring as usize],
                undecodable: self.undecodable[ring as usize],
            })
            .collect();
        let tables = vec![Table {
            name: "handshakes",
            entries: observation.attempts.len() as u64,
            capacity: observation.attempts_capacity.into(),
            full: counters.handshakes_full,
        }];
        let events = RingName::Events as usize;
        Snapshot {
            taken_ns: observation.taken_ns,
            clock: observation.clock,
            agent: observation.agent,
            history_complete: counters.events_lost[events] + self.undecodable[events] == 0,
            counters,
            polled: self.polled.total(),
            probes: observation.probes,
            rings,
            tables,
            namespaces,
            connections,
            ended: self.ended.iter().cloned().collect(),
            history_begins_ns: self.history_begins_ns,
            stall_after: self.stall_after,
        }
    }
}
