//! The tcpwatch binary: reads the command line and hands over.

use std::process::ExitCode;

use tcpwatch::cli::{self, Command, Console, client::Target};

fn main() -> ExitCode {
    let mut console = Console::stdio();
    let cli = match cli::parse(std::env::args_os(), &mut console) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    match cli.command {
        Command::Daemon(args) => cli::daemon::run(args, &mut console),
        Command::Preflight(args) => cli::preflight::run(args, &mut console),
        Command::Ask(ask) => cli::run(&ask, &Target::candidates(cli.url), &mut console).into(),
    }
}
