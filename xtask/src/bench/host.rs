//! What the figures were measured on.

use std::{fs, thread};

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
