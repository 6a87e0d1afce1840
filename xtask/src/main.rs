//! The project's own commands: `cargo xtask build`, `run`, `test`, `vm`, `setup` and `tidy`. This file only reads the
//! command line.

use std::{io, os::unix::process::CommandExt as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::kernels::{MATRIX, Series};

mod apt_sources;
mod build;
mod initrd;
mod kernels;
mod modules;
mod project;
mod setup;
mod test;
mod tidy;
mod vm;

/// Builds, runs and tests tcpwatch.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the build and the tests lack
    Setup,
    /// Build target/dist/tcpwatch, one static binary with the eBPF object inside
    Build,
    /// Build, then start `tcpwatch daemon`, through sudo where this is not root
    Run {
        /// Arguments of `tcpwatch daemon`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run every test: unit, contract and kernel tests, on this kernel and on the VM matrix
    Test {
        /// Leave the VMs out
        #[arg(long)]
        quick: bool,
    },
    /// Check the rules of the house that no compiler checks
    Tidy,
    /// Boot a kernel of the matrix in QEMU and run a command inside
    Vm {
        /// Which kernel: 5.10, 6.1, 6.12 or 7
        #[arg(long, value_parser = series)]
        kernel: &'static Series,
        /// Keep the initrd and the console in target/vm
        #[arg(long)]
        keep: bool,
        /// Seconds that the command may run
        #[arg(long, default_value_t = vm::LIMIT.as_secs())]
        limit: u64,
        /// One word is a line for the shell, several are a program and its arguments; without any, the kernel tests
        #[arg(last = true)]
        command: Vec<String>,
    },
}

/// Reads the value of `--kernel`.
fn series(name: &str) -> Result<&'static Series, String> {
    Series::named(name).ok_or_else(|| {
        let names: Vec<&str> = MATRIX.iter().map(|series| series.name).collect();
        format!("the matrix has {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::tests(true)?,
        Command::Build => {
            setup::build()?;
            build::report()?;
        }
        Command::Run { args } => return daemon(&args),
        Command::Test { quick } => {
            if !test::run(quick)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Tidy => tidy::check()?,
        Command::Vm {
            kernel,
            keep,
            limit,
            command,
        } => {
            setup::tests(true)?;
            let binaries = [build::tcpwatch()?, build::kernel_tests()?];
            let job = vm::Job {
                series: kernel,
                command: &command,
                limit: Duration::from_secs(limit),
                keep,
                binaries: &binaries,
            };
            let outcome = job.run(&mut io::stdout(), &mut io::stderr())?;
            return Ok(ExitCode::from(u8::try_from(outcome.code).unwrap_or(1)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the binary and becomes its daemon. Only the daemon needs root, so only it gets it.
fn daemon(args: &[String]) -> Result<ExitCode> {
    setup::build()?;
    let binary = build::report()?;
    let mut command = if project::is_root() {
        std::process::Command::new(&binary)
    } else {
        let mut sudo = std::process::Command::new("sudo");
        sudo.arg(&binary);
        sudo
    };
    let error = command.arg("daemon").args(args).exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}
