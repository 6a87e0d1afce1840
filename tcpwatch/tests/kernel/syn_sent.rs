//! The classic lab: a firewall drops SYNs silently, and what is shown of it comes true.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::fixture::{
    counters::Counters,
    daemon::{Daemon, tcpwatch},
    eventually,
    namespace::TestNamespace,
    shared,
    socket::{Carrier, start_connect},
    within,
};

/// One attempt with these sysctls; `linear` is left as it is where it is `None`.
#[track_caller]
fn lab(retries: u8, linear: Option<u8>) {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    namespace.sysctl("net.ipv4.tcp_syn_retries", retries);
    if let Some(linear) = linear
        && !namespace.sysctl("net.ipv4.tcp_syn_linear_timeouts", linear)
    {
        // Before 6.5 there are no linear timeouts; what the kernel does then is the other case.
        assert_eq!(linear_timeouts_of_this_kernel(&namespace), None);
    }
    namespace.drop_arriving("tcp dport 443");
    let daemon = Daemon::watching(&namespace);

    let target = namespace.target();
    let (began, begins) = std::sync::mpsc::channel();
    let client = thread::spawn(move || {
        let thread = tcpwatch::kernel::netns::NamespaceThread::spawn().unwrap();
        let job = move || {
            began.send(Instant::now()).unwrap();
            let error = TcpStream::connect(Carrier::Ipv4.address(443)).unwrap_err();
            (Instant::now(), error)
        };
        thread.blocking_run_in(target, job).unwrap()
    });
    let start = begins.recv().unwrap();

    // When the answer was asked for, and when it was there: it is of some moment between.
    let (asked, first, answered) = within(
        Duration::from_millis(1500),
        "the connection is shown",
        || {
            let asked = start.elapsed();
            let first = daemon.connections().pop()?;
            Some((asked, first, start.elapsed()))
        },
    );
    let number = |connection: &Value, path: &str| connection.pointer(path).and_then(Value::as_f64);
    let limit = number(&first, "/syn/retransmits_limit").unwrap();
    let gives_up = seconds(number(&first, "/gives_up_in_seconds").unwrap());
    assert_eq!(first["remote"]["port"], 443);
    assert_eq!(first["gives_up_because"], "tcp_syn_retries");
    assert_eq!(first["process"]["pid"], std::process::id());

    // Each retransmit is shown as it happens: the promised moment of the next one is when the
    // count goes up.
    let mut seen = Vec::new();
    // No earlier and no later than this: the answer is of some moment between question and answer.
    let mut next_at: Option<(Duration, Duration)> = None;
    while !client.is_finished() {
        let asked = start.elapsed();
        if let Some(connection) = daemon.connections().pop() {
            let answered = start.elapsed();
            let retransmits = connection["syn"]["retransmits"].as_u64().unwrap();
            if seen.last().is_none_or(|(last, _)| *last != retransmits) {
                if let Some((from, to)) = next_at {
                    // A timer fires up to an eighth late, and emulation is slow.
                    let slack = Duration::from_millis(900);
                    assert!(
                        answered + Duration::from_millis(100) >= from && asked <= to + slack,
                        "retransmit {retransmits} was promised for {from:?} to {to:?} and seen between {asked:?} and {answered:?}"
                    );
                }
                seen.push((retransmits, answered));
            }
            let next = seconds(number(&connection, "/syn/next_retransmit_in_seconds").unwrap());
            next_at = Some((asked + next, answered + next));
            assert_eq!(
                connection["syn"]["stalled"],
                retransmits > 0 || number(&connection, "/age_seconds").unwrap() > 1.0
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    let (ended, error) = client.join().unwrap();
    let lasted = ended - start;
    assert_eq!(error.raw_os_error(), Some(110), "{error}");
    let counts: Vec<u64> = seen.iter().map(|(count, _)| *count).collect();
    assert_eq!(
        counts,
        (counts[0]..=limit as u64).collect::<Vec<_>>(),
        "none was left out"
    );
    let promised = (asked + gives_up, answered + gives_up);
    assert!(
        lasted.as_secs_f64() > 0.9 * promised.0.as_secs_f64()
            && lasted.as_secs_f64() < 1.1 * promised.1.as_secs_f64(),
        "promised {promised:?}, lasted {lasted:?}"
    );

    let metrics = eventually("the attempt timed out", || {
        let metrics = daemon.metrics();
        (metrics.connects("timed_out") == 1).then_some(metrics)
    });
    let kernel = Counters::of(&namespace);
    let resent = metrics.sum("tcpwatch_retransmits_total", &[("kind", "syn")]);
    assert_eq!(resent, kernel.get("TCPSynRetrans"));
    assert_eq!(resent, limit as u64);
    assert_eq!(kernel.get("AttemptFails"), 1);
    assert_eq!(kernel.get("TCPAbortOnTimeout"), 1);
    assert_eq!(metrics.sum("tcpwatch_syn_sent_stalls_total", &[]), 1);
    let ended = &daemon.get("/api/v1/connects?outcome=timed_out")["connects"][0];
    assert_eq!(ended["syn_retransmits"], resent);
    assert_eq!(ended["error"], "ETIMEDOUT");
    assert_eq!(ended["by"], "timer");
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

fn linear_timeouts_of_this_kernel(namespace: &TestNamespace) -> Option<u8> {
    namespace.run(|| {
        tcpwatch::kernel::sysctl::SynSysctls::read()
            .unwrap()
            .syn_linear_timeouts
    })
}

#[test]
fn one_retry() {
    lab(1, Some(0));
}

#[test]
fn one_retry_and_linear_timeouts() {
    lab(1, Some(4));
}

#[test]
fn two_retries() {
    lab(2, Some(0));
}

#[test]
fn two_retries_and_linear_timeouts() {
    lab(2, Some(4));
}

#[test]
fn three_retries() {
    lab(3, Some(0));
}

#[test]
fn three_retries_and_linear_timeouts() {
    lab(3, Some(4));
}

#[test]
fn the_command_shows_process_retransmits_and_countdown() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    namespace.drop_arriving("tcp dport 443");
    let daemon = Daemon::watching(&namespace);
    let pending = namespace
        .run(|| Carrier::ALL.map(|carrier| start_connect(None, carrier.address(443)).unwrap()));
    let url = format!("unix:{}", daemon.socket.display());
    let table = eventually("all three were resent", || {
        let output = tcpwatch(&["--url", &url, "connections", "--state", "syn_sent"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // So many of so many retransmits, as in 1/10.
        let resent = |cell: &&str| {
            cell.split_once('/').is_some_and(|(done, limit)| {
                done.parse::<u32>().is_ok_and(|done| done > 0) && limit.parse::<u32>().is_ok()
            })
        };
        let rows = text.split_whitespace().filter(resent).count();
        (rows == 3).then_some(text)
    });
    assert!(table.contains(&std::process::id().to_string()), "{table}");
    assert!(table.contains("tcp_syn_retries"), "{table}");
    assert_eq!(table.matches("SYN_SENT").count(), 3, "{table}");
    drop(pending);
}
