//! Where the daemon is looked for, and what is said when there is no answer.

use std::io::{self, Write as _};

use tcpwatch::cli::{Exit, client::Target};

use crate::{Daemon, check_fails, common, tcpwatch};

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
