//! Every way a connect ends that the probes can tell apart, held against the kernel's counters.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    thread,
};

use rustix::net::getsockname;
use tcpwatch::kernel::btf::Btf;

use crate::fixture::{
    alone,
    counters::Counters,
    daemon::{Daemon, Metrics},
    eventually,
    namespace::TestNamespace,
    socket::{Carrier, reset, socket, start_connect},
};

/// Waits until `connects_total{outcome}` is what the test made, and gives that scrape.
fn settled(daemon: &Daemon, outcome: &str, count: u64) -> Metrics {
    eventually(&format!("{count} connects ended {outcome}"), || {
        let metrics = daemon.metrics();
        (metrics.connects(outcome) == count).then_some(metrics)
    })
}

/// What must hold in every namespace in which only TCP's own ways were gone: no repair, no `ss -K`.
fn agrees(metrics: &Metrics, kernel: &Counters) {
    let unsent = metrics.connects("no_local_port");
    assert_eq!(
        metrics.transitions("close", "syn_sent") - unsent,
        kernel.get("ActiveOpens"),
        "ActiveOpens"
    );
    assert_eq!(
        metrics.transitions("listen", "syn_recv"),
        kernel.get("PassiveOpens"),
        "PassiveOpens"
    );
    let failed = [
        "refused_rst",
        "refused_icmp",
        "timed_out",
        "host_unreachable",
        "net_unreachable",
    ];
    assert_eq!(
        failed
            .iter()
            .map(|outcome| metrics.connects(outcome))
            .sum::<u64>(),
        kernel.get("AttemptFails"),
        "AttemptFails"
    );
    assert_eq!(
        metrics.transitions("established", "close") + metrics.transitions("close_wait", "close"),
        kernel.get("EstabResets"),
        "EstabResets"
    );
    let resent = metrics.sum("tcpwatch_retransmits_total", &[("kind", "syn")])
        + metrics.sum("tcpwatch_retransmits_total", &[("kind", "synack")])
        + metrics.sum("tcpwatch_retransmit_failures_total", &[]);
    assert_eq!(resent, kernel.get("TCPSynRetrans"), "TCPSynRetrans");
    assert_eq!(
        metrics.sum("tcpwatch_connects_total", &[]),
        metrics.transitions("close", "syn_sent"),
        "every attempt has one outcome"
    );
    assert_eq!(
        metrics.missed("inet_sock_set_state"),
        0,
        "nothing was missed"
    );
    assert_eq!(
        metrics.sum("tcpwatch_table_entries", &[("table", "handshakes")]),
        0
    );
    assert_eq!(metrics.sum("tcpwatch_events_lost_total", &[]), 0);
}

#[test]
fn counts_equal_the_kernels_for_every_family() {
    let _kernel = alone();
    for carrier in Carrier::ALL {
        let namespace = TestNamespace::new();
        let daemon = Daemon::watching(&namespace);
        namespace.run(move || {
            let (listener, address) = carrier.listen();
            // A pool: connections that sit idle and are closed, by either side.
            for index in 0..20 {
                let client = TcpStream::connect(address).unwrap();
                let (server, _) = listener.accept().unwrap();
                let (first, mut second) = if index % 2 == 0 {
                    (client, server)
                } else {
                    (server, client)
                };
                drop(first);
                assert_eq!(second.read(&mut [0]).unwrap(), 0);
            }
            for _ in 0..3 {
                let client = TcpStream::connect(address).unwrap();
                let (mut server, _) = listener.accept().unwrap();
                reset(client);
                assert!(server.read(&mut [0]).is_err());
            }
            // Nothing ever listened there.
            for _ in 0..7 {
                TcpStream::connect(carrier.address(9)).unwrap_err();
            }
        });
        let metrics = settled(&daemon, "refused_rst", 7);
        assert_eq!(metrics.connects("established"), 23, "{carrier:?}");
        let family = [("family", carrier.family())];
        assert_eq!(
            metrics.sum("tcpwatch_connects_total", &family),
            30,
            "{carrier:?}"
        );
        // The client of a connection over a dual-stack listener is what it says it is, and so is
        // the child of an IPv6 listener.
        assert_eq!(
            metrics.sum("tcpwatch_state_transitions_total", &family),
            metrics.sum("tcpwatch_state_transitions_total", &[]),
            "{carrier:?}"
        );
        assert_eq!(
            metrics.sum("tcpwatch_connect_duration_seconds_count", &[]),
            30
        );
        // RSTs in the established state, and those that refused a connect.
        let resets = |state| metrics.sum("tcpwatch_resets_total", &[("reason", state)]);
        assert_eq!(
            (resets("established"), resets("syn_sent")),
            (3, 7),
            "{carrier:?}"
        );
        agrees(&metrics, &Counters::of(&namespace));
    }
}

#[test]
fn a_connect_that_the_application_gives_up_is_cancelled() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport 9");
    let daemon = Daemon::watching(&namespace);
    namespace.run(|| {
        for carrier in Carrier::ALL {
            drop(start_connect(None, carrier.address(9)).unwrap());
        }
    });
    agrees(&settled(&daemon, "cancelled", 3), &Counters::of(&namespace));
    let ended = daemon.get("/api/v1/connects?outcome=cancelled");
    assert_eq!(ended["total"], 3);
}

/// Connects to port 9, where a rule of `nft` rejects, and expects this outcome of each attempt.
#[track_caller]
fn rejected(rule: &str, carrier: Carrier, outcome: &str, error: &str) {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.nft(&format!(
        "add table inet t; add chain inet t in {{ type filter hook input priority 0; }}; add rule inet t in tcp dport 9 {rule}"
    ));
    let daemon = Daemon::watching(&namespace);
    // On loopback the first ICMP message usually finds the socket locked, and the answer to the first
    // SYN retransmit ends the attempt.
    namespace.run(move || TcpStream::connect(carrier.address(9)).unwrap_err());
    let metrics = settled(&daemon, outcome, 1);
    let kernel = Counters::of(&namespace);
    agrees(&metrics, &kernel);
    let ended = daemon.get("/api/v1/connects");
    assert_eq!(ended["connects"][0]["outcome"], outcome);
    assert_eq!(ended["connects"][0]["error"], error);
    assert_eq!(
        ended["connects"][0]["syn_retransmits"],
        kernel.get("TCPSynRetrans")
    );
}

#[test]
fn a_port_unreachable_is_refused_by_icmp() {
    rejected("reject", Carrier::Ipv4, "refused_icmp", "ECONNREFUSED");
}

#[test]
fn a_port_unreachable_over_ipv6_is_refused_by_icmp() {
    rejected("reject", Carrier::Ipv6, "refused_icmp", "ECONNREFUSED");
}

#[test]
fn a_host_unreachable_is_told_apart_from_a_timeout() {
    rejected(
        "reject with icmp type host-unreachable",
        Carrier::Ipv4,
        "host_unreachable",
        "EHOSTUNREACH",
    );
}

#[test]
fn a_net_unreachable_has_its_own_outcome() {
    rejected(
        "reject with icmp type net-unreachable",
        Carrier::Ipv4,
        "net_unreachable",
        "ENETUNREACH",
    );
}

#[test]
fn a_timeout_after_a_soft_error_is_a_timeout_with_that_error() {
    let _kernel = alone();
    // The ICMP message is a soft error where it finds the socket locked by connect(), which on
    // loopback only a softirq that was put off fails to do: then the attempt ends at once.
    let soft = (0..5).any(|_| timeout_after_icmp());
    assert!(soft, "no ICMP message out of five found its socket locked");
}

/// One attempt that gets an ICMP message and then no answer; false where the message ended it.
fn timeout_after_icmp() -> bool {
    let namespace = TestNamespace::new();
    namespace.sysctl("net.ipv4.tcp_syn_retries", 1);
    namespace.sysctl("net.ipv4.tcp_syn_linear_timeouts", 0);
    namespace.nft(
        "add table inet t; add chain inet t in { type filter hook input priority 0; }; \
         add rule inet t in tcp dport 9 limit rate 1/day burst 1 packets reject with icmp type host-unreachable; \
         add rule inet t in tcp dport 9 drop",
    );
    let daemon = Daemon::watching(&namespace);
    let error = namespace.run(|| TcpStream::connect(Carrier::Ipv4.address(9)).unwrap_err());
    assert_eq!(error.raw_os_error(), Some(113), "{error}");
    let kernel = Counters::of(&namespace);
    let soft = kernel.get("TCPAbortOnTimeout") == 1;
    let outcome = if soft {
        "timed_out"
    } else {
        "host_unreachable"
    };
    agrees(&settled(&daemon, outcome, 1), &kernel);
    let ended = daemon.get("/api/v1/connects");
    assert_eq!(ended["connects"][0]["error"], "EHOSTUNREACH");
    soft
}

#[test]
fn without_a_local_port_no_syn_is_sent() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.sysctl("net.ipv4.ip_local_port_range", "40000 40000");
    let daemon = Daemon::watching(&namespace);
    namespace.run(|| {
        // The one port is for the client.
        let address = Carrier::Ipv4.address(80);
        let listener = TcpListener::bind(address).unwrap();
        let held = TcpStream::connect(address).unwrap();
        for _ in 0..4 {
            let error = TcpStream::connect(address).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(99), "{error}");
        }
        drop((held, listener));
    });
    agrees(
        &settled(&daemon, "no_local_port", 4),
        &Counters::of(&namespace),
    );
}

#[test]
fn a_syn_that_this_host_drops_is_told_where_the_kernel_tells() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.nft(
        "add table inet t; add chain inet t out { type filter hook output priority 0; }; \
         add rule inet t out tcp dport 9 drop",
    );
    let daemon = Daemon::watching(&namespace);
    let pending = namespace.run(|| start_connect(None, Carrier::Ipv4.address(9)).unwrap());
    // From 6.18 on the tracepoint has the error of a failed retransmit; before, it is silent.
    let tells = Btf::running_kernel()
        .and_then(|btf| btf.tracepoint("tcp_retransmit_skb"))
        .is_ok_and(|prototype| prototype.parameters.len() >= 3);
    let connection = eventually("the SYN was resent", || {
        daemon
            .connections()
            .pop()
            .filter(|connection| connection["syn"]["retransmits"] == 1)
    });
    let failures = daemon
        .metrics()
        .sum("tcpwatch_retransmit_failures_total", &[]);
    let kernel = Counters::of(&namespace).get("TCPRetransFail");
    assert_eq!(kernel, 1);
    if tells {
        assert_eq!(connection["syn"]["dropped_locally"], true);
        assert_eq!(failures, kernel);
    } else {
        assert_eq!(
            connection["syn"]["dropped_locally"],
            serde_json::Value::Null
        );
        assert_eq!(failures, 0);
    }
    drop(pending);
    settled(&daemon, "cancelled", 1);
}

#[test]
fn a_full_table_loses_detail_and_says_how_much_but_no_count() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport 9");
    let daemon = Daemon::start(&["--netns", &namespace.name, "--handshakes", "2"]);
    let pending =
        namespace.run(|| [(); 5].map(|()| start_connect(None, Carrier::Ipv4.address(9)).unwrap()));
    assert_eq!(daemon.metrics().sum("tcpwatch_table_full_total", &[]), 3);
    // sock_diag still shows all of them.
    assert_eq!(daemon.connections().len(), 5);
    drop(pending);
    let metrics = settled(&daemon, "cancelled", 5);
    assert_eq!(
        metrics.sum("tcpwatch_handshakes_unfollowed_total", &[("lost", "start")]),
        3
    );
    agrees(&metrics, &Counters::of(&namespace));
}

#[test]
fn a_connect_to_itself_is_established() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    namespace.run(|| {
        let own = Carrier::Ipv4.address(45_000);
        drop(start_connect(Some(own), own).unwrap());
    });
    let metrics = settled(&daemon, "established", 1);
    assert_eq!(metrics.transitions("syn_sent", "syn_recv"), 1);
    agrees(&metrics, &Counters::of(&namespace));
}

#[test]
fn a_simultaneous_open_is_established_on_both_sides() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport { 45001, 45002 }");
    let daemon = Daemon::watching(&namespace);
    let sockets = namespace.run(|| {
        let (one, other) = (Carrier::Ipv4.address(45_001), Carrier::Ipv4.address(45_002));
        [
            start_connect(Some(one), other).unwrap(),
            start_connect(Some(other), one).unwrap(),
        ]
    });
    // Neither SYN arrived; the first one that is resent crosses the other.
    namespace.nft("delete table inet t");
    let metrics = settled(&daemon, "established", 2);
    assert!(metrics.transitions("syn_sent", "syn_recv") >= 1);
    drop(sockets);
    agrees(&metrics, &Counters::of(&namespace));
}

#[test]
fn a_connect_that_was_under_way_before_the_daemon_is_shown_and_counted() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport 9");
    let pending = namespace.run(|| start_connect(None, Carrier::Ipv4.address(9)).unwrap());
    let local = getsockname(&pending).unwrap();
    let daemon = Daemon::watching(&namespace);
    let connection = eventually("the connection is shown", || daemon.connections().pop());
    assert_eq!(
        connection["local"]["port"],
        std::net::SocketAddr::try_from(local).unwrap().port()
    );
    assert_eq!(connection["since"], serde_json::Value::Null);
    assert_eq!(connection["age_seconds"], serde_json::Value::Null);
    assert_eq!(connection["process"], serde_json::Value::Null);
    drop(pending);
    let metrics = settled(&daemon, "cancelled", 1);
    // How long it took is not known, and so is not in the histogram.
    assert_eq!(
        metrics.sum("tcpwatch_connect_duration_seconds_count", &[]),
        0
    );
    eventually("it is gone", || {
        daemon.connections().is_empty().then_some(())
    });
}

#[test]
fn sockets_that_only_listen_or_wait_change_no_outcome() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    namespace.run(|| {
        let (listener, address) = Carrier::Ipv4.listen();
        let unconnected = socket(address);
        let accepted = thread::spawn(move || listener.accept().unwrap());
        drop(TcpStream::connect(address).unwrap());
        drop(accepted.join().unwrap());
        drop(unconnected);
    });
    agrees(
        &settled(&daemon, "established", 1),
        &Counters::of(&namespace),
    );
}
