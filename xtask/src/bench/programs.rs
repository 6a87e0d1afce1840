//! What the eBPF programs themselves cost, as the kernel measures it: runs and nanoseconds of each, under the churn
//! load. The measurement is part of the figures: an empty program shows what is left without anything to do.

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    daemon::{Daemon, Mode, Program},
    guard::Guard,
    load::Load,
    peer::EMPTY_PROGRAM,
    spread::Spread,
};

/// The programs' cost in one mode under one load.
#[derive(Debug, Serialize)]
pub struct Programs {
    pub mode: Mode,
    pub load: Load,
    pub load_name: String,
    /// Of all programs together for one state transition, in nanoseconds.
    pub ns_a_transition: Spread,
    pub programs: Vec<ProgramCost>,
    /// Ring records of all runs together, and those that found the ring full.
    pub records: u64,
    pub records_lost: u64,
}

/// One program's cost.
#[derive(Debug, Serialize)]
pub struct ProgramCost {
    pub name: String,
    pub ns_a_run: Spread,
    /// How often it runs for one connection.
    pub runs_a_connection: f64,
    /// Its share of the nanoseconds of one transition.
    pub ns_a_transition: f64,
    /// Events of all runs together that the kernel did not show it.
    pub missed: u64,
}

/// Runs the load beside the daemon as often as `rounds` says.
///
/// # Errors
/// When a run fails.
pub fn measure(guard: &Guard, mode: Mode, load: Load, rounds: u32) -> Result<Programs> {
    guard.count_runs(true)?;
    let measured = (0..rounds)
        .map(|_| {
            let daemon = Daemon::start(mode)?;
            load.run()?;
            daemon.process.calm()?;
            let counted = daemon.counted()?;
            daemon.stop()?;
            Ok(counted)
        })
        .collect::<Result<Vec<_>>>();
    guard.count_runs(false)?;
    let measured = measured?;

    let each = || measured.iter();
    let total = |counted: &super::daemon::Counted| -> f64 {
        counted
            .programs
            .values()
            .map(|program| program.seconds)
            .sum()
    };
    let Some(ns_a_transition) =
        Spread::of(each().map(|counted| total(counted) * 1e9 / counted.transitions as f64))
    else {
        bail!("there is no round to measure");
    };
    let connections = load.connections as f64 * measured.len() as f64;
    let transitions: u64 = each().map(|counted| counted.transitions).sum();
    let names: Vec<&String> = each().flat_map(|counted| counted.programs.keys()).collect();
    let mut programs: Vec<ProgramCost> = Vec::new();
    for name in names {
        if programs.iter().any(|program| program.name == *name) {
            continue;
        }
        let of_all: Vec<Program> = each()
            .filter_map(|counted| counted.programs.get(name).copied())
            .collect();
        let runs: u64 = of_all.iter().map(|program| program.runs).sum();
        let seconds: f64 = of_all.iter().map(|program| program.seconds).sum();
        let ns = of_all
            .iter()
            .filter(|program| program.runs != 0)
            .map(|program| program.seconds * 1e9 / program.runs as f64);
        // A program that never ran costs nothing here.
        let Some(ns_a_run) = Spread::of(ns) else {
            continue;
        };
        programs.push(ProgramCost {
            name: name.clone(),
            ns_a_run,
            runs_a_connection: runs as f64 / connections,
            ns_a_transition: seconds * 1e9 / transitions as f64,
            missed: of_all.iter().map(|program| program.missed).sum(),
        });
    }
    Ok(Programs {
        mode,
        load,
        load_name: load.name(),
        ns_a_transition,
        programs,
        records: each().map(|counted| counted.records).sum(),
        records_lost: each().map(|counted| counted.records_lost).sum(),
    })
}

/// What an empty program costs, in nanoseconds a run.
///
/// # Errors
/// When bpftrace, which makes it, cannot run here.
pub fn floor(guard: &Guard, load: Load, rounds: u32) -> Result<Spread> {
    guard.count_runs(true)?;
    let figures = (0..rounds)
        .map(|_| {
            let peer = EMPTY_PROGRAM.start()?;
            load.run()?;
            let (runs, ns) = peer.program_runs();
            peer.stop(load, 1)?;
            if runs < load.transitions() {
                bail!("the empty program ran {runs} times only");
            }
            Ok(ns as f64 / runs as f64)
        })
        .collect::<Result<Vec<_>>>();
    guard.count_runs(false)?;
    match Spread::of(figures?) {
        Some(spread) => Ok(spread),
        None => bail!("there is no round to measure"),
    }
}
