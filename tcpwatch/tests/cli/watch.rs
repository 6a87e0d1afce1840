//! Output that goes on, and readers that leave.

use std::io::{self, Write};

use tcpwatch::cli::{self, Command, Console, Exit, client::Target};

use crate::{Daemon, Text, common};

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
