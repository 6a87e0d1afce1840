//! The tcpwatch daemon as a bench runs it: on a unix socket of its own, asked over HTTP as a user would.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{self, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::Value;

use super::{
    guard,
    process::{Running, until},
};
use crate::project;

/// Emulated machines take seconds to verify the programs.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How the daemon is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// With nothing but a place to listen.
    Defaults,
    /// With every state transition read from the ring.
    RecordTransitions,
}

impl Mode {
    /// The name in tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::RecordTransitions => "every transition exported",
        }
    }
}

/// A running daemon that answers.
pub struct Daemon {
    pub process: Running,
    /// From exec until the readiness route answered.
    pub startup: Duration,
    socket: PathBuf,
}

/// What the daemon has counted.
pub struct Counted {
    /// State transitions.
    pub transitions: u64,
    /// Events that the kernel did not show a program lest it interrupt itself.
    pub missed: u64,
    /// Records of both rings.
    pub records: u64,
    /// Records that found a ring full.
    pub records_lost: u64,
    /// Each program's runs and the seconds in them, where the kernel counts them.
    pub programs: BTreeMap<String, Program>,
}

/// One program's figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program {
    pub runs: u64,
    pub seconds: f64,
    pub missed: u64,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub fn start(mode: Mode) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The path of a unix socket has to be short; a workspace's need not be. The guard deletes what is left of it.
        let name = format!("{}{number}.sock", guard::prefix(process::id()));
        let socket = std::env::temp_dir().join(name);
        let log = socket.with_extension("log");
        let mut command = project::command(project::dist_binary());
        command
            .args(["daemon", "--listen", &format!("unix:{}", socket.display())])
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        if mode == Mode::RecordTransitions {
            command.arg("--record-transitions");
        }
        let began = Instant::now();
        let mut daemon = Self {
            process: Running::start("tcpwatch", &mut command)?,
            startup: Duration::ZERO,
            socket,
        };
        until("tcpwatch is ready", READY_WITHIN, || {
            if let Some(status) = daemon.process.ended()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("tcpwatch ended with {status}: {}", log.trim_end());
            }
            let answer = daemon.request("/readyz").ok();
            Ok(answer.filter(|(status, _)| *status == 200).map(|_| ()))
        })?;
        daemon.startup = began.elapsed();
        Ok(daemon)
    }

    /// The status route's answer.
    ///
    /// # Errors
    /// When it gives none.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/api/v1/status")?)?)
    }

    /// What it has counted so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn counted(&self) -> Result<Counted> {
        let metrics = self.get("/metrics")?;
        let transitions = metrics
            .lines()
            .filter(|line| line.starts_with("tcpwatch_state_transitions_total"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>();
        let status = self.status()?;
        let rows = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let sum =
            |rows: &[Value], name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum();
        let (probes, rings) = (rows("probes"), rows("rings"));
        let programs = probes
            .iter()
            .filter_map(|probe| {
                let program = Program {
                    runs: probe["runs"].as_u64().unwrap_or(0),
                    seconds: probe["run_time_seconds"].as_f64().unwrap_or(0.0),
                    missed: probe["missed"].as_u64().unwrap_or(0),
                };
                Some((probe["name"].as_str()?.to_owned(), program))
            })
            .collect();
        Ok(Counted {
            transitions: transitions as u64,
            missed: sum(&probes, "missed"),
            records: sum(&rings, "records"),
            records_lost: sum(&rings, "lost"),
            programs,
        })
    }

    /// Ends it as systemd would.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(self) -> Result<()> {
        let status = self.process.stop(Signal::TERM)?;
        if !status.success() {
            bail!("tcpwatch ended with {status}");
        }
        Ok(())
    }

    fn get(&self, target: &str) -> Result<String> {
        let (status, body) = self.request(target)?;
        if status != 200 {
            bail!("tcpwatch answers {target} with {status}: {body}");
        }
        Ok(body)
    }

    fn request(&self, target: &str) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket).context("tcpwatch does not listen")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        status.zip(body).context("tcpwatch's answer is not HTTP")
    }
}
