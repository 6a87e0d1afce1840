//! The commands that ask a daemon, from their flags to what they print, against the real API.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod usage;
mod watch;

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

/// Expects `line` to fail with one line, wherever it asks.
fn check_fails(line: &str, targets: &[Target], exit: Exit, message: &str) {
    let expected = Said {
        exit,
        out: String::new(),
        err: format!("tcpwatch: {message}\n"),
    };
    assert_eq!(tcpwatch(line, targets, false), expected, "{line}");
}
