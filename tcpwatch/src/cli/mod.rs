//! The command line: what it takes, and the commands that ask a running daemon.
//!
//! A command that asks is a file with its flags and a function from them to a `Request`, and a
//! row in [`Ask`]; [`run`] does the rest. The daemon and the preflight only have their flags here.
//! The commands know the API's JSON, not the model: a client and a daemon may differ in version.
#![forbid(unsafe_code)]

pub mod client;
mod connections;
mod connects;
mod console;
pub mod daemon;
mod format;
mod metrics;
pub mod preflight;
mod request;
mod status;
mod table;
mod value;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

pub use self::console::Console;
use self::{
    client::Target,
    request::{Body, Request},
};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It answered.
    Answered = 0,
    /// It failed, and said why in one line.
    Failed = 1,
    /// It was called in a way it does not understand.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "tcpwatch",
    version,
    about = "Watches TCP in the Linux kernel and remembers",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Where the daemon listens: unix:/path or http://host:port [default: the unix socket
    /// /run/tcpwatch/tcpwatch.sock, then 127.0.0.1:9777]
    #[arg(long, global = true, value_name = "URL", env = "TCPWATCH_URL")]
    pub url: Option<Target>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent in the foreground
    Daemon(daemon::Args),
    /// Check line by line whether this host can run the agent
    Preflight(preflight::Args),
    #[command(flatten)]
    #[allow(
        missing_docs,
        reason = "clap would take it for the help of each command"
    )]
    Ask(Ask),
}

/// The commands that ask a running daemon.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Live connections: those in SYN_SENT
    Connections(connections::Args),
    /// Connect attempts that ended: failed, or stalled before they went well
    Connects(connects::Args),
    /// The daemon itself: probes, losses, tables and memory
    Status(status::Args),
    /// The text of /metrics
    Metrics(metrics::Args),
}

impl Ask {
    fn request(&self) -> Request {
        match self {
            Self::Connections(args) => args.request(),
            Self::Connects(args) => args.request(),
            Self::Status(args) => args.request(),
            Self::Metrics(args) => args.request(),
        }
    }
}

/// Reads the command line, program name first.
///
/// # Errors
/// The exit code, with what there is to say already said: help and version on standard output, a
/// usage error as one line on standard error.
pub fn parse<I>(arguments: I, console: &mut Console<'_>) -> Result<Cli, Exit>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    Cli::try_parse_from(arguments).map_err(|error| {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // There is nobody to tell where standard output is gone.
                let _ = console.out.write_all(text.as_bytes());
                let _ = console.out.flush();
                Exit::Answered
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let _ = console.err.write_all(text.as_bytes());
                Exit::Usage
            }
            _ => {
                console.complain(&one_line(&text));
                Exit::Usage
            }
        }
    })
}

/// clap's message without its prefix, usage and hint, its lines joined.
fn one_line(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    let joined = lines.join(" ").replace(" tip: ", "; ");
    let message = joined.strip_prefix("error: ").unwrap_or(&joined);
    format!("{message}; --help tells more")
}

/// Asks the first of `targets` that answers, and shows the answer. It writes to `console` only.
pub fn run(ask: &Ask, targets: &[Target], console: &mut Console<'_>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            console.complain(&format!("cannot start: {error}"));
            return Exit::Failed;
        }
    };
    let request = ask.request();
    match runtime.block_on(answer(&request, targets, console)) {
        Ok(()) => Exit::Answered,
        // Whoever read our output has what it wanted: `tcpwatch connections | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Exit::Answered
        }
        Err(failure) => {
            console.complain(&failure.to_string());
            match failure {
                Failure::Client(client::Error::Usage(_)) => Exit::Usage,
                _ => Exit::Failed,
            }
        }
    }
}

/// Why a command did not answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
    #[error("the daemon's answer is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

async fn answer(
    request: &Request,
    targets: &[Target],
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let first = page(request, targets, console.colour).await?;
    let Some(interval) = request.watch else {
        console.out.write_all(first.as_bytes())?;
        return Ok(console.out.flush()?);
    };
    console.draw(&first)?;
    loop {
        tokio::time::sleep(interval).await;
        // A daemon that is started anew is worth waiting for, once it has been seen.
        let next = match page(request, targets, console.colour).await {
            Err(Failure::Client(error)) => format::harmless(&error.to_string()) + "\n",
            other => other?,
        };
        console.draw(&next)?;
    }
}

async fn page(request: &Request, targets: &[Target], colour: bool) -> Result<String, Failure> {
    let answer = client::get(targets, &request.path).await?;
    Ok(match request.body {
        Body::Text => answer,
        Body::Json => {
            let mut text = serde_json::to_string_pretty(&parsed(&answer)?)?;
            text.push('\n');
            text
        }
        Body::Page(show) => show(&parsed(&answer)?, colour),
    })
}

fn parsed(answer: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(answer)
}
