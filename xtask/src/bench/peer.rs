//! Other tools that watch state transitions, as a distribution installs them, and how their losses are found: what
//! they printed of the load is counted, whatever they say of themselves.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::{
    load::{Load, MARK},
    process::{Running, until},
};
use crate::project;

/// bpftrace compiles its program first.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A tool whose programs and links have not changed for so long has attached them all.
const UNCHANGED_FOR: Duration = Duration::from_millis(300);

/// Another tool.
#[derive(Debug)]
pub struct Peer {
    pub title: &'static str,
    program: &'static str,
    package: &'static str,
    args: &'static [&'static str],
    output: Output,
}

/// What a tool prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// A line for each transition.
    LineATransition,
    /// A line for each end of a connection.
    LineASocket,
    /// Counts by the states, once at its end.
    Counts,
    /// Nothing.
    Nothing,
}

pub const TCPSTATES: Peer = Peer {
    title: "libbpf-tools tcpstates",
    program: "tcpstates",
    package: "libbpf-tools",
    args: &[],
    output: Output::LineATransition,
};

pub const TCPLIFE: Peer = Peer {
    title: "libbpf-tools tcplife (a line per socket)",
    program: "tcplife",
    package: "libbpf-tools",
    args: &[],
    output: Output::LineASocket,
};

pub const BPFTRACE_COUNT: Peer = Peer {
    title: "bpftrace, counting",
    program: "bpftrace",
    package: "bpftrace",
    args: &[
        "-e",
        "tracepoint:sock:inet_sock_set_state { @[args->oldstate, args->newstate] = count(); }",
    ],
    output: Output::Counts,
};

pub const BPFTRACE_PRINT: Peer = Peer {
    title: "bpftrace, printing each",
    program: "bpftrace",
    package: "bpftrace",
    args: &[
        "-e",
        r#"tracepoint:sock:inet_sock_set_state { printf("%s %d %s %d %d %d\n", ntop(args->saddr), args->sport, ntop(args->daddr), args->dport, args->oldstate, args->newstate); }"#,
    ],
    output: Output::LineATransition,
};

/// A program that does nothing, on the same tracepoint: the floor of what the kernel's own measurement shows.
pub const EMPTY_PROGRAM: Peer = Peer {
    title: "an empty program",
    program: "bpftrace",
    package: "bpftrace",
    args: &["-e", "tracepoint:sock:inet_sock_set_state { }"],
    output: Output::Nothing,
};

/// A peer that has attached its programs.
pub struct RunningPeer {
    pub process: Running,
    peer: &'static Peer,
    printed: PathBuf,
}

/// What a peer saw of the load.
pub struct Seen {
    /// Transitions or sockets that it should have shown.
    pub expected: u64,
    /// Those that it showed.
    pub shown: u64,
}

impl Peer {
    /// The version that is installed, as its package has it.
    pub fn version(&self) -> Option<String> {
        project::find_program(self.program)?;
        let mut query = project::command("dpkg-query");
        query.args(["--show", "--showformat=${Version}", self.package]);
        let version = project::output(&mut query).unwrap_or_else(|_| "of unknown version".into());
        Some(format!("{} {version}", self.package))
    }

    /// Starts it and waits until its programs are attached.
    ///
    /// # Errors
    /// When it is not installed or ends instead, with what it said.
    pub fn start(&'static self) -> Result<RunningPeer> {
        let Some(program) = project::find_program(self.program) else {
            bail!("it is not installed; Debian's package is {}", self.package);
        };
        let folder = project::target("bench");
        fs::create_dir_all(&folder)?;
        let printed = folder.join(format!("{}.out", self.program));
        let complaints = folder.join(format!("{}.err", self.program));
        let mut command = with_tracefs(&program);
        command
            .args(self.args)
            .stdout(create(&printed)?)
            .stderr(create(&complaints)?);
        let mut running = RunningPeer {
            process: Running::start(self.program, &mut command)?,
            peer: self,
            printed,
        };
        let mut last = (Vec::new(), Instant::now());
        until(
            &format!("{} has attached its programs", self.program),
            READY_WITHIN,
            || {
                if let Some(status) = running.process.ended()? {
                    bail!("it ended with {status}: {}", last_line(&complaints));
                }
                let now = attached(running.process.pid());
                if now != last.0 {
                    last = (now, Instant::now());
                }
                Ok((!last.0.is_empty() && last.1.elapsed() > UNCHANGED_FOR).then_some(()))
            },
        )?;
        Ok(running)
    }
}

impl RunningPeer {
    /// Ends it and counts what it showed of so many runs of the load.
    ///
    /// # Errors
    /// When it does not end, or what it printed cannot be read.
    pub fn stop(self, load: Load, runs: u64) -> Result<Seen> {
        let Self {
            process,
            peer,
            printed,
        } = self;
        process.stop(Signal::INT)?;
        let expected = match peer.output {
            Output::LineASocket => 2 * load.connections,
            Output::Nothing => 0,
            Output::LineATransition | Output::Counts => load.transitions(),
        } * runs;
        let mut shown = 0;
        for line in BufReader::new(File::open(&printed)?).lines() {
            shown += match peer.output {
                Output::Counts => counted(&line?).unwrap_or(0),
                _ => u64::from(of_the_load(&line?)),
            };
        }
        fs::remove_file(&printed)?;
        Ok(Seen { expected, shown })
    }

    /// Runs and nanoseconds of its programs, where the kernel counts them.
    pub fn program_runs(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for text in fdinfo(self.process.pid()) {
            let field = |name| super::process::field(&text, name).unwrap_or(0);
            sum.0 += field("run_cnt");
            sum.1 += field("run_time_ns");
        }
        sum
    }
}

/// The program, in a mount namespace of its own where the host has tracefs not mounted.
fn with_tracefs(program: &Path) -> Command {
    if Path::new("/sys/kernel/tracing/events").exists() {
        return project::command(program);
    }
    let mut command = project::command("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(
            "mount -t tracefs tracefs /sys/kernel/tracing && \
             { mount -t debugfs debugfs /sys/kernel/debug || :; } && exec \"$0\" \"$@\"",
        )
        .arg(program);
    command
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// The descriptors of a process that stand for programs and what holds them in place.
fn attached(pid: u32) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let target = target.to_str()?;
            ["bpf-prog", "bpf_link", "perf_event"]
                .iter()
                .any(|kind| target.contains(kind))
                .then(|| target.to_owned())
        })
        .collect();
    found.sort();
    // Without a program, what is there are buffers.
    let programs = found.iter().any(|target| target.contains("bpf-prog"));
    if programs { found } else { Vec::new() }
}

fn fdinfo(pid: u32) -> Vec<String> {
    fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|text| text.contains("prog_tag:"))
        .collect()
}

/// Whether a line shows something of the load.
fn of_the_load(line: &str) -> bool {
    line.contains(MARK)
}

/// The count of a line like `@[2, 7]: 12`.
fn counted(line: &str) -> Option<u64> {
    line.strip_prefix("@[")?
        .rsplit_once("]: ")?
        .1
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_map_are_read() {
        assert_eq!(counted("@[2, 7]: 12"), Some(12));
        assert_eq!(counted("Attaching 1 probe..."), None);
    }
}
