//! The churn load: connections over loopback, each opened, accepted and closed, as fast as they go. It runs as a
//! process of its own, inside a network namespace that holds nothing else, and says what it did as one line of JSON.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    net::sockopt::set_socket_linger,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use super::namespace::Namespace;

/// Listeners of one thread: TIME_WAIT keeps a port from being used again towards the same listener, and one listener
/// alone would make the search for a free port part of what is measured.
const LISTENERS: u8 = 8;

/// The second byte of every listener's address, by which the load is told apart in what a tool prints.
pub const MARK: &str = "127.77.";

/// How the client ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// With a FIN, which the server answers.
    Fin,
    /// With a RST (SO_LINGER with a time of 0).
    Rst,
}

/// What one run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args, Serialize)]
pub struct Load {
    /// How the client ends a connection
    #[arg(long, value_enum)]
    pub close: Close,
    /// Threads that connect and accept, each with itself
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// Connections of all threads together
    #[arg(long)]
    pub connections: u64,
}

/// What one run made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// Connections made.
    pub connections: u64,
    /// From the first connect to the last close.
    pub seconds: f64,
    /// User and system time of the whole process in between.
    pub cpu_seconds: f64,
    /// What the kernel counted in this namespace.
    pub active_opens: u64,
}

impl LoadReport {
    /// Connections a second.
    pub fn rate(&self) -> f64 {
        self.connections as f64 / self.seconds
    }
}

impl Load {
    /// State transitions that the kernel shows for one connection. With a FIN: CLOSE -> SYN_SENT -> ESTABLISHED ->
    /// FIN_WAIT1 -> FIN_WAIT2 -> CLOSE and LISTEN -> SYN_RECV -> ESTABLISHED -> CLOSE_WAIT -> LAST_ACK -> CLOSE; with
    /// a RST both ends go from ESTABLISHED to CLOSE.
    pub const fn transitions_a_connection(self) -> u64 {
        match self.close {
            Close::Fin => 10,
            Close::Rst => 6,
        }
    }

    /// State transitions of a run, without those of the listeners.
    pub const fn transitions(self) -> u64 {
        self.connections * self.transitions_a_connection()
    }

    /// The name in tables.
    pub fn name(self) -> String {
        let close = match self.close {
            Close::Fin => "FIN",
            Close::Rst => "RST",
        };
        match self.threads {
            1 => format!("{close}, 1 thread"),
            threads => format!("{close}, {threads} threads"),
        }
    }

    /// Runs the load in a fresh namespace and waits for its end.
    ///
    /// # Errors
    /// When the namespace cannot be made, the load failed, or the kernel counted other connections than it made.
    pub fn run(self) -> Result<LoadReport> {
        let namespace = Namespace::new()?;
        let own = std::env::current_exe().context("cannot find xtask's own binary")?;
        let mut command = namespace.command(own);
        command
            .args(["bench-load", "--close"])
            .arg(match self.close {
                Close::Fin => "fin",
                Close::Rst => "rst",
            })
            .args(["--threads", &self.threads.to_string()])
            .args(["--connections", &self.connections.to_string()]);
        let text = crate::project::output(&mut command)?;
        let report: LoadReport =
            serde_json::from_str(&text).context("the load did not say what it made")?;
        if report.active_opens != report.connections {
            bail!(
                "the load made {} connections, the kernel counted {}",
                report.connections,
                report.active_opens
            );
        }
        Ok(report)
    }

    /// Makes the load here and prints the report.
    ///
    /// # Errors
    /// When a connection fails.
    pub fn make(self) -> Result<()> {
        let each = self.connections / u64::from(self.threads);
        // The threads and this one, which takes the time.
        let start = Barrier::new(usize::from(self.threads) + 1);
        let (seconds, cpu_seconds) = thread::scope(|scope| -> Result<(f64, f64)> {
            let workers: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let listeners = listeners(thread);
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        churn(&listeners?, each, self.close)
                    })
                })
                .collect();
            start.wait();
            let (began, cpu) = (Instant::now(), own_cpu());
            for worker in workers {
                match worker.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread of the load panicked"),
                }
            }
            Ok((
                began.elapsed().as_secs_f64(),
                (own_cpu() - cpu).as_secs_f64(),
            ))
        })?;
        let report = LoadReport {
            connections: each * u64::from(self.threads),
            seconds,
            cpu_seconds,
            active_opens: active_opens()?,
        };
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }
}

fn listeners(thread: u8) -> Result<Vec<(TcpListener, SocketAddr)>> {
    (1..=LISTENERS)
        .map(|number| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 77, thread, number), 0))
                .context("cannot listen on loopback")?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        })
        .collect()
}

/// One connection after the other, each seen to its end by both sides, so that every one makes the same transitions.
fn churn(listeners: &[(TcpListener, SocketAddr)], connections: u64, close: Close) -> Result<()> {
    let mut around = listeners.iter().cycle();
    for _ in 0..connections {
        let Some((listener, address)) = around.next() else {
            bail!("the load has no listener");
        };
        let client = TcpStream::connect(address).context("cannot connect")?;
        let (mut server, _) = listener.accept().context("cannot accept")?;
        if close == Close::Rst {
            set_socket_linger(&client, Some(Duration::ZERO))?;
        }
        drop(client);
        // The end of the stream, or the reset.
        match server.read(&mut [0]) {
            Ok(0) if close == Close::Fin => {}
            Err(error)
                if close == Close::Rst && error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => bail!("a connection ended as {other:?}"),
        }
    }
    Ok(())
}

/// CPU time of this process, all threads.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// ActiveOpens of this namespace.
fn active_opens() -> Result<u64> {
    let snmp = fs::read_to_string("/proc/self/net/snmp").context("cannot read the TCP counters")?;
    counter(&snmp, "ActiveOpens").context("the TCP counters lack ActiveOpens")
}

/// A counter of the Tcp lines: one has the names, the next the values.
fn counter(snmp: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    names
        .split(' ')
        .zip(values.split(' '))
        .find_map(|(found, value)| (found == name).then(|| value.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm ActiveOpens\nTcp: 1 42\n";
        assert_eq!(counter(snmp, "ActiveOpens"), Some(42));
        assert_eq!(counter(snmp, "Forwarding"), None);
    }
}
