//! Socket dumps beside the sockets that they must show, each test in a namespace of its own.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Uid, fchown, fstat},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt},
};
use tcpwatch::kernel::{
    sock_diag::{DiagSocket, Entry, Extensions, Family, Filter, Request, StateMask, TimerKind},
    sysctl,
};

use crate::fixture::{eventually, namespace::TestNamespace, shared};

fn dump(namespace: &TestNamespace, request: Request) -> Vec<Entry> {
    namespace.run(move || {
        let (entries, dumped) = DiagSocket::open().unwrap().collect(&request).unwrap();
        assert_eq!(
            (dumped.sockets, dumped.malformed),
            (entries.len() as u64, 0)
        );
        assert!(entries.iter().all(|entry| entry.family == request.family));
        entries
    })
}

/// The sockets of a family in these states, with every extension.
pub fn in_states(namespace: &TestNamespace, family: Family, states: StateMask) -> Vec<Entry> {
    let extensions = Extensions::ALL;
    dump(
        namespace,
        Request {
            extensions,
            ..Request::new(family, states)
        },
    )
}

fn inode(socket: &impl AsFd) -> u64 {
    fstat(socket).unwrap().st_ino
}

/// What is compared of a socket: its tuple and its inode.
pub type Identity = (SocketAddr, SocketAddr, u64);

fn identity(entry: &Entry) -> Identity {
    (entry.local, entry.remote, entry.inode)
}

/// The same of a socket that this process holds, its addresses as tcpwatch shows them.
pub fn held(stream: &TcpStream) -> Identity {
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    (shown(local), shown(remote), inode(stream))
}

fn shown(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub fn assert_exactly(entries: &[Entry], expected: &[Identity]) {
    let found: BTreeSet<_> = entries.iter().map(identity).collect();
    assert_eq!(found.len(), entries.len(), "no socket twice");
    assert_eq!(found, expected.iter().copied().collect());
}

pub struct Pair {
    listener: TcpListener,
    pub client: TcpStream,
    pub server: TcpStream,
}

/// A connection inside a namespace, to a port that the kernel chooses.
pub fn pair(namespace: &TestNamespace, listen: &'static str, reach: &'static str) -> Pair {
    namespace.run(move || {
        let listener = TcpListener::bind((listen, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((reach, port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        Pair {
            listener,
            client,
            server,
        }
    })
}

/// A connect() that has begun and not ended.
fn begin_connect(namespace: &TestNamespace, to: SocketAddr) -> OwnedFd {
    namespace.run(move || {
        let family = if to.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
        assert_eq!(connect(&socket, &to), Err(Errno::INPROGRESS));
        socket
    })
}

#[test]
fn each_state_has_exactly_its_sockets() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let v4 = pair(&namespace, "127.0.0.1", "127.0.0.1");
    let v6 = pair(&namespace, "::1", "::1");
    let mapped = pair(&namespace, "::", "::ffff:127.0.0.1");
    let listening = |pair: &Pair, any: &str| {
        (
            pair.listener.local_addr().unwrap(),
            SocketAddr::new(any.parse().unwrap(), 0),
            inode(&pair.listener),
        )
    };

    let listeners = in_states(&namespace, Family::V4, StateMask::LISTEN);
    assert_exactly(&listeners, &[listening(&v4, "0.0.0.0")]);
    let listeners = in_states(&namespace, Family::V6, StateMask::LISTEN);
    assert_exactly(
        &listeners,
        &[listening(&v6, "::"), listening(&mapped, "::")],
    );
    for entry in &listeners {
        // Only the unspecified address takes IPv4 too.
        assert_eq!(entry.v6_only, Some(!entry.local.ip().is_unspecified()));
    }

    let established = in_states(&namespace, Family::V4, StateMask::ESTABLISHED);
    assert_exactly(&established, &[held(&v4.client), held(&v4.server)]);
    for entry in &established {
        assert_eq!((entry.state, entry.uid, entry.interface), (1, 0, 0));
        assert_eq!(
            (entry.timer.kind, entry.timer.retransmits),
            (TimerKind::Off, 0)
        );
        assert_eq!((entry.recv_queue, entry.send_queue), (0, 0));
        assert_ne!(entry.cookie, 0);
    }
    assert_ne!(established[0].cookie, established[1].cookie);
    let established = in_states(&namespace, Family::V6, StateMask::ESTABLISHED);
    let expected = [&v6.client, &v6.server, &mapped.client, &mapped.server].map(held);
    assert_exactly(&established, &expected);
    let carries_v4 = established
        .iter()
        .filter(|entry| entry.local.ip() == Ipv4Addr::LOCALHOST);
    assert_eq!(carries_v4.count(), 2);

    // One side closes: FIN_WAIT2 here, CLOSE_WAIT there, and one ESTABLISHED pair less.
    v6.client.shutdown(Shutdown::Write).unwrap();
    let is_in = |states, entry| {
        eventually("the FIN was exchanged", || {
            let entries = in_states(&namespace, Family::V6, states);
            (entries.iter().map(identity).collect::<Vec<_>>() == [entry]).then_some(())
        });
    };
    is_in(StateMask::FIN_WAIT2, held(&v6.client));
    is_in(StateMask::CLOSE_WAIT, held(&v6.server));
    let established = in_states(&namespace, Family::V6, StateMask::ESTABLISHED);
    assert_exactly(&established, &expected[2..]);

    // And the other one: TIME_WAIT where it was closed first, without an inode.
    let (local, remote, _) = held(&v6.client);
    drop((v6.server, v6.client));
    is_in(StateMask::TIME_WAIT, (local, remote, 0));
    let time_wait = &in_states(&namespace, Family::V6, StateMask::TIME_WAIT)[0];
    assert_eq!(
        (time_wait.state, time_wait.timer.kind),
        (6, TimerKind::TimeWait)
    );
    assert!(
        (1..=60).contains(&time_wait.timer.expires.as_secs()),
        "{:?}",
        time_wait.timer
    );
    assert_eq!((&time_wait.info, &time_wait.memory), (&None, &None));

    // Every state at once: the sum of all the above.
    assert_eq!(in_states(&namespace, Family::V4, StateMask::ALL).len(), 3);
    assert_eq!(
        in_states(&namespace, Family::V6, StateMask::ALL).len(),
        2 + 2 + 1
    );
}

#[test]
fn a_filter_selects_exactly_what_it_says() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let v4: Vec<_> = ["127.0.0.1", "127.0.0.2", "127.1.0.1"]
        .into_iter()
        .map(|address| pair(&namespace, address, address))
        .collect();
    let v6 = [
        pair(&namespace, "::1", "::1"),
        pair(&namespace, "::", "::ffff:127.0.0.1"),
    ];
    let port = |pair: &Pair| pair.listener.local_addr().unwrap().port();
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();

    type Expected = Box<dyn Fn(&Entry) -> bool>;
    let within = move |text: &'static str| -> Expected {
        Box::new(move |entry| {
            text.parse::<ipnet::IpNet>()
                .unwrap()
                .contains(&entry.local.ip())
        })
    };
    let (first, second, mapped) = (port(&v4[0]), port(&v4[1]), port(&v6[1]));
    let cases: Vec<(Filter, Expected)> = vec![
        (
            Filter::LocalPort(first),
            Box::new(move |entry| entry.local.port() == first),
        ),
        (
            Filter::RemotePort(first),
            Box::new(move |entry| entry.remote.port() == first),
        ),
        (
            Filter::Port(second),
            Box::new(move |entry| [entry.local.port(), entry.remote.port()].contains(&second)),
        ),
        (
            Filter::Port(mapped),
            Box::new(move |entry| [entry.local.port(), entry.remote.port()].contains(&mapped)),
        ),
        (Filter::Local(net("127.0.0.0/30")), within("127.0.0.0/30")),
        (Filter::Local(net("127.0.0.2/32")), within("127.0.0.2/32")),
        (Filter::Local(net("::1/128")), within("::1/128")),
        (Filter::Local(net("0.0.0.0/0")), within("0.0.0.0/0")),
        (Filter::Local(net("::/0")), within("::/0")),
        (
            Filter::Local(net("::ffff:127.0.0.0/127")),
            within("127.0.0.0/31"),
        ),
        (
            Filter::Remote(net("127.0.0.0/8")),
            Box::new(|entry| entry.remote.ip().is_loopback() && entry.remote.is_ipv4()),
        ),
        (
            Filter::All(vec![
                Filter::Not(Box::new(Filter::Remote(net("127.0.0.0/30")))),
                Filter::Any(vec![
                    Filter::Port(first),
                    Filter::Remote(net("127.1.0.0/16")),
                ]),
            ]),
            Box::new(move |entry| {
                entry.remote.ip() == Ipv4Addr::new(127, 1, 0, 1)
                    || (entry.remote.port() == 0 && entry.local.port() == first)
            }),
        ),
        (Filter::All(vec![]), Box::new(|_| true)),
        (Filter::Any(vec![]), Box::new(|_| false)),
    ];
    for family in Family::BOTH {
        let all = in_states(&namespace, family, StateMask::ALL);
        assert_eq!(all.len(), if family == Family::V4 { 9 } else { 6 });
        for (filter, expected) in &cases {
            let request = Request {
                filter: Some(filter.clone()),
                extensions: Extensions::ALL,
                ..Request::new(family, StateMask::ALL)
            };
            let expected: Vec<_> = all
                .iter()
                .filter(|entry| expected(entry))
                .map(identity)
                .collect();
            println!("{family:?} {filter:?}: {}", expected.len());
            assert_exactly(&dump(&namespace, request), &expected);
        }
    }
}

#[test]
fn a_syn_without_an_answer_waits_for_its_retransmit() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport 9");
    for (family, to) in [
        (Family::V4, "127.0.0.1:9"),
        (Family::V6, "[::1]:9"),
        (Family::V6, "[::ffff:127.0.0.1]:9"),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let began = Instant::now();
        let socket = begin_connect(&namespace, to);
        let read = || {
            let entries = in_states(&namespace, family, StateMask::SYN_SENT);
            let [entry] = <[Entry; 1]>::try_from(entries).unwrap();
            entry
        };
        let entry = read();
        assert_eq!(
            (entry.state, entry.inode, entry.remote),
            (2, inode(&socket), shown(to))
        );
        assert_eq!(entry.timer.kind, TimerKind::Retransmit);
        if entry.timer.retransmits == 0 {
            assert!(
                entry.timer.expires <= Duration::from_millis(1100),
                "{:?}",
                entry.timer
            );
        } else {
            assert!(
                began.elapsed() > Duration::from_millis(900),
                "{:?}",
                entry.timer
            );
        }
        let entry = eventually("the SYN was sent again", || {
            Some(read()).filter(|entry| entry.timer.retransmits == 1)
        });
        assert!(began.elapsed() > Duration::from_millis(900));
        // 1 s again, or 2 s on kernels without tcp_syn_linear_timeouts.
        assert!(
            entry.timer.expires <= Duration::from_millis(2100),
            "{:?}",
            entry.timer
        );
        let info = entry.info.unwrap();
        assert_eq!(
            (info.state, info.retransmits, info.total_retrans),
            (2, 1, 1)
        );
        assert_eq!(
            (info.rtt(), info.min_rtt(), info.wscale_ok()),
            (None, None, false)
        );
        drop(socket);
        // Another test's child may hold a copy until it runs its program.
        eventually("the socket is gone", || {
            in_states(&namespace, family, StateMask::SYN_SENT)
                .is_empty()
                .then_some(())
        });
    }
}

#[test]
fn a_handshake_without_its_last_ack_is_a_request_sock() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let listener = namespace.run(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let local = listener.local_addr().unwrap();
    // The SYN-ACK does not arrive.
    namespace.drop_arriving(&format!("tcp sport {}", local.port()));
    let client = begin_connect(&namespace, local);
    let client: SocketAddr = rustix::net::getsockname(&client)
        .unwrap()
        .try_into()
        .unwrap();
    for states in [StateMask::SYN_RECV, StateMask::NEW_SYN_RECV] {
        let entry = eventually("the SYN has arrived", || {
            in_states(&namespace, Family::V4, states).pop()
        });
        assert_eq!((entry.state, identity(&entry)), (3, (local, client, 0)));
        assert_eq!(entry.timer.kind, TimerKind::Retransmit);
        assert!(
            entry.timer.expires <= Duration::from_millis(2100),
            "{:?}",
            entry.timer
        );
        assert_ne!(entry.cookie, 0);
    }
}

#[test]
fn the_numbers_are_those_of_the_socket() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let mut pair = pair(&namespace, "127.0.0.1", "127.0.0.1");
    let sent = vec![7; 10_000];
    pair.client.write_all(&sent).unwrap();
    let read = |socket: &TcpStream| {
        let inode = inode(socket);
        let entries = in_states(&namespace, Family::V4, StateMask::ESTABLISHED);
        entries
            .into_iter()
            .find(|entry| entry.inode == inode)
            .unwrap()
    };

    let server = eventually("everything has arrived", || {
        Some(read(&pair.server)).filter(|entry| entry.recv_queue == 10_000)
    });
    let info = server.info.unwrap();
    assert_eq!(
        (info.state, info.bytes_received, info.bytes_sent),
        (1, Some(10_000), Some(0))
    );
    assert!(info.wscale_ok() && info.rcv_wscale > 0 && info.snd_wscale > 0);
    let memory = server.memory.unwrap();
    assert!(memory.rmem_alloc >= 10_000, "{memory:?}");
    let rcvbuf = sockopt::socket_recv_buffer_size(&pair.server).unwrap();
    assert_eq!(usize::try_from(memory.rcvbuf).unwrap(), rcvbuf);

    let client = eventually("everything is acknowledged", || {
        Some(read(&pair.client)).filter(|entry| entry.send_queue == 0)
    });
    let info = client.info.unwrap();
    // The SYN counts as an acknowledged byte.
    assert_eq!(
        (info.bytes_sent, info.bytes_acked),
        (Some(10_000), Some(10_001))
    );
    assert_eq!(
        (info.notsent_bytes, info.bytes_retrans, info.total_retrans),
        (Some(0), Some(0), 0)
    );
    assert!(info.rtt().unwrap() < Duration::from_secs(5), "{info:?}");
    assert!(
        info.min_rtt().unwrap() <= info.rtt().unwrap() * 2,
        "{info:?}"
    );
    assert!(
        (1_000..10_000_000).contains(&info.rto_us) && info.snd_cwnd > 0,
        "{info:?}"
    );
    assert!(info.snd_wnd.unwrap() > 0, "every kernel since 5.4 tells it");
    let sndbuf = sockopt::socket_send_buffer_size(&pair.client).unwrap();
    assert_eq!(
        usize::try_from(client.memory.unwrap().sndbuf).unwrap(),
        sndbuf
    );
    let expected = namespace.run(|| sysctl::read("net.ipv4.tcp_congestion_control").unwrap());
    assert_eq!(client.congestion_control, Some(expected));

    let mut got = vec![0; sent.len()];
    pair.server.read_exact(&mut got).unwrap();
    assert_eq!(read(&pair.server).recv_queue, 0);
}

#[test]
fn owner_and_keepalive_timer_are_those_of_the_socket() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let pair = pair(&namespace, "127.0.0.1", "127.0.0.1");
    fchown(&pair.client, Some(Uid::from_raw(1234)), None).unwrap();
    sockopt::set_socket_keepalive(&pair.client, true).unwrap();
    sockopt::set_tcp_keepidle(&pair.client, Duration::from_secs(500)).unwrap();
    let entries = in_states(&namespace, Family::V4, StateMask::ESTABLISHED);
    let client = entries
        .iter()
        .find(|entry| entry.inode == inode(&pair.client))
        .unwrap();
    assert_eq!(
        (client.uid, client.timer.kind),
        (1234, TimerKind::Keepalive)
    );
    assert!(
        (490..=510).contains(&client.timer.expires.as_secs()),
        "{:?}",
        client.timer
    );
}

#[test]
fn a_listener_tells_its_accept_queue() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let (listener, _waiting) = namespace.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listen(&listener, 7).unwrap();
        let listener = TcpListener::from(listener);
        let to = listener.local_addr().unwrap();
        let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(to).unwrap()).collect();
        (listener, waiting)
    });
    let entry = eventually("three wait in the accept queue", || {
        let [entry] =
            <[Entry; 1]>::try_from(in_states(&namespace, Family::V4, StateMask::LISTEN)).unwrap();
        Some(entry).filter(|entry| entry.recv_queue == 3)
    });
    assert_eq!((entry.send_queue, entry.inode), (7, inode(&listener)));
    let info = entry.info.unwrap();
    assert_eq!((info.unacked, info.sacked), (3, 7));
    // Those that wait have no file yet, and so no inode.
    let established = in_states(&namespace, Family::V4, StateMask::ESTABLISHED);
    assert_eq!(
        established.iter().filter(|entry| entry.inode == 0).count(),
        3
    );
}
