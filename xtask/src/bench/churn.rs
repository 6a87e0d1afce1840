//! The churn load with and without a tool, in pairs: A B B A, so that whatever drifts on the host hits both alike.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    daemon::{Daemon, Mode},
    load::{Load, LoadReport},
    peer::{Peer, RunningPeer},
    process::Running,
    spread::Spread,
};

/// What runs beside the load.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// Nothing: how much two equal runs differ.
    Nothing,
    /// The daemon.
    Tcpwatch(Mode),
    /// Another tool.
    Peer(&'static Peer),
}

/// One tool under one load.
#[derive(Debug, Serialize)]
pub struct Churn {
    pub load: Load,
    pub load_name: String,
    /// Connections a second without the tool.
    pub rate_alone: Spread,
    /// Connections a second with the tool over those without it, pair by pair.
    pub rate_ratio: Spread,
    /// CPU time of load and tool over that of the load alone, pair by pair.
    pub cpu_ratio: Spread,
    /// CPU time that came with the tool for one transition, in nanoseconds: what the load took longer in the kernel and
    /// what the tool took itself.
    pub added_ns_a_transition: Spread,
    /// Of that, what the tool took itself.
    pub tool_ns_a_transition: Spread,
    /// The share of the load's transitions that the tool did not show.
    pub lost_share: f64,
    /// Records that tcpwatch's programs had for the rings, and those that found one full.
    pub records: u64,
    pub records_lost: u64,
    pub pairs: Vec<Pair>,
}

/// A run without and a run with the tool.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pair {
    pub alone: LoadReport,
    pub with: LoadReport,
    /// CPU time of the tool during the second and until it had worked everything off.
    pub tool_cpu_seconds: f64,
}

impl Churn {
    /// CPU time of all runs.
    pub fn cpu_seconds(&self) -> f64 {
        self.pairs
            .iter()
            .map(|pair| pair.alone.cpu_seconds + pair.with.cpu_seconds + pair.tool_cpu_seconds)
            .sum()
    }
}

impl Pair {
    fn rate_ratio(&self) -> f64 {
        self.with.rate() / self.alone.rate()
    }

    fn added_cpu_seconds(&self) -> f64 {
        self.with.cpu_seconds + self.tool_cpu_seconds - self.alone.cpu_seconds
    }

    fn cpu_ratio(&self) -> f64 {
        (self.with.cpu_seconds + self.tool_cpu_seconds) / self.alone.cpu_seconds
    }
}

/// Losses of one block of two runs.
#[derive(Default)]
struct Losses {
    expected: u64,
    lost: u64,
    records: u64,
    records_lost: u64,
}

impl Tool {
    /// Runs the pairs, two at a time.
    ///
    /// # Errors
    /// When a run fails or the tool cannot run here.
    pub fn churn(self, load: Load, pairs: u32) -> Result<Churn> {
        let mut all = Vec::new();
        let mut sum = Losses::default();
        for _ in 0..pairs.div_ceil(2) {
            let alone_before = load.run()?;
            let attached = self.start()?;
            let first = attached.measure(load)?;
            let second = attached.measure(load)?;
            let losses = attached.stop(load, 2)?;
            let alone_after = load.run()?;
            for (alone, (with, cpu)) in [(alone_before, first), (alone_after, second)] {
                all.push(Pair {
                    alone,
                    with,
                    tool_cpu_seconds: cpu.as_secs_f64(),
                });
            }
            sum.expected += losses.expected;
            sum.lost += losses.lost;
            sum.records += losses.records;
            sum.records_lost += losses.records_lost;
        }
        let spread = |figure: &dyn Fn(&Pair) -> f64| Spread::of(all.iter().map(figure));
        let transitions = load.transitions() as f64;
        let (Some(rate_alone), Some(rate_ratio), Some(cpu_ratio), Some(added_ns), Some(tool_ns)) = (
            spread(&|pair| pair.alone.rate()),
            spread(&Pair::rate_ratio),
            spread(&Pair::cpu_ratio),
            spread(&|pair| pair.added_cpu_seconds() * 1e9 / transitions),
            spread(&|pair| pair.tool_cpu_seconds * 1e9 / transitions),
        ) else {
            bail!("there is no pair to measure");
        };
        Ok(Churn {
            load,
            load_name: load.name(),
            rate_alone,
            rate_ratio,
            cpu_ratio,
            added_ns_a_transition: added_ns,
            tool_ns_a_transition: tool_ns,
            lost_share: sum.lost as f64 / (sum.expected as f64).max(1.0),
            records: sum.records,
            records_lost: sum.records_lost,
            pairs: all,
        })
    }

    fn start(self) -> Result<Attached> {
        Ok(match self {
            Self::Nothing => Attached::Nothing,
            Self::Tcpwatch(mode) => Attached::Tcpwatch(Daemon::start(mode)?),
            Self::Peer(peer) => Attached::Peer(peer.start()?),
        })
    }
}

/// A tool that is attached.
enum Attached {
    Nothing,
    Tcpwatch(Daemon),
    Peer(RunningPeer),
}

impl Attached {
    fn process(&self) -> Option<&Running> {
        match self {
            Self::Nothing => None,
            Self::Tcpwatch(daemon) => Some(&daemon.process),
            Self::Peer(peer) => Some(&peer.process),
        }
    }

    /// One run of the load, and the CPU time of the tool until it was done with it.
    fn measure(&self, load: Load) -> Result<(LoadReport, Duration)> {
        let Some(process) = self.process() else {
            return Ok((load.run()?, Duration::ZERO));
        };
        process.calm()?;
        let before = process.cpu()?;
        let report = load.run()?;
        process.calm()?;
        Ok((report, process.cpu()? - before))
    }

    fn stop(self, load: Load, runs: u64) -> Result<Losses> {
        Ok(match self {
            Self::Nothing => Losses::default(),
            Self::Tcpwatch(daemon) => {
                let counted = daemon.counted()?;
                let expected = load.transitions() * runs;
                if counted.transitions + counted.missed < expected {
                    bail!(
                        "tcpwatch saw {} transitions and missed {}, the load made {expected}",
                        counted.transitions,
                        counted.missed
                    );
                }
                daemon.stop()?;
                Losses {
                    expected,
                    lost: counted.missed + counted.records_lost,
                    records: counted.records,
                    records_lost: counted.records_lost,
                }
            }
            Self::Peer(peer) => {
                let seen = peer.stop(load, runs)?;
                Losses {
                    expected: seen.expected,
                    lost: seen.expected.saturating_sub(seen.shown),
                    ..Losses::default()
                }
            }
        })
    }
}
