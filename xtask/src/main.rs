//! The project's own commands: `cargo xtask build`, `run`, `test`, `vm`, `setup` and `tidy`. This file only reads the
//! command line.

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

mod build;
mod project;
mod setup;

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
