//! `tcpwatch preflight`: line by line whether this host can run the agent.

use std::process::ExitCode;

use super::Console;
use crate::kernel::preflight::{self, Verdict};

/// `tcpwatch preflight` has no flags of its own.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {}

/// Prints the report. The exit code is 0 where the agent can run with all facts, 3 with some lost,
/// 1 where it cannot.
#[must_use]
pub fn run(Args {}: Args, console: &mut Console<'_>) -> ExitCode {
    let checks = preflight::report();
    let fatal = checks
        .iter()
        .any(|check| matches!(check.verdict, Verdict::Fatal(_)));
    let lost = checks
        .iter()
        .any(|check| matches!(check.verdict, Verdict::Lost(_)));
    let (summary, code) = match (fatal, lost) {
        (true, _) => ("tcpwatch cannot run here", 1),
        (false, true) => ("tcpwatch can run here, with some facts lost", 3),
        (false, false) => ("tcpwatch can run here, with all facts", 0),
    };
    let mut text: String = checks.iter().map(|check| format!("{check}\n")).collect();
    text.push_str(summary);
    text.push('\n');
    // There is nobody to tell where standard output is gone; the exit code stays.
    let _ = console.out.write_all(text.as_bytes());
    let _ = console.out.flush();
    ExitCode::from(code)
}
