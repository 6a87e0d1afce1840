//! A listener's queues, full in every way, under each plan, held against the kernel's counters.

use std::{
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with,
};
use serde_json::Value;

use crate::fixture::{
    alone,
    counters::Counters,
    daemon::{Daemon, Metrics},
    eventually,
    namespace::TestNamespace,
    socket::{Carrier, start_connect},
    within,
};

/// The plans, as `--hooks` narrows them, and the hook that each is about.
const PLANS: [(&str, &str); 3] = [
    ("fentry,kprobe,tracepoint,poll", "fentry"),
    ("kprobe,poll", "kprobe"),
    ("poll", "poll"),
];

const OVERFLOWS: &str = "tcpwatch_accept_queue_overflows_total";
const DROPS: &str = "tcpwatch_syn_queue_drops_total";
const COOKIES: &str = "tcpwatch_syn_cookies_sent_total";

/// What a situation must come to, beside equality with the kernel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    overflows_at_syn: u64,
    overflows_at_ack: u64,
    queue_full: u64,
    last_quarter: u64,
    cookies: u64,
}

/// What polling, or a hook, has counted in sum.
fn sums(metrics: &Metrics) -> [u64; 3] {
    [OVERFLOWS, DROPS, COOKIES].map(|name| metrics.sum(name, &[]))
}

/// Plays a situation through under every plan and for each carrier; `play` makes it in a namespace
/// of its own, and what it returns stays open until the counts were read.
#[track_caller]
fn check<T: Send + 'static>(
    sysctls: &[(&str, u32)],
    play: fn(&TestNamespace, Carrier) -> T,
    expected: Expected,
) {
    let _kernel = alone();
    for (plan, about) in PLANS {
        for carrier in Carrier::ALL {
            let namespace = TestNamespace::new();
            for (name, value) in sysctls {
                assert!(namespace.sysctl(name, value), "{name}");
            }
            let daemon = Daemon::start(&["--netns", &namespace.name, "--hooks", plan]);
            let hook = hook_in_use(&daemon, about);
            if hook == "poll" && carrier != Carrier::Ipv4 {
                // It does not know the family, and each of its answers takes seconds.
                continue;
            }
            let open = play(&namespace, carrier);
            let kernel = Counters::of(&namespace);
            let overflows = kernel.get("ListenOverflows");
            let drops = kernel.get("TCPReqQFullDrop");
            let cookies = kernel.get("SyncookiesSent");
            let what = format!("{plan}: {hook}, {carrier:?}");
            assert_eq!(
                [overflows, drops, cookies],
                [
                    expected.overflows_at_syn + expected.overflows_at_ack,
                    expected.queue_full,
                    expected.cookies
                ],
                "the kernel's own counters, {what}"
            );
            if hook == "poll" {
                // The kernel has no counter of the last quarter.
                let metrics = within(Duration::from_secs(20), "a poll saw it", || {
                    let metrics = daemon.metrics();
                    (sums(&metrics) == [overflows, drops, cookies]).then_some(metrics)
                });
                let unknown = [("family", "unknown")];
                assert_eq!(metrics.sum(OVERFLOWS, &unknown), overflows, "{what}");
                assert_eq!(metrics.sum(DROPS, &unknown), drops, "{what}");
                assert_eq!(metrics.sum(COOKIES, &unknown), cookies, "{what}");
                continue;
            }
            let metrics = daemon.metrics();
            let family = ("family", carrier.family());
            let stage = |stage| metrics.sum(OVERFLOWS, &[("stage", stage), family]);
            let cause = |cause| metrics.sum(DROPS, &[("cause", cause), family]);
            let found = Expected {
                overflows_at_syn: stage("syn"),
                overflows_at_ack: stage("ack"),
                queue_full: cause("queue_full"),
                last_quarter: cause("last_quarter"),
                cookies: metrics.sum(COOKIES, &[family]),
            };
            assert_eq!(found, expected, "{what}");
            // Nothing under another family or as unknown.
            assert_eq!(
                sums(&metrics),
                [overflows, drops + expected.last_quarter, cookies],
                "{what}"
            );
            assert_eq!(metrics.missed("queues"), 0, "{what}");
            assert_eq!(
                kernel.get("ListenDrops"),
                overflows + drops + expected.last_quarter,
                "{what}"
            );
            drop(open);
        }
    }
}

/// The hook in use; where it is not the one that the plan is about, status must say why.
#[track_caller]
fn hook_in_use(daemon: &Daemon, about: &str) -> String {
    let status = daemon.get("/api/v1/status");
    let probes = status["probes"].as_array().unwrap();
    let probe = probes
        .iter()
        .find(|probe| probe["name"] == "queues")
        .unwrap();
    assert_eq!(probe["up"], true, "{probe}");
    let hook = probe["hook"].as_str().unwrap().to_owned();
    let up = [("probe", "queues"), ("hook", hook.as_str())];
    assert_eq!(daemon.metrics().sum("tcpwatch_probe_up", &up), 1);
    if hook != about {
        refused(probe, about);
    }
    if hook == "poll" {
        let degraded = status["degraded"].to_string();
        assert!(degraded.contains("probe queues reads"), "{degraded}");
    }
    hook
}

/// Status says why this kind of hook is not in use: for a reason of this kernel's.
#[track_caller]
fn refused(probe: &Value, hook: &str) {
    let refused = probe["refused"].as_array().unwrap();
    let refusal = refused.iter().find(|refusal| refusal["hook"] == hook);
    let reason = refusal.unwrap()["reason"].as_str().unwrap();
    assert!(!reason.is_empty() && reason != "left out by --hooks");
    println!("queues: not by {hook}: {reason}");
}

/// A listener with this backlog.
fn listener(carrier: Carrier, backlog: i32) -> (OwnedFd, SocketAddr) {
    let (family, any) = match carrier {
        Carrier::Ipv4 => (AddressFamily::INET, "127.0.0.1:0"),
        Carrier::Ipv6 => (AddressFamily::INET6, "[::1]:0"),
        Carrier::Mapped => (AddressFamily::INET6, "[::]:0"),
    };
    let any: SocketAddr = any.parse().unwrap();
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )
    .unwrap();
    bind(&socket, &any).unwrap();
    listen(&socket, backlog).unwrap();
    let bound = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, carrier.address(bound.port()))
}

/// Connects one after the other, each to the end of the client's handshake.
fn connect(address: SocketAddr, count: usize) -> Vec<OwnedFd> {
    (0..count)
        .map(|_| TcpStream::connect(address).unwrap().into())
        .collect()
}

/// Sends this many SYNs, and gives up before any is sent again.
fn syns(namespace: &TestNamespace, address: SocketAddr, count: usize, counted: &[&str], by: u64) {
    let open = namespace.run(move || -> Vec<OwnedFd> {
        (0..count)
            .map(|_| start_connect(None, address).unwrap())
            .collect()
    });
    counted_up(namespace, counted, by);
    // What is closed in SYN_SENT is silent; what got a SYN-ACK is held up by `hold_acks`.
    namespace.run(move || drop(open));
}

/// Waits until these counters of the kernel's have that sum.
fn counted_up(namespace: &TestNamespace, names: &[&str], sum: u64) {
    eventually(&format!("{names:?} reach {sum}"), || {
        let counters = Counters::of(namespace);
        let now: u64 = names.iter().map(|name| counters.get(name)).sum();
        assert!(now <= sum, "{names:?}: {now}");
        (now == sum).then_some(())
    });
}

/// No ACK arrives: what got a SYN stays in the SYN queue.
fn hold_acks(namespace: &TestNamespace) {
    namespace.drop_arriving("tcp flags & (syn|ack) == ack");
}

/// A backlog of 1 holds two connections; three more SYNs find it full.
fn accept_queue_full_at_the_syn(namespace: &TestNamespace, carrier: Carrier) -> Vec<OwnedFd> {
    let (open, address) = namespace.run(move || {
        let (listener, address) = listener(carrier, 1);
        let mut open = connect(address, 2);
        open.push(listener);
        (open, address)
    });
    counted_up(namespace, &["PassiveOpens"], 2);
    syns(namespace, address, 3, &["ListenOverflows"], 3);
    open
}

/// A backlog of 1 that holds one connection, and two handshakes that lack the last ACK: it comes when
/// the SYN-ACK was sent again, after a second, and there is room for one.
fn accept_queue_full_at_the_ack(namespace: &TestNamespace, carrier: Carrier) -> Vec<OwnedFd> {
    let (mut open, address) = namespace.run(move || {
        let (listener, address) = listener(carrier, 1);
        let mut open = connect(address, 1);
        open.push(listener);
        (open, address)
    });
    counted_up(namespace, &["PassiveOpens"], 1);
    hold_acks(namespace);
    open.extend(namespace.run(move || connect(address, 2)));
    namespace.nft("delete table inet t");
    counted_up(namespace, &["ListenOverflows"], 1);
    // The next SYN-ACK, two seconds later, must not count again.
    hold_acks(namespace);
    open
}

/// A backlog of 4 takes five half-open connections of 20 SYNs.
fn syn_queue_full(namespace: &TestNamespace, carrier: Carrier) -> Vec<OwnedFd> {
    let counted = ["TCPReqQFullDrop", "SyncookiesSent"];
    flood(namespace, carrier, (4, 20), &counted, 15)
}

/// Sends SYNs to a listener of that backlog, and none gets an ACK.
fn flood(
    namespace: &TestNamespace,
    carrier: Carrier,
    (backlog, count): (i32, usize),
    counted: &[&str],
    by: u64,
) -> Vec<OwnedFd> {
    hold_acks(namespace);
    let (listener, address) = namespace.run(move || listener(carrier, backlog));
    syns(namespace, address, count, counted, by);
    vec![listener]
}

#[test]
fn an_accept_queue_that_is_full_drops_syns() {
    check(
        &[("net.ipv4.tcp_syncookies", 0)],
        accept_queue_full_at_the_syn,
        Expected {
            overflows_at_syn: 3,
            ..Expected::default()
        },
    );
}

#[test]
fn an_accept_queue_that_is_full_drops_final_acks() {
    check(
        &[("net.ipv4.tcp_abort_on_overflow", 0)],
        accept_queue_full_at_the_ack,
        Expected {
            overflows_at_ack: 1,
            ..Expected::default()
        },
    );
}

#[test]
fn an_accept_queue_that_is_full_resets_at_the_final_ack() {
    check(
        &[("net.ipv4.tcp_abort_on_overflow", 1)],
        accept_queue_full_at_the_ack,
        Expected {
            overflows_at_ack: 1,
            ..Expected::default()
        },
    );
}

#[test]
fn a_syn_queue_that_is_full_drops_without_cookies() {
    check(
        &[("net.ipv4.tcp_syncookies", 0)],
        syn_queue_full,
        Expected {
            queue_full: 15,
            ..Expected::default()
        },
    );
}

#[test]
fn a_syn_queue_that_is_full_sends_cookies() {
    check(
        &[("net.ipv4.tcp_syncookies", 1)],
        syn_queue_full,
        Expected {
            cookies: 15,
            ..Expected::default()
        },
    );
}

#[test]
fn every_syn_gets_a_cookie_where_that_is_set() {
    check(
        &[("net.ipv4.tcp_syncookies", 2)],
        |namespace, carrier| flood(namespace, carrier, (64, 20), &["SyncookiesSent"], 20),
        Expected {
            cookies: 20,
            ..Expected::default()
        },
    );
}

#[test]
fn the_last_quarter_is_kept_for_known_peers() {
    check(
        &[
            ("net.ipv4.tcp_syncookies", 0),
            ("net.ipv4.tcp_max_syn_backlog", 32),
        ],
        |namespace, carrier| flood(namespace, carrier, (64, 40), &["ListenDrops"], 15),
        Expected {
            last_quarter: 15,
            ..Expected::default()
        },
    );
}

#[test]
fn a_plan_without_a_way_left_says_why() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    for hook in ["fentry", "kprobe"] {
        let daemon = Daemon::start(&["--netns", &namespace.name, "--hooks", hook]);
        let status = daemon.get("/api/v1/status");
        let probes = status["probes"].as_array().unwrap();
        for probe in probes {
            if probe["name"] != "queues" {
                assert_eq!(probe["up"], false, "{probe}");
                assert_eq!(probe["unavailable"], "left out by --hooks");
            } else if probe["up"] == true {
                assert_eq!(probe["hook"], hook);
            } else {
                refused(probe, hook);
                let unavailable = probe["unavailable"].as_str().unwrap();
                assert!(unavailable.contains("poll: left out by --hooks"));
            }
        }
        assert_eq!(daemon.metrics().sum(OVERFLOWS, &[]), 0);
    }
}
