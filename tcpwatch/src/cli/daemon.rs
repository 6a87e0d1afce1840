//! `tcpwatch daemon`: the agent, in the foreground.

use std::{process::ExitCode, time::Duration};

use clap::{ArgAction, ValueEnum};
use tcpwatch_common::handshake::DEFAULT_CAPACITY;

use super::{Console, Exit};
use crate::{
    app::{self, Options},
    listen::Listen,
    model::Hook,
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of `tcpwatch daemon`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Listen on unix:/PATH or IP:PORT; repeatable. ROUTES is `all` or `metrics`; without it, only
    /// unix sockets and loopback serve more than /metrics and health [default:
    /// unix:/run/tcpwatch/tcpwatch.sock and 127.0.0.1:9777]
    #[arg(long, value_name = "ADDR[=ROUTES]", action = ArgAction::Append)]
    pub listen: Vec<Listen>,

    /// The form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// Watch only this network namespace: `host`, a name from `ip netns`, or an inode number
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<String>,

    /// Call a connection in SYN_SENT stalled when it is older than this
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = crate::duration::parse)]
    pub stall_after: Duration,

    /// Connect attempts under way that are followed at the same time
    #[arg(long, value_name = "ENTRIES", default_value_t = DEFAULT_CAPACITY,
          value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub handshakes: u32,

    /// Use these kinds of hooks only, where a probe has several in its plan
    #[arg(long, value_name = "HOOK,...", value_delimiter = ',', value_parser = hook,
          default_value = "fentry,kprobe,tracepoint,poll")]
    pub hooks: Vec<Hook>,

    /// Read every state transition from the kernel, not only their counts
    #[arg(long)]
    pub record_transitions: bool,

    /// Let the eBPF programs log, at debug level: for those who work on them
    #[arg(long)]
    pub log_programs: bool,
}

/// A kind of hook by its name.
fn hook(name: &str) -> Result<Hook, String> {
    Hook::ALL
        .into_iter()
        .find(|hook| hook.label() == name)
        .ok_or_else(|| "not one of fentry, kprobe, tracepoint, poll".to_owned())
}

/// Runs the daemon until it is told to stop; why it could not run is one line on `console`.
#[must_use]
pub fn run(args: Args, console: &mut Console<'_>) -> ExitCode {
    start_log(args.log_format, args.log_programs);
    let listen = if args.listen.is_empty() {
        Listen::defaults()
    } else {
        args.listen
    };
    let ended = app::run(&Options {
        listen,
        netns: args.netns,
        stall_after: args.stall_after,
        handshake_capacity: args.handshakes,
        hooks: args.hooks,
        record_transitions: args.record_transitions,
        log_programs: args.log_programs,
    });
    match ended {
        Ok(()) => Exit::Answered,
        Err(error) => {
            console.complain(&format!("{error:#}"));
            Exit::Failed
        }
    }
    .into()
}

/// Logs to standard error; TCPWATCH_LOG takes tracing's filter directives.
fn start_log(format: LogFormat, programs: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_env("TCPWATCH_LOG").unwrap_or_else(|_| {
        // What the programs log arrives under the name of their crate.
        EnvFilter::new(if programs {
            "info,tcpwatch_ebpf=debug"
        } else {
            "info"
        })
    });
    let builder = fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // This takes over the `log` crate, too, through which aya and the programs log. A log that is
    // set up twice stays as it was.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
