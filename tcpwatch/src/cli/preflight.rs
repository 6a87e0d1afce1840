//! `tcpwatch preflight`: its flags.

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Args {}
