//! The store against a simple model: random orders, duplicates, missing halves, reused addresses.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use proptest::prelude::*;
use tcpwatch_common::{counters::Counters, flow::Family, outcome::Outcome, tcp_state::TcpState};

use super::*;
use crate::model::{Agent, Clock, NamespaceFacts, Process, ProcessStats, Socket, Timer, TimerKind};

fn address(port: u16) -> SocketAddr {
    SocketAddr::new([10, 0, 0, 1].into(), port)
}

fn attempt(inode: u64, started_ns: Option<u64>, retransmits: u32) -> Attempt {
    Attempt {
        family: Family::Ipv4,
        local: address(0),
        remote: address(443),
        netns: 1,
        inode: Some(inode),
        uid: started_ns.map(|_| 0),
        process: started_ns.map(|_| Process {
            pid: 1,
            comm: "a".into(),
            cgroup: None,
        }),
        cgroup_id: None,
        started_ns,
        state: TcpState::SynSent,
        syn_retransmits: retransmits,
        last_retransmit_ns: None,
        syn_count: None,
        user_timeout: None,
        dropped_locally: None,
    }
}

fn socket(inode: u64, retransmits: u8) -> Socket {
    Socket {
        state: TcpState::SynSent,
        family: Family::Ipv4,
        local: address(40_000),
        remote: address(443),
        netns: 1,
        inode: Some(inode),
        cookie: Some(inode),
        uid: 0,
        tcp: None,
        timer: Some(Timer {
            kind: TimerKind::Retransmit,
            expires: Duration::from_millis(500),
            retransmits,
        }),
    }
}

fn observation(now: u64, attempts: Vec<Attempt>, sockets: Option<Vec<Socket>>) -> Observation {
    let facts = NamespaceFacts {
        name: None,
        syn: Some(SynSysctls {
            retries: 6,
            linear_timeouts: Some(4),
            rto_max: None,
        }),
    };
    Observation {
        taken_ns: now,
        clock: Clock { offset_ns: 0 },
        agent: Agent {
            version: "0",
            revision: "0",
            kernel: String::new(),
            started_ns: 0,
            attach_ns: 1,
            listening: Vec::new(),
            only_netns: None,
            degraded: Vec::new(),
            process: ProcessStats::default(),
        },
        counters: Box::new(Counters::ZERO),
        attempts,
        attempts_capacity: 64,
        probes: Vec::new(),
        sockets: sockets.map(|syn_sent| Sockets {
            syn_sent,
            namespaces: BTreeMap::from([(1, facts)]),
        }),
    }
}

fn ended(at: u64) -> Event {
    Event::ConnectEnded(EndedAttempt {
        attempt: attempt(1, Some(at), 0),
        outcome: Outcome::TimedOut,
        error: None,
        ended_ns: at,
    })
}

proptest! {
    /// Whatever the two sides know: each inode is shown once, with what each side knows of it.
    #[test]
    fn every_socket_is_shown_once(
        table in proptest::collection::btree_map(0u64..20, (proptest::option::of(1u64..1000), 0u32..4), 0..12),
        dump in proptest::collection::btree_map(0u64..20, 0u8..4, 0..12),
        dumped in any::<bool>(),
    ) {
        let attempts: Vec<_> = table
            .iter()
            .map(|(inode, (started, retransmits))| attempt(*inode, *started, *retransmits))
            .collect();
        let sockets: Vec<_> = dump.iter().map(|(inode, resent)| socket(*inode, *resent)).collect();
        let mut store = Store::new(0, Duration::from_secs(1), [0; 2]);
        let snapshot = store.snapshot(observation(2000, attempts, dumped.then_some(sockets)));

        // The model: what the table knows the start of, and what only the dump knows.
        let dump = if dumped { dump } else { BTreeMap::new() };
        let mut expected: BTreeMap<u64, (bool, u32)> = BTreeMap::new();
        for (inode, (started, retransmits)) in &table {
            if started.is_some() {
                let resent = dump.get(inode).copied().unwrap_or(0);
                expected.insert(*inode, (true, (*retransmits).max(resent.into())));
            }
        }
        for (inode, resent) in &dump {
            if !table.contains_key(inode) {
                expected.insert(*inode, (false, (*resent).into()));
            }
        }
        let found: BTreeMap<u64, (bool, u32)> = snapshot
            .connections
            .iter()
            .map(|connection| {
                let syn = connection.syn.unwrap();
                (connection.inode.unwrap(), (connection.since_ns.is_some(), syn.retransmits))
            })
            .collect();
        prop_assert_eq!(snapshot.connections.len(), found.len(), "no inode twice");
        prop_assert_eq!(found, expected);
    }

    /// A socket of the last look stays until a look without it, or until the table knows it.
    #[test]
    fn a_look_is_forgotten_with_the_next(first in proptest::collection::btree_set(0u64..8, 0..6),
                                         second in proptest::collection::btree_set(0u64..8, 0..6)) {
        let mut store = Store::new(0, Duration::from_secs(1), [0; 2]);
        let sockets = |inodes: &std::collections::BTreeSet<u64>| {
            Some(inodes.iter().map(|inode| socket(*inode, 0)).collect())
        };
        prop_assert_eq!(store.snapshot(observation(1, vec![], sockets(&first))).connections.len(), first.len());
        prop_assert_eq!(store.snapshot(observation(2, vec![], None)).connections.len(), first.len());
        prop_assert_eq!(store.wants_another_look(&[]), !first.is_empty());
        prop_assert_eq!(store.snapshot(observation(3, vec![], sockets(&second))).connections.len(), second.len());
    }

    /// Events in any number: the newest are kept, and the history says where it begins.
    #[test]
    fn the_history_keeps_the_newest(extra in 0usize..50) {
        let mut store = Store::new(7, Duration::from_secs(1), [0; 2]);
        let total = ENDED_KEPT + extra;
        for at in 0..total {
            store.apply(ended(100 + at as u64));
        }
        let snapshot = store.snapshot(observation(1, vec![], None));
        prop_assert_eq!(snapshot.ended.len(), ENDED_KEPT);
        prop_assert_eq!(snapshot.ended.last().unwrap().ended_ns, 99 + total as u64);
        let begins = if extra == 0 { 7 } else { 100 + extra as u64 };
        prop_assert_eq!(snapshot.history_begins_ns, begins);
    }
}

#[test]
fn a_lost_or_undecodable_record_makes_the_history_incomplete() {
    let mut store = Store::new(0, Duration::from_secs(1), [0; 2]);
    assert!(
        store
            .snapshot(observation(1, vec![], None))
            .history_complete
    );
    let mut lossy = observation(1, vec![], None);
    lossy.counters.events_lost[RingName::Events as usize] = 1;
    assert!(!store.snapshot(lossy).history_complete);
    store.undecodable(RingName::Events);
    assert!(
        !store
            .snapshot(observation(1, vec![], None))
            .history_complete
    );
}
