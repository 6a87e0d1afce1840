//! What must be undone even when the bench itself is killed: a second process that waits for the end of the bench and
//! then puts the kernel's switch back, ends the tools that still run and deletes the namespaces and files that are left.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::namespace;

/// The switch that makes the kernel count the runs of eBPF programs and their time.
const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Where the guard learns of processes that start and end.
static NOTES: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// The guard of a bench, and the way to the switch.
pub struct Guard {
    /// Not waited for: it ends after this process.
    _child: Child,
    bpf_stats: String,
}

impl Guard {
    /// Starts the guard, in a process group of its own: Ctrl-C must not reach it.
    ///
    /// # Errors
    /// When it cannot be started, or the kernel lacks the switch.
    pub fn start() -> Result<Self> {
        let bpf_stats = fs::read_to_string(BPF_STATS).context(
            "cannot read kernel.bpf_stats_enabled, with which the programs' time is measured",
        )?;
        let own = std::env::current_exe().context("cannot find xtask's own binary")?;
        let mut child = Command::new(own)
            .arg("bench-guard")
            .arg(process::id().to_string())
            .arg(bpf_stats.trim())
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the guard")?;
        if let Some(stdin) = child.stdin.take() {
            let _ = NOTES.set(Mutex::new(stdin));
        }
        Ok(Self {
            _child: child,
            bpf_stats,
        })
    }

    /// Switches the counting of runs on or off until the guard ends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn count_runs(&self, on: bool) -> Result<()> {
        set_bpf_stats(if on { "1" } else { "0" })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = set_bpf_stats(self.bpf_stats.trim()) {
            eprintln!("note: {error:#}");
        }
    }
}

fn set_bpf_stats(value: &str) -> Result<()> {
    fs::write(BPF_STATS, value).with_context(|| format!("cannot write {value} to {BPF_STATS}"))
}

/// Tells the guard of a process that the bench has to end.
pub fn started(pid: u32) {
    note(&format!("+{pid}"));
}

/// Tells the guard that the process has ended.
pub fn ended(pid: u32) {
    note(&format!("-{pid}"));
}

fn note(line: &str) {
    if let Some(notes) = NOTES.get()
        && let Ok(mut notes) = notes.lock()
    {
        // A guard that is gone cannot be helped from here.
        let _ = writeln!(notes, "{line}");
    }
}

/// How the namespaces and files of the bench with that process id are named.
pub fn prefix(pid: u32) -> String {
    format!("tcpwatch-bench-{pid}-")
}

/// The guard's own process: waits until the bench with that process id has closed the pipe, then cleans up.
///
/// # Errors
/// When the switch cannot be put back.
pub fn keep(bench: u32, bpf_stats: &str) -> Result<()> {
    let mut running = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let pid = line.get(1..).and_then(|pid| pid.parse::<i32>().ok());
        match (line.as_bytes().first(), pid) {
            (Some(b'+'), Some(pid)) => running.insert(pid),
            (_, Some(pid)) => running.remove(&pid),
            _ => false,
        };
    }
    for pid in running.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
    namespace::delete_all_of(bench);
    let prefix = prefix(bench);
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let now = fs::read_to_string(BPF_STATS).unwrap_or_default();
    if now.trim() != bpf_stats {
        set_bpf_stats(bpf_stats)?;
    }
    Ok(())
}
