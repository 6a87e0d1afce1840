//! The commands that ask a daemon, from their flags to what they print, against the real API.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
};

use tcpwatch::{
    api::{self, Routes},
    cli::{self, Cli, Command, Console, Exit, client::Target},
    model::Snapshot,
};

/// A writer whose text the test can read.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    fn read(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a command printed and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    exit: Exit,
    out: String,
    err: String,
}

/// Runs `tcpwatch LINE`, its words split at spaces; without `--url` it asks `targets`.
fn tcpwatch(line: &str, targets: &[Target], colour: bool) -> Said {
    let (out, err) = (Text::default(), Text::default());
    let mut console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        colour,
        terminal: false,
    };
    let words = std::iter::once("tcpwatch").chain(line.split_whitespace());
    let exit = match cli::parse(words, &mut console) {
        Err(exit) => exit,
        Ok(Cli {
            url,
            command: Command::Ask(ask),
        }) => match url {
            Some(url) => cli::run(&ask, &Target::candidates(Some(url)), &mut console),
            None => cli::run(&ask, targets, &mut console),
        },
        Ok(other) => panic!("{other:?} asks nobody"),
    };
    Said {
        exit,
        out: out.read(),
        err: err.read(),
    }
}

/// A daemon's API on a unix socket and a TCP port, until it is dropped.
struct Daemon {
    socket: PathBuf,
    address: SocketAddr,
}

impl Daemon {
    fn start(snapshot: Snapshot) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket =
            std::env::temp_dir().join(format!("tcpwatch-{}-{number}.sock", std::process::id()));
        let path = socket.clone();
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let router = api::router(common::feed(snapshot), Routes::All);
                let unix = tokio::net::UnixListener::bind(path).unwrap();
                let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(tcp.local_addr().unwrap()).unwrap();
                let unix = axum::serve(unix, router.clone());
                tokio::spawn(async move { unix.await.unwrap() });
                axum::serve(tcp, router).await.unwrap();
            });
        });
        let address = started.recv().unwrap();
        Self { socket, address }
    }

    fn targets(&self) -> Vec<Target> {
        vec![Target::Unix(self.socket.clone())]
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The thread goes with the process; the file would not.
        let _ = std::fs::remove_file(&self.socket);
    }
}

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

/// Expects `line` to fail with one line, wherever it asks.
fn check_fails(line: &str, targets: &[Target], exit: Exit, message: &str) {
    let expected = Said {
        exit,
        out: String::new(),
        err: format!("tcpwatch: {message}\n"),
    };
    assert_eq!(tcpwatch(line, targets, false), expected, "{line}");
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
        serde_json::from_str(include_str!("fixtures/connections.json")).unwrap();
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

#[test]
fn a_daemon_is_found_by_url_and_by_default() {
    let daemon = Daemon::start(common::snapshot());
    let check = |line: &str, targets: &[Target]| {
        let said = tcpwatch(line, targets, false);
        assert_eq!((said.exit, &*said.err), (Exit::Answered, ""), "{line}");
    };
    let (unix, tcp) = (daemon.socket.display(), daemon.address);
    check(&format!("--url unix:{unix} status"), &[]);
    check(&format!("status --url unix://{unix}"), &[]);
    check(&format!("status --url http://{tcp}"), &[]);
    check(
        &format!("status --url http://localhost:{}/", tcp.port()),
        &[],
    );
    // The socket is missing, and the next one answers.
    check(
        "status",
        &[
            Target::Unix("/nowhere/tcpwatch.sock".into()),
            Target::Tcp("127.0.0.1".to_owned(), tcp.port()),
        ],
    );
}

#[test]
fn urls_are_read_as_written() {
    let check = |text: &str, expected: &str| {
        let target: Result<Target, _> = text.parse();
        let shown = target.map_or_else(|error| error, |target| target.to_string());
        assert_eq!(shown, expected, "{text}");
    };
    check("unix:/run/x.sock", "unix:/run/x.sock");
    check("unix:///run/x.sock", "unix:/run/x.sock");
    check("http://host:80", "http://host:80");
    check("http://host", "http://host:9777");
    check("http://[::1]:9777/", "http://[::1]:9777");
    check("http://[::1]", "http://[::1]:9777");
    let wrong = "neither unix:/path nor http://host:port";
    for text in [
        "",
        "/run/x.sock",
        "https://host",
        "http://",
        "http://host:port",
        "http://host/metrics",
        "http://[::1",
        "http://[::1]x",
        "http://user@host",
    ] {
        check(text, wrong);
    }
    check(
        "unix:run/x.sock",
        "unix: needs a path from the root, such as unix:/run/x.sock",
    );
}

#[test]
fn a_daemon_that_is_not_there_is_one_clear_line() {
    // Bound and closed at once, so that nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    check_fails(
        "connections",
        &[
            Target::Unix("/nowhere/tcpwatch.sock".into()),
            Target::Tcp("127.0.0.1".to_owned(), port),
        ],
        Exit::Failed,
        &format!(
            "no daemon answers at unix:/nowhere/tcpwatch.sock (No such file or directory) nor at \
             http://127.0.0.1:{port} (Connection refused); start one with `sudo tcpwatch daemon`"
        ),
    );
    assert_eq!(
        Target::candidates(None)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["unix:/run/tcpwatch/tcpwatch.sock", "http://127.0.0.1:9777"]
    );
}

#[test]
fn what_the_daemon_refuses_is_its_own_sentence() {
    let daemon = Daemon::start(common::snapshot());
    let targets = daemon.targets();
    check_fails(
        "connections --sort size",
        &targets,
        Exit::Usage,
        "sort: unknown order size; one of age, -age, retransmits, rtt, send_queue, recv_queue, \
         rwnd_limited",
    );
    check_fails(
        "connections --limit 100001",
        &targets,
        Exit::Usage,
        "limit: 100001 is not a number from 0 to 100000",
    );
    check_fails(
        "connections --state established",
        &targets,
        Exit::Failed,
        "state: this version cannot list connections in ESTABLISHED; it lists SYN_SENT",
    );
}

#[test]
fn somebody_elses_server_is_not_mistaken_for_the_daemon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for answer in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = io::Read::read(&mut stream, &mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let targets = [Target::Tcp("127.0.0.1".to_owned(), port)];
    check_fails(
        "status",
        &targets,
        Exit::Failed,
        &format!("http://127.0.0.1:{port}: answered 404 Not Found; is that tcpwatch?"),
    );
    check_fails(
        "status",
        &targets,
        Exit::Failed,
        "the daemon's answer is not JSON: expected ident at line 1 column 2",
    );
}

#[test]
fn a_wrong_flag_is_one_line_and_exit_code_2() {
    let check = |line: &str, message: &str| {
        check_fails(
            line,
            &[],
            Exit::Usage,
            &format!("{message}; --help tells more"),
        );
    };
    check(
        "connectoins",
        "unrecognized subcommand 'connectoins'; some similar subcommands exist: \
         'connects', 'connections'",
    );
    check(
        "connections --colour",
        "unexpected argument '--colour' found",
    );
    check(
        "connections --state FOO",
        "invalid value 'FOO' for '--state <STATE>': unknown state; one of established, syn_sent, \
         syn_recv, fin_wait1, fin_wait2, time_wait, close, close_wait, last_ack, listen, closing, \
         new_syn_recv",
    );
    check(
        "connections --older-than 10",
        "invalid value '10' for '--older-than <DURATION>': not a duration; such as 500ms, 10s, 5m \
         or 1h30m",
    );
    for flag in ["connections --remote", "connects --remote"] {
        check(
            &format!("{flag} 10.0.0.9:443"),
            "invalid value '10.0.0.9:443' for '--remote <ADDRESS>': neither an address nor a CIDR \
             block; such as 10.0.0.9 or 10.0.0.0/8",
        );
    }
    check(
        "connections --port 0",
        "invalid value '0' for '--port <PORT>': 0 is not in 1..=65535",
    );
    check(
        "connections --pid x",
        "invalid value 'x' for '--pid <PID>': invalid digit found in string",
    );
    check("connections --limit -1", "unexpected argument '-1' found");
    check(
        "connections --watch 1ms",
        "invalid value '1ms' for '--watch [<INTERVAL>]': at least 100ms",
    );
    check(
        "connections --watch --json",
        "the argument '--watch [<INTERVAL>]' cannot be used with '--json'",
    );
    check(
        "connects --outcome lost",
        "invalid value 'lost' for '--outcome <OUTCOME>': unknown outcome; one of established, \
         refused_rst, refused_icmp, timed_out, host_unreachable, net_unreachable, cancelled, \
         no_local_port, other",
    );
    check(
        "connects --since yesterday",
        "invalid value 'yesterday' for '--since <WHEN>': neither a duration nor a time; such as \
         10m or 2026-01-01T00:00:00Z",
    );
    check(
        "status --url ftp://host",
        "invalid value 'ftp://host' for '--url <URL>': neither unix:/path nor http://host:port",
    );
}

#[test]
fn help_and_version_are_answers() {
    let check = |line: &str, exit: Exit, text: &str| {
        let said = tcpwatch(line, &[], false);
        assert_eq!(said.exit, exit, "{line}");
        assert!(
            said.out.contains(text) || said.err.contains(text),
            "{said:?}"
        );
        said
    };
    let version = check("--version", Exit::Answered, env!("CARGO_PKG_VERSION"));
    assert_eq!(version.err, "");
    let help = check("--help", Exit::Answered, "connections");
    for command in ["daemon", "preflight", "connects", "status", "metrics"] {
        assert!(help.out.contains(command), "{command}");
    }
    check("connections --help", Exit::Answered, "--older-than");
    // Without a command there is nothing to answer.
    check("", Exit::Usage, "connections");
}

/// A reader that leaves after `lines` line breaks, as `head` does.
struct Leaves {
    text: Text,
    lines: usize,
}

impl Write for Leaves {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let breaks = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.lines = self.lines.saturating_sub(breaks);
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `line` for a reader that leaves, and gives back what it saw.
fn until_left(line: &str, targets: &[Target], lines: usize, terminal: bool) -> String {
    let (out, err) = (Text::default(), Text::default());
    let mut console = Console {
        out: Box::new(Leaves {
            text: out.clone(),
            lines,
        }),
        err: Box::new(err.clone()),
        colour: false,
        terminal,
    };
    let words = std::iter::once("tcpwatch").chain(line.split_whitespace());
    let Command::Ask(ask) = cli::parse(words, &mut console).unwrap().command else {
        panic!("{line} asks nobody");
    };
    let exit = cli::run(&ask, targets, &mut console);
    assert_eq!((exit, &*err.read()), (Exit::Answered, ""), "{line}");
    out.read()
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let daemon = Daemon::start(common::snapshot());
    assert_eq!(until_left("connections", &daemon.targets(), 0, false), "");
}

#[test]
fn watch_draws_again_until_nobody_looks() {
    let daemon = Daemon::start(common::snapshot());
    let line = "connections --watch 100ms --remote 10.0.0.9";
    // Header, one row and an empty line a round.
    let piped = until_left(line, &daemon.targets(), 6, false);
    assert_eq!(piped.matches("STATE ").count(), 2, "{piped}");
    assert!(!piped.contains('\x1b'), "{piped}");

    // On a terminal there is no empty line: each round covers the last.
    let terminal = until_left(line, &daemon.targets(), 4, true);
    assert_eq!(terminal.matches("\x1b[H").count(), 2, "{terminal}");
    assert_eq!(terminal.matches("STATE ").count(), 2, "{terminal}");
}

#[test]
fn watch_waits_for_a_daemon_that_is_started_anew() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let answers = [
            ("200 OK", r#"{"connections":[]}"#),
            (
                "503 Service Unavailable",
                r#"{"error":{"code":"stopping","message":"the daemon is stopping"}}"#,
            ),
        ];
        for (status, body) in answers {
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = io::Read::read(&mut stream, &mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let targets = [Target::Tcp("127.0.0.1".to_owned(), port)];
    // Three lines of the first round, two of each later one.
    let piped = until_left("connections --watch 100ms", &targets, 7, false);
    let lines: Vec<_> = piped.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines[0].starts_with("STATE "), "{piped}");
    assert_eq!(lines[1..3], ["no connections", "the daemon is stopping"]);
    assert!(
        lines[3].starts_with("no daemon answers at http://127"),
        "{piped}"
    );
}
