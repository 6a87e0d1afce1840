//! `tcpwatch preflight`: line by line whether this host can run the agent.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::kernel::preflight::{self, Verdict};

/// `tcpwatch preflight` has no flags of its own.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {}

/// Prints the report. The exit code is 0 where the agent can run with all facts, 3 with some lost,
/// 1 where it cannot.
///
/// # Errors
/// When standard output is gone.
pub fn run(Args {}: Args) -> anyhow::Result<ExitCode> {
    let checks = preflight::report();
    let mut out = io::stdout().lock();
    for check in &checks {
        writeln!(out, "{check}")?;
    }
    let fatal = checks.iter().any(|check| matches!(check.verdict, Verdict::Fatal(_)));
    let lost = checks.iter().any(|check| matches!(check.verdict, Verdict::Lost(_)));
    let (summary, code) = match (fatal, lost) {
        (true, _) => ("tcpwatch cannot run here", 1),
        (false, true) => ("tcpwatch can run here, with some facts lost", 3),
        (false, false) => ("tcpwatch can run here, with all facts", 0),
    };
    writeln!(out, "{summary}")?;
    Ok(ExitCode::from(code))
}
