//! `cargo xtask bench`: what tcpwatch costs the host that it watches, beside other tools, against the goals that
//! docs/performance.md holds. This file decides what is measured and in which order.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::{build, project, setup};
use churn::{Churn, Tool};
use daemon::Mode;
use footprint::Footprint;
use guard::Guard;
use host::{Busy, Host};
use load::{Close, Load};
use programs::Programs;
use spread::Spread;

mod churn;
mod daemon;
mod footprint;
mod goals;
pub mod guard;
mod host;
pub mod load;
mod namespace;
mod peer;
mod process;
mod programs;
mod report;
mod spread;

/// Pairs and rounds of a quick run.
const QUICK: u32 = 2;
/// How long the daemon is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);
/// Starts of the daemon.
const STARTS: u32 = 10;

/// Flags of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Pairs of runs, without and with the tool, of every row and load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Measure only this row; repeatable
    #[arg(long, value_enum, value_name = "ROW")]
    only: Vec<Row>,
    /// Two pairs of each, to see that it works
    #[arg(long)]
    quick: bool,
    /// Connections of a run
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1000..=100_000))]
    connections: u64,
    /// Write docs/performance.md although the run was quick or had few rows
    #[arg(long)]
    write: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Nothing against nothing
    Noise,
    /// The daemon at its defaults
    Tcpwatch,
    /// The daemon with every transition exported
    TcpwatchTransitions,
    /// libbpf-tools tcpstates
    Tcpstates,
    /// libbpf-tools tcplife
    Tcplife,
    /// bpftrace counting transitions
    BpftraceCount,
    /// bpftrace printing transitions
    BpftracePrint,
    /// Nanoseconds of each eBPF program
    Programs,
    /// Start-up, memory and CPU of the daemon
    Footprint,
}

/// One row of the table of tools.
#[derive(Debug, Serialize)]
pub struct ToolRow {
    pub row: Row,
    pub title: &'static str,
    pub loads: Vec<Churn>,
    /// Why it could not be measured.
    pub failure: Option<String>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    pub host: Host,
    pub quick: bool,
    pub pairs: u32,
    pub connections: u64,
    /// CPUs that were busy with other work while nothing was measured against nothing.
    pub other_work_cpus: Option<f64>,
    pub tools: Vec<ToolRow>,
    pub programs: Vec<Programs>,
    pub empty_program_ns: Option<Spread>,
    pub footprint: Option<Footprint>,
    pub goals: Vec<goals::Goal>,
}

impl Row {
    /// The tool of the row and its name in tables; `None` for what is no tool.
    fn tool(self) -> Option<(Tool, &'static str)> {
        let peer = |peer: &'static peer::Peer| (Tool::Peer(peer), peer.title);
        Some(match self {
            Self::Noise => (Tool::Nothing, "nothing (the noise)"),
            Self::Tcpwatch => (Tool::Tcpwatch(Mode::Defaults), "tcpwatch"),
            Self::TcpwatchTransitions => (
                Tool::Tcpwatch(Mode::RecordTransitions),
                "tcpwatch, every transition exported",
            ),
            Self::Tcpstates => peer(&peer::TCPSTATES),
            Self::Tcplife => peer(&peer::TCPLIFE),
            Self::BpftraceCount => peer(&peer::BPFTRACE_COUNT),
            Self::BpftracePrint => peer(&peer::BPFTRACE_PRINT),
            Self::Programs | Self::Footprint => return None,
        })
    }
}

impl Args {
    fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    fn rounds(&self) -> u32 {
        if self.quick { QUICK } else { self.pairs }
    }

    /// Both ways to close, on one CPU and on two.
    fn loads(&self) -> impl Iterator<Item = Load> {
        let connections = self.connections;
        [Close::Fin, Close::Rst].into_iter().flat_map(move |close| {
            [1, 2].map(|threads| Load {
                close,
                threads,
                connections,
            })
        })
    }
}

/// Builds tcpwatch, measures, and writes docs/performance.md and target/bench/performance.json.
///
/// # Errors
/// When it is not run as root, or a measurement of tcpwatch itself fails.
pub fn run(args: &Args) -> Result<()> {
    if !project::is_root() {
        bail!(
            "the benchmarks load eBPF programs and make network namespaces, which takes root; `sudo -E` keeps the toolchain's variables"
        );
    }
    setup::build()?;
    build::report()?;
    // Two at a time would measure each other, and share one switch.
    let _alone = alone()?;
    let guard = Guard::start()?;
    guard.count_runs(false)?;
    let rounds = args.rounds();
    let mut results = Results {
        host: Host::here(),
        quick: args.quick,
        // They come two at a time.
        pairs: rounds.next_multiple_of(2),
        connections: args.connections,
        other_work_cpus: None,
        tools: Vec::new(),
        programs: Vec::new(),
        empty_program_ns: None,
        footprint: None,
        goals: Vec::new(),
    };
    for row in Row::value_variants().iter().copied() {
        if let Some((tool, title)) = row.tool()
            && args.wants(row)
        {
            let busy = Busy::since_now();
            let measured = tool_row(row, tool, title, args)?;
            if row == Row::Noise {
                let own = measured.loads.iter().map(Churn::cpu_seconds).sum();
                results.other_work_cpus = busy.and_then(|busy| busy.others(own));
            }
            results.tools.push(measured);
        }
    }
    if args.wants(Row::Programs) {
        measure_programs(&guard, args, &mut results)?;
    }
    if args.wants(Row::Footprint) {
        println!("start-up, memory, idle CPU");
        let load = Load {
            close: Close::Fin,
            threads: 2,
            connections: args.connections,
        };
        let starts = if args.quick { QUICK } else { STARTS };
        results.footprint = Some(footprint::measure(load, starts, IDLE)?);
    }
    results.goals = goals::judge(&results);
    write(&results, args)
}

/// Holds a name that only one process of this host's can hold, until it is dropped.
fn alone() -> Result<UnixListener> {
    let name = SocketAddr::from_abstract_name("tcpwatch-bench")?;
    UnixListener::bind_addr(&name).context("another bench runs on this host")
}

fn tool_row(row: Row, tool: Tool, title: &'static str, args: &Args) -> Result<ToolRow> {
    let mut measured = ToolRow {
        row,
        title,
        loads: Vec::new(),
        failure: None,
    };
    for load in args.loads() {
        match tool.churn(load, args.rounds()) {
            Ok(churn) => {
                println!(
                    "{title}, {}: connections/s {:.3}, CPU {:.3}, lost {:.3} %",
                    churn.load_name,
                    churn.rate_ratio,
                    churn.cpu_ratio,
                    churn.lost_share * 100.0
                );
                measured.loads.push(churn);
            }
            // Another tool may be missing here or not fit this kernel; tcpwatch has to run.
            Err(error) if matches!(tool, Tool::Peer(_)) => {
                println!("{title}: not measured: {error:#}");
                measured.failure = Some(format!("{error:#}"));
                break;
            }
            Err(error) => return Err(error.context(format!("{title}, {}", load.name()))),
        }
    }
    Ok(measured)
}

fn measure_programs(guard: &Guard, args: &Args, results: &mut Results) -> Result<()> {
    for mode in [Mode::Defaults, Mode::RecordTransitions] {
        for load in args.loads() {
            let programs = programs::measure(guard, mode, load, args.rounds())?;
            println!(
                "programs, {}, {}: {:.1} ns a transition",
                programs.mode.title(),
                programs.load_name,
                programs.ns_a_transition
            );
            for program in &programs.programs {
                println!(
                    "    {:<24} {:.1} ns a run, {:.2} runs a connection, {:.1} ns a transition, {} missed",
                    program.name,
                    program.ns_a_run,
                    program.runs_a_connection,
                    program.ns_a_transition,
                    program.missed
                );
            }
            results.programs.push(programs);
        }
    }
    let Some(load) = args.loads().next() else {
        return Ok(());
    };
    match programs::floor(guard, load, args.rounds()) {
        Ok(floor) => {
            println!("an empty program: {floor:.1} ns a run");
            results.empty_program_ns = Some(floor);
        }
        Err(error) => println!("an empty program: not measured: {error:#}"),
    }
    Ok(())
}

fn write(results: &Results, args: &Args) -> Result<()> {
    let json = project::target("bench/performance.json");
    save(&json, &serde_json::to_string_pretty(results)?)?;
    let text = report::markdown(results);
    let complete = !args.quick && args.only.is_empty();
    let page = if complete || args.write {
        project::root().join("docs/performance.md")
    } else {
        project::target("bench/performance.md")
    };
    save(&page, &text)?;
    for goal in &results.goals {
        println!("{}", goal.line());
    }
    println!(
        "wrote {} and {}",
        project::shown(&page),
        project::shown(&json)
    );
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
