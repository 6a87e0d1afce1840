//! What people and programs read.

use tcpwatch::cli::Exit;

use crate::{Daemon, Said, common, tcpwatch};

/// Runs `line` against the fixture and expects it to print `out` and nothing else.
fn check_prints(line: &str, out: &str) {
    let daemon = Daemon::start(common::snapshot());
    let expected = Said {
        exit: Exit::Answered,
        out: out.to_owned(),
        err: String::new(),
    };
    let said = tcpwatch(line, &daemon.targets(), false);
    assert_eq!(said, expected, "{line}\n{}", said.out);
}

#[test]
fn what_people_read_is_the_golden_text() {
    let daemon = Daemon::start(common::snapshot());
    for (line, golden) in [
        ("connections", "connections.txt"),
        ("connects", "connects.txt"),
        ("status", "status.txt"),
        ("metrics", "metrics.txt"),
    ] {
        let said = tcpwatch(line, &daemon.targets(), false);
        assert_eq!((said.exit, &*said.err), (Exit::Answered, ""), "{line}");
        common::check_golden(golden, &said.out);
    }
}

#[test]
fn flags_become_filters() {
    let daemon = Daemon::start(common::snapshot());
    let check = |flags: &str, remotes: &[&str]| {
        let said = tcpwatch(&format!("connections {flags}"), &daemon.targets(), false);
        assert_eq!((said.exit, &*said.err), (Exit::Answered, ""), "{flags}");
        let lines: Vec<_> = said.out.lines().skip(1).collect();
        assert_eq!(lines.len(), remotes.len(), "{flags}\n{}", said.out);
        for (line, remote) in lines.iter().zip(remotes) {
            assert!(line.contains(remote), "{flags}\n{}", said.out);
        }
    };
    let (curl, mapped, old, open) = ("10.0.0.9:443", "10.1.2.3:80", "[2001:db8::9]", "10.0.0.6");
    check("--state syn_sent", &[old, curl, mapped]);
    check("--state SYN_SENT --older-than 1s", &[old, curl]);
    check("--remote 10.0.0.0/8", &[curl, mapped, open]);
    check("--remote 2001:db8::/32", &[old]);
    check("--port 443", &[old, curl]);
    check("--pid 1234", &[curl]);
    check("--comm curl", &[curl]);
    check("--netns blue", &[mapped]);
    check("--stalled", &[old, curl]);
    check("--sort -age", &[open, mapped, curl, old]);
    check("--sort age --limit 4", &[old, curl, mapped, open]);
    check("--port 1", &["no connections"]);
    check(
        "--limit 1",
        &[old, "1 of 4 connections; --limit shows more"],
    );
}

#[test]
fn one_namespace_needs_no_column() {
    check_prints(
        "connections --remote 10.0.0.9",
        "\
STATE     AGE   LOCAL           REMOTE        PROCESS    RETRANS  NEXT  GIVES UP
SYN_SENT  3.2s  10.0.0.5:43210  10.0.0.9:443  1234/curl  3/10     0.8s  in 127.8s, tcp_syn_retries
",
    );
}

#[test]
fn ended_attempts_are_filtered_and_a_gap_is_told() {
    check_prints(
        "connects --outcome refused_rst --remote 10.0.0.0/8 --port 81 --pid 1234 --comm curl \
         --until 1s --limit 1 --since 1h",
        "\
ENDED                 OUTCOME      AFTER  LOCAL           REMOTE       PROCESS    RETRANS  ERROR         BY
2025-12-31T23:59:50Z  refused_rst  1.0ms  10.0.0.5:40000  10.0.0.9:81  1234/curl  5        ECONNREFUSED  rst
not every attempt of that time is here: the history begins at 2025-12-31T23:59:10Z
",
    );
}

#[test]
fn json_is_the_answer_in_the_order_of_the_api() {
    let daemon = Daemon::start(common::snapshot());
    let said = tcpwatch(
        "connections --json --remote 10.0.0.9",
        &daemon.targets(),
        true,
    );
    assert_eq!((said.exit, &*said.err), (Exit::Answered, ""));
    let head = "{\n  \"generated_at\": \"2026-01-01T00:00:10.000000Z\",\n  \"total\": 1,\n";
    assert!(said.out.starts_with(head), "{}", said.out);
    let got: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/connections.json")).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let daemon = Daemon::start(common::snapshot());
    for line in ["connections", "connects", "status"] {
        let plain = tcpwatch(line, &daemon.targets(), false).out;
        let coloured = tcpwatch(line, &daemon.targets(), true).out;
        assert!(!plain.contains('\x1b'), "{line}");
        assert!(coloured.contains("\x1b[1m"), "{line}");
        let mut stripped = coloured;
        for sequence in ["\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"] {
            stripped = stripped.replace(sequence, "");
        }
        assert_eq!(stripped, plain, "{line}");
    }
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let mut snapshot = common::snapshot();
    snapshot.connections.truncate(1);
    snapshot.connections[0].process.as_mut().unwrap().comm = "\x1b[2J\nroot".to_owned();
    let daemon = Daemon::start(snapshot);
    let said = tcpwatch("connections", &daemon.targets(), false);
    assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    assert!(said.out.contains("1234/\\u{1b}[2J\\nroot"), "{}", said.out);
}
