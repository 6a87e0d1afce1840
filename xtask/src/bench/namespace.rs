//! A network namespace of one run's own, so that no run meets the TIME_WAIT sockets of another.

use std::{
    ffi::OsStr,
    fs,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Result;

use super::{guard::prefix, process::until};
use crate::project;

/// How long the kernel may take to free what a namespace held.
const FREED_WITHIN: Duration = Duration::from_secs(5);
/// Freed objects that the slab allocator still counts as used: those of each CPU's own slabs.
const SLACK: u64 = 2000;

/// A network namespace with loopback up; deleted when it is dropped.
pub struct Namespace {
    name: String,
    timewait_before: Option<u64>,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", prefix(process::id()));
        let timewait_before = timewait_sockets();
        project::output(project::command("ip").args(["netns", "add", &name]))?;
        let namespace = Self {
            name,
            timewait_before,
        };
        project::output(project::command("ip").args([
            "-n",
            &namespace.name,
            "link",
            "set",
            "lo",
            "up",
        ]))?;
        Ok(namespace)
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = project::command("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
        // The kernel frees tens of thousands of TIME_WAIT sockets in the background, which the next run would pay for.
        let Some(before) = self.timewait_before else {
            return;
        };
        let freed = until("TIME_WAIT sockets are freed", FREED_WITHIN, || {
            Ok(timewait_sockets()
                .is_none_or(|now| now <= before + SLACK)
                .then_some(()))
        });
        if let Err(error) = freed {
            eprintln!("note: {error:#}; the next run may be slower for it");
        }
    }
}

/// Deletes whatever namespaces the bench with that process id left behind.
pub fn delete_all_of(pid: u32) {
    let prefix = prefix(pid);
    let Ok(list) = project::output(project::command("ip").args(["netns", "list"])) else {
        return;
    };
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        if name.starts_with(&prefix) {
            delete(name);
        }
    }
}

fn delete(name: &str) {
    if let Err(error) = project::output(project::command("ip").args(["netns", "del", name])) {
        eprintln!("note: {error:#}");
    }
}

/// TIME_WAIT sockets of all namespaces, as far as the slab allocator tells; `None` where it does not.
fn timewait_sockets() -> Option<u64> {
    let slabs = fs::read_to_string("/proc/slabinfo").ok()?;
    let line = slabs
        .lines()
        .find_map(|line| line.strip_prefix("tw_sock_TCP "))?;
    line.split_whitespace().next()?.parse().ok()
}
