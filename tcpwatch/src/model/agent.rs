//! The agent's own state: what is attached, what was lost, how full the tables are.

use std::time::Duration;

/// The kind of hook that feeds a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// fentry or fexit.
    Fentry,
    /// kprobe or kretprobe.
    Kprobe,
    /// A tracepoint, with BTF.
    Tracepoint,
    /// The kernel's own counters, read on an interval.
    Poll,
}

impl Hook {
    /// Every kind, the most exact and cheapest first.
    pub const ALL: [Self; 4] = [Self::Fentry, Self::Kprobe, Self::Tracepoint, Self::Poll];

    /// The name in labels, JSON and the `--hooks` flag.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::Poll => "poll",
        }
    }
}

/// Why one hook of a probe is not the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of hook.
    pub hook: Hook,
    /// Why, in one sentence.
    pub reason: String,
}

/// One probe and how it fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program's name, which is that of what it hooks; the fact's name where there are several.
    pub name: &'static str,
    /// The hook it uses, or would use first where none attached.
    pub hook: Hook,
    /// `None` while it is attached, else why not, in one sentence.
    pub unavailable: Option<String>,
    /// The hooks that come before the one in use in the plan; all of them where none attached.
    pub refused: Vec<Refusal>,
    /// What is lost without it.
    pub feeds: &'static str,
    /// Events that the kernel did not show it because it would have interrupted itself
    /// (recursion_misses); `None` where the kernel does not count them (before 5.12).
    pub missed: Option<u64>,
    /// How often it ran; `None` while the kernel has counted none, which it does only where
    /// kernel.bpf_stats_enabled is 1.
    pub runs: Option<u64>,
    /// How long those runs took together; `None` as for `runs`.
    pub run_time: Option<Duration>,
}

/// One ring between the programs and the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// `events` or `transitions`.
    pub name: &'static str,
    /// Its size.
    pub size_bytes: u64,
    /// Records that the programs wanted to write.
    pub records: u64,
    /// Records that found it full.
    pub lost: u64,
    /// Records that the daemon read and could not decode: a bug or a mixed build.
    pub undecodable: u64,
}

/// One bounded table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in the label `table`.
    pub name: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Entries that found it full.
    pub full: u64,
}

/// What the daemon's own process uses, as /proc tells; `None` where it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// User and system CPU time since its start.
    pub cpu: Option<Duration>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Virtual memory.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many it may open (RLIMIT_NOFILE, soft).
    pub max_fds: Option<u64>,
    /// When it started, since the Unix epoch. Read once: it must not move with the wall clock.
    pub started: Option<Duration>,
}

/// The agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its version.
    pub version: &'static str,
    /// The revision of the sources it was built from.
    pub revision: &'static str,
    /// The running kernel's release (uname).
    pub kernel: String,
    /// When it started, CLOCK_MONOTONIC nanoseconds.
    pub started_ns: u64,
    /// From its start until the last probe was attached, in nanoseconds; 0 until then.
    pub attach_ns: u64,
    /// Where it listens, as the first line of its log says it.
    pub listening: Vec<String>,
    /// The one network namespace it watches, if it was told so.
    pub only_netns: Option<u32>,
    /// What it cannot do for want of a privilege or a kernel feature, one sentence each.
    pub degraded: Vec<String>,
    /// What its process uses.
    pub process: ProcessStats,
}

impl Agent {
    /// Whether the attach plan has finished, fallbacks included.
    #[must_use]
    pub const fn attached(&self) -> bool {
        self.attach_ns != 0
    }
}
