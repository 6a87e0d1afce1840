//! A host in trouble, as one snapshot made by hand: what the contract tests of the views read.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tcpwatch::{
    feed::Feed,
    model::{
        Agent, Attempt, Clock, Connection, EndedAttempt, GivesUp, GivesUpBecause, Hook, Namespace,
        Probe, Process, ProcessStats, QueueCounts, Refusal, Ring, Snapshot, Syn, Table, Tcp, Timer,
        TimerKind,
    },
};
use tcpwatch_common::{
    counters::{
        Counters, Ring as RingName, Stage, SynDrop, outcome_slot, overflow_slot, state_slot,
        syn_drop_slot, transition_slot,
    },
    flow::Family,
    histogram::connect_bucket,
    outcome::Outcome,
    tcp_state::TcpState,
};

/// The initial network namespace's inode number.
pub const HOST: u32 = 4_026_531_840;
/// A namespace named `blue`.
pub const BLUE: u32 = 4_026_532_000;
/// A namespace without a name.
pub const UNNAMED: u32 = 4_026_532_111;

/// The snapshot's moment, CLOCK_MONOTONIC; 2026-01-01T00:00:10Z by the wall clock.
pub const NOW_NS: u64 = 1_000_000_000_000;
const NOW_UNIX_NS: i128 = 1_767_225_610_000_000_000;

/// `ms` milliseconds before the snapshot, CLOCK_MONOTONIC.
pub const fn ago(ms: u64) -> u64 {
    NOW_NS - ms * 1_000_000
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn process(pid: u32, comm: &str, cgroup: Option<&str>) -> Process {
    Process {
        pid,
        comm: comm.to_owned(),
        cgroup: cgroup.map(str::to_owned),
    }
}

/// The snapshot.
pub fn snapshot() -> Snapshot {
    Snapshot {
        taken_ns: NOW_NS,
        clock: Clock {
            offset_ns: NOW_UNIX_NS - i128::from(NOW_NS),
        },
        agent: agent(),
        counters: Box::new(counters()),
        polled: Some(QueueCounts {
            accept_queue_overflows: 6,
            syn_queue_drops: 7,
            syn_cookies_sent: 8,
        }),
        probes: probes(),
        rings: RingName::ALL
            .map(|ring| Ring {
                name: ring.label(),
                size_bytes: 1 << 20,
                records: counters().events[ring as usize],
                lost: counters().events_lost[ring as usize],
                undecodable: u64::from(ring == RingName::Events),
            })
            .to_vec(),
        tables: vec![Table {
            name: "handshakes",
            entries: 4,
            capacity: 16_384,
            full: 2,
        }],
        namespaces: [(HOST, Some("host")), (BLUE, Some("blue")), (UNNAMED, None)]
            .into_iter()
            .map(|(inode, name)| {
                let name = name.map(str::to_owned);
                (inode, Namespace { name })
            })
            .collect(),
        connections: connections(),
        ended: ended(),
        history_begins_ns: ago(60_000),
        history_complete: true,
        stall_after: Duration::from_secs(1),
    }
}

fn agent() -> Agent {
    Agent {
        version: "0.1.0",
        revision: "abc1234",
        kernel: "6.12.0".to_owned(),
        started_ns: ago(60_000),
        attach_ns: 25_000_000,
        listening: vec!["unix:/run/tcpwatch/tcpwatch.sock".to_owned()],
        only_netns: None,
        degraded: vec!["cgroups are not shown: /sys/fs/cgroup is missing".to_owned()],
        process: ProcessStats {
            cpu: Some(Duration::from_millis(1250)),
            resident_bytes: Some(12_582_912),
            virtual_bytes: Some(134_217_728),
            open_fds: Some(19),
            max_fds: Some(1024),
            started: Some(Duration::from_secs(1_767_225_550)),
        },
    }
}

fn probes() -> Vec<Probe> {
    let probe = |name, unavailable: Option<&str>, missed| Probe {
        name,
        hook: Hook::Tracepoint,
        unavailable: unavailable.map(str::to_owned),
        refused: unavailable
            .map(|reason| Refusal {
                hook: Hook::Tracepoint,
                reason: reason.to_owned(),
            })
            .into_iter()
            .collect(),
        feeds: "something",
        missed,
        runs: missed.map(|missed| missed * 100),
        run_time: missed.map(|missed| Duration::from_nanos(missed * 6_000)),
    };
    let queues = Probe {
        hook: Hook::Poll,
        refused: [
            (
                Hook::Fentry,
                "tcp_conn_request: the kernel refused to load it",
            ),
            (Hook::Kprobe, "this kernel has no kprobes"),
        ]
        .map(|(hook, reason)| Refusal {
            hook,
            reason: reason.to_owned(),
        })
        .to_vec(),
        ..probe("queues", None, None)
    };
    vec![
        probe("inet_sock_set_state", None, Some(3)),
        probe("tcp_retransmit_skb", None, Some(0)),
        probe(
            "tcp_receive_reset",
            Some("this kernel has no tracepoint tcp_receive_reset"),
            None,
        ),
        queues,
    ]
}

fn counters() -> Counters {
    use TcpState as S;
    let mut counters = Counters::ZERO;
    let (v4, v6) = (Family::Ipv4, Family::Ipv6);
    for (from, to, family, count) in [
        (S::Close, S::SynSent, v4, 110),
        (S::SynSent, S::Established, v4, 90),
        (S::SynSent, S::Close, v4, 17),
        (S::Close, S::SynSent, v6, 5),
        // A pair that no kernel so far shows.
        (S::TimeWait, S::Established, v6, 1),
    ] {
        counters.transitions[transition_slot(from.raw(), to.raw(), family)] = count;
    }
    for (outcome, family, count, ns) in [
        (Outcome::Established, v4, 90, 400_000),
        (Outcome::RefusedRst, v4, 7, 100_000),
        (Outcome::TimedOut, v4, 10, 131_000_000_000_u64),
        (Outcome::TimedOut, v6, 2, 133_000_000_000),
    ] {
        counters.connects[outcome_slot(outcome as u8, family)] += count;
        let latency = &mut counters.connect_latency[outcome as usize];
        latency.buckets[connect_bucket(ns)] += count;
        latency.sum_ns += ns * count;
    }
    counters.syn_stalls = [12, 3];
    counters.syn_retransmits = [61, 9];
    counters.synack_retransmits = [4, 0];
    counters.retransmit_failures = [1, 1];
    counters.resets_received[state_slot(S::SynSent.raw(), v4)] = 7;
    counters.resets_received[state_slot(S::Listen.raw(), v6)] = 1;
    counters.accept_queue_overflows[overflow_slot(Stage::Syn, v4)] = 3;
    counters.accept_queue_overflows[overflow_slot(Stage::Ack, v6)] = 2;
    counters.syn_queue_drops[syn_drop_slot(SynDrop::QueueFull, v4)] = 15;
    counters.syn_queue_drops[syn_drop_slot(SynDrop::LastQuarter, v6)] = 1;
    counters.syn_cookies_sent = [9, 0];
    counters.events = [40, 0];
    counters.events_lost = [5, 0];
    counters.handshakes_full = 2;
    counters.handshakes_unended = 1;
    counters.handshakes_unknown = 6;
    counters
}

fn connections() -> Vec<Connection> {
    let plain = Connection {
        state: TcpState::SynSent,
        family: Family::Ipv4,
        local: address("10.0.0.5:43210"),
        remote: address("10.0.0.9:443"),
        netns: HOST,
        inode: None,
        cookie: None,
        uid: None,
        process: None,
        since_ns: None,
        age_at_least: Duration::ZERO,
        gives_up: None,
        syn: None,
        tcp: None,
        timer: None,
    };
    let syn = Syn {
        retransmits: 0,
        retransmits_limit: None,
        next_retransmit: None,
        stalled: false,
        dropped_locally: None,
    };
    vec![
        // The example of the contract.
        Connection {
            inode: Some(81_234),
            cookie: Some(4099),
            uid: Some(0),
            process: Some(process(1234, "curl", Some("/system.slice/app.service"))),
            since_ns: Some(ago(3200)),
            age_at_least: Duration::from_millis(3200),
            gives_up: Some(GivesUp {
                after: Duration::from_millis(127_800),
                because: GivesUpBecause::TcpSynRetries,
            }),
            syn: Some(Syn {
                retransmits: 3,
                retransmits_limit: Some(10),
                next_retransmit: Some(Duration::from_millis(800)),
                stalled: true,
                dropped_locally: Some(false),
            }),
            tcp: Some(Tcp {
                retransmits_total: Some(3),
                lost: Some(0),
                congestion_window: Some(10),
                congestion_control: Some("cubic".to_owned()),
                mss: Some(536),
                notsent_bytes: Some(0),
                rcvbuf_bytes: Some(131_072),
                sndbuf_bytes: Some(16_384),
                rwnd_limited: Some(Duration::ZERO),
                sndbuf_limited: Some(Duration::ZERO),
                busy: Some(Duration::from_millis(3200)),
                bytes_acked: Some(0),
                bytes_received: Some(0),
                ..Tcp::default()
            }),
            timer: Some(Timer {
                kind: TimerKind::Retransmit,
                expires: Duration::from_millis(800),
                retransmits: 3,
            }),
            ..plain.clone()
        },
        // An IPv6 socket that carries IPv4, just begun; its port is not known yet.
        Connection {
            family: Family::Ipv6,
            local: address("[::ffff:10.0.0.5]:0"),
            remote: address("[::ffff:10.1.2.3]:80"),
            netns: BLUE,
            uid: Some(1000),
            since_ns: Some(ago(250)),
            age_at_least: Duration::from_millis(250),
            syn: Some(syn),
            ..plain.clone()
        },
        // From before the agent.
        Connection {
            family: Family::Ipv6,
            local: address("[2001:db8::5]:50000"),
            remote: address("[2001:db8::9]:443"),
            netns: UNNAMED,
            process: Some(process(77, "a-very-long-nam", None)),
            age_at_least: Duration::from_millis(65_000),
            gives_up: Some(GivesUp {
                after: Duration::from_millis(500),
                because: GivesUpBecause::TcpUserTimeout,
            }),
            syn: Some(Syn {
                retransmits: 6,
                retransmits_limit: Some(6),
                next_retransmit: Some(Duration::from_millis(500)),
                stalled: true,
                ..syn
            }),
            timer: Some(Timer {
                kind: TimerKind::Off,
                expires: Duration::ZERO,
                retransmits: 0,
            }),
            ..plain.clone()
        },
        // A simultaneous open.
        Connection {
            state: TcpState::SynRecv,
            local: address("10.0.0.5:7000"),
            remote: address("10.0.0.6:7000"),
            since_ns: Some(ago(100)),
            age_at_least: Duration::from_millis(100),
            syn: Some(syn),
            ..plain
        },
    ]
}

fn ended() -> Vec<EndedAttempt> {
    let entry =
        |outcome, error: Option<&str>, remote, started_ns, ended_ns, process| EndedAttempt {
            attempt: Attempt {
                family: Family::Ipv4,
                local: address("10.0.0.5:40000"),
                remote: address(remote),
                netns: HOST,
                inode: Some(900),
                uid: Some(0),
                process,
                cgroup_id: None,
                started_ns,
                state: TcpState::SynSent,
                syn_retransmits: 5,
                last_retransmit_ns: None,
                syn_count: None,
                user_timeout: None,
                dropped_locally: None,
            },
            outcome,
            error: error.map(str::to_owned),
            ended_ns,
        };
    let curl = || Some(process(1234, "curl", None));
    vec![
        entry(
            Outcome::TimedOut,
            Some("ETIMEDOUT"),
            "10.0.0.9:443",
            Some(ago(57_100)),
            ago(50_000),
            curl(),
        ),
        entry(
            Outcome::RefusedRst,
            Some("ECONNREFUSED"),
            "10.0.0.9:81",
            Some(ago(20_001)),
            ago(20_000),
            curl(),
        ),
        // It reached the daemon after the one that ended later.
        entry(
            Outcome::HostUnreachable,
            Some("EHOSTUNREACH"),
            "192.0.2.1:443",
            Some(ago(8_000)),
            ago(5_000),
            Some(process(77, "worker", None)),
        ),
        entry(
            Outcome::Cancelled,
            None,
            "10.0.0.9:443",
            None,
            ago(6_000),
            None,
        ),
        entry(
            Outcome::Established,
            None,
            "[::ffff:10.0.0.9]:443",
            Some(ago(3_000)),
            ago(1_900),
            curl(),
        ),
    ]
}

/// A feed that answers every request with `snapshot`, until the test ends.
pub fn feed(snapshot: Snapshot) -> Feed {
    let (feed, mut asks) = Feed::new(8);
    let snapshot = Arc::new(snapshot);
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            // Whoever asked may have given up.
            let _ = ask.reply.send(Arc::clone(&snapshot));
        }
    });
    feed
}

/// Expects `text` to be the file of that name in tests/golden, which UPDATE_GOLDEN=1 writes.
pub fn check_golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (got, expected)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, expected, "{name}:{}", line + 1);
    }
    assert_eq!(
        text.len(),
        golden.len(),
        "{name}: one has lines that the other lacks"
    );
}
