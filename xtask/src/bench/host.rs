//! What the figures were measured on.

use std::{fs, thread, time::Instant};

use rustix::param::clock_ticks_per_second;
use serde::Serialize;

use super::peer::{BPFTRACE_COUNT, TCPSTATES};
use crate::{build, project};

/// The machine and the tools.
#[derive(Debug, Serialize)]
pub struct Host {
    pub kernel: String,
    pub cpu: String,
    pub cores: usize,
    pub virtual_machine: bool,
    pub tcpwatch: String,
    pub revision: String,
    pub peers: Vec<String>,
}

impl Host {
    /// This one; what it does not tell is said to be unknown.
    pub fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        let release = fs::read_to_string("/proc/sys/kernel/osrelease");
        let mut version = project::command(project::dist_binary());
        version.arg("--version");
        Self {
            kernel: release.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            cpu: cpu.unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            virtual_machine: cpuinfo
                .lines()
                .any(|line| line.starts_with("flags") && line.contains(" hypervisor")),
            tcpwatch: project::output(&mut version)
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            revision: build::revision(),
            peers: [&TCPSTATES, &BPFTRACE_COUNT]
                .iter()
                .filter_map(|peer| peer.version())
                .collect(),
        }
    }
}

/// The CPU time that the whole host has used from a moment on.
pub struct Busy {
    since: Instant,
    seconds: f64,
}

impl Busy {
    /// From now on; `None` where the kernel does not tell.
    pub fn since_now() -> Option<Self> {
        let since = Instant::now();
        Some(Self {
            since,
            seconds: busy_seconds(&fs::read_to_string("/proc/stat").ok()?)?,
        })
    }

    /// How many CPUs were busy on average with anything but `own` seconds of CPU time.
    pub fn others(&self, own: f64) -> Option<f64> {
        let now = Self::since_now()?;
        let elapsed = now.since.duration_since(self.since).as_secs_f64();
        Some(((now.seconds - self.seconds - own) / elapsed).max(0.0))
    }
}

/// All that is not idle in the first line of /proc/stat; time that the hypervisor took counts as used.
fn busy_seconds(stat: &str) -> Option<f64> {
    let ticks: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .map_while(|ticks| ticks.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6, 7]
        .into_iter()
        .filter_map(|field| ticks.get(field))
        .sum();
    Some(busy as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_guests_are_not_busy() {
        let ticks = clock_ticks_per_second();
        let stat = format!("cpu  {ticks} 0 {ticks} 9999 9999 0 0 {ticks} 8888 0\ncpu0 1\n");
        assert_eq!(busy_seconds(&stat), Some(3.0));
    }
}
