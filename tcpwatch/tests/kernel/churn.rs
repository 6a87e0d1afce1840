//! Many connections at once: what the programs miss is what they say they missed.

use std::{io::Read as _, net::TcpStream, thread};

use crate::fixture::{
    alone, counters::Counters, daemon::Daemon, eventually, namespace::TestNamespace,
    socket::Carrier,
};

const CLIENTS: u64 = 4;

/// How many connections each client makes: 20,000 in all, fewer where one takes milliseconds.
fn connections_a_client() -> u64 {
    let emulated = std::env::var_os("TCPWATCH_EMULATED").is_some();
    if emulated { 500 } else { 5000 }
}

#[test]
fn the_whole_shortfall_is_the_misses_reported() {
    let _kernel = alone();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    let each = connections_a_client();
    namespace.run(move || {
        // Threads are made inside, so they stay in the namespace.
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                thread::spawn(move || {
                    let (listener, address) = Carrier::Ipv4.listen();
                    for _ in 0..each {
                        let client = TcpStream::connect(address).unwrap();
                        let (mut server, _) = listener.accept().unwrap();
                        drop(client);
                        assert_eq!(server.read(&mut [0]).unwrap(), 0);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    });
    let total = CLIENTS * each;
    let kernel = Counters::of(&namespace);
    assert_eq!(kernel.get("ActiveOpens"), total);
    assert_eq!(kernel.get("PassiveOpens"), total);
    // The last sockets die a moment after the last close.
    let path = [
        ("close", "syn_sent"),
        ("syn_sent", "established"),
        ("listen", "syn_recv"),
        ("syn_recv", "established"),
        ("established", "fin_wait1"),
        ("established", "close_wait"),
        ("fin_wait1", "fin_wait2"),
        ("fin_wait2", "close"),
        ("close_wait", "last_ack"),
        ("last_ack", "close"),
    ];
    eventually("every transition was seen or missed", || {
        let metrics = daemon.metrics();
        let counts: Vec<u64> = path
            .iter()
            .map(|(from, to)| metrics.transitions(from, to))
            .collect();
        assert!(counts.iter().all(|count| *count <= total), "{counts:?}");
        let seen = counts.iter().sum::<u64>()
            + metrics.transitions("close", "listen")
            + metrics.transitions("listen", "close");
        let made = total * path.len() as u64 + 2 * CLIENTS;
        (seen + metrics.missed("inet_sock_set_state") == made).then_some(())
    });
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("tcpwatch_events_lost_total", &[]), 0);
    assert_eq!(metrics.sum("tcpwatch_table_full_total", &[]), 0);
    assert_eq!(
        metrics.sum("tcpwatch_table_entries", &[]),
        0,
        "no handshake is left behind"
    );
}
