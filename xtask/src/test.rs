//! `cargo xtask test`: every check of the project, one step after the other, and a table of how they went.
//!
//! A step that fails does not keep the others from running, so that one run shows all that is wrong.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    build::{self, cargo},
    kernels::{MATRIX, Series},
    project, setup, tidy, vm,
};

/// With this much memory available, two VMs run at a time.
const MEMORY_FOR_TWO_VMS_KIB: u64 = 4 * 1024 * 1024;

/// One step and how it went.
struct Step {
    name: String,
    took: Duration,
    failure: Option<String>,
}

/// Runs all steps and returns whether all passed.
///
/// # Errors
/// When the tests cannot even begin, because something is missing that cannot be installed.
pub fn run(quick: bool) -> Result<bool> {
    setup::tests(!quick)?;
    let mut steps = Steps::default();
    steps.run("format", || {
        project::run(cargo("fmt").args(["--all", "--check"]))
    });
    steps.run("clippy", || project::run(&mut clippy()));
    steps.run("clippy of the eBPF programs", || {
        project::run(&mut clippy_ebpf())
    });
    steps.run("unit and contract tests", || {
        project::run(cargo("test").args(["--workspace", "--locked"]))
    });
    steps.run("tidy", tidy::check);

    let mut binaries = None;
    steps.run("build", || {
        binaries = Some([build::report()?, build::kernel_tests()?]);
        Ok(())
    });
    steps.run("kernel tests here", || match &binaries {
        Some(binaries) => kernel_tests_here(binaries),
        None => bail!("there is no binary to test"),
    });
    if !quick {
        match &binaries {
            Some(binaries) => steps.vms(binaries),
            None => steps.run("kernel tests in VMs", || {
                bail!("there is no binary to test")
            }),
        }
    }
    Ok(steps.summary())
}

/// Clippy for all that runs in user space, tests and the kernel tests included.
fn clippy() -> Command {
    let mut clippy = cargo("clippy");
    clippy.args(["--workspace", "--all-targets", "--all-features", "--locked"]);
    clippy.args(["--", "-D", "warnings"]);
    clippy
}

/// Clippy for the eBPF programs as the kernel gets them. The flags are those of aya-build; the target folder is
/// another one, since flags that differ would make the two builds undo each other.
fn clippy_ebpf() -> Command {
    let mut clippy = cargo("clippy");
    clippy
        .args([
            "--package",
            "tcpwatch-ebpf",
            "--bins",
            "--lib",
            "--release",
            "--locked",
        ])
        .args(["--target", "bpfel-unknown-none", "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(project::target("ebpf-clippy"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "--cfg=bpf_target_arch=\"x86_64\"",
        );
    clippy
}

/// The kernel tests against the kernel of this machine.
fn kernel_tests_here([tcpwatch, tests]: &[PathBuf; 2]) -> Result<()> {
    if !project::is_root() {
        bail!(
            "the kernel tests load eBPF programs, which takes root; `sudo -E` keeps the toolchain's variables"
        );
    }
    let mut tests = project::command(tests);
    // Where cargo would start them.
    tests.current_dir(project::root().join("tcpwatch"));
    project::run(tests.env("TCPWATCH_BIN", tcpwatch))
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    /// Runs one step under a headline.
    fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let started = Instant::now();
        let result = step();
        self.finish(name, started.elapsed(), result);
    }

    /// Notes how a step went and says so.
    fn finish(&mut self, name: &str, took: Duration, result: Result<()>) {
        let failure = result.err().map(|error| format!("{error:#}"));
        match &failure {
            None => println!("== {name}: passed in {:.1} s", took.as_secs_f64()),
            Some(failure) => println!(
                "== {name}: FAILED in {:.1} s: {failure}",
                took.as_secs_f64()
            ),
        }
        self.0.push(Step {
            name: name.to_owned(),
            took,
            failure,
        });
    }

    /// The kernel tests on every kernel of the matrix, each a step of its own. What a VM says is printed when it has
    /// ended, so that two at a time do not talk into each other.
    fn vms(&mut self, binaries: &[PathBuf; 2]) {
        let queue = Mutex::new(MATRIX.iter());
        let (sender, ended) = mpsc::channel();
        let workers = vms_at_a_time();
        println!("\n== kernel tests in VMs, {workers} at a time");
        thread::scope(|scope| {
            for _ in 0..workers {
                let sender = sender.clone();
                scope.spawn(|| {
                    let sender = sender;
                    loop {
                        let next = queue.lock().ok().and_then(|mut queue| queue.next());
                        let Some(series) = next else { return };
                        let started = Instant::now();
                        let mut said = Vec::new();
                        let result = kernel_tests_in_vm(series, binaries, &mut said);
                        if sender
                            .send((series, started.elapsed(), said, result))
                            .is_err()
                        {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (series, took, said, result) in ended {
                let name = format!("kernel tests on {}", series.name);
                println!("\n== {name}");
                print!("{}", String::from_utf8_lossy(&said));
                self.finish(&name, took, result);
            }
        });
    }

    /// Prints the table and the closing line; returns whether all steps passed.
    fn summary(&self) -> bool {
        println!("\n== summary");
        for step in &self.0 {
            let result = if step.failure.is_none() {
                "passed"
            } else {
                "FAILED"
            };
            println!(
                "{:<32} {:>7.1} s  {result}",
                step.name,
                step.took.as_secs_f64()
            );
        }
        let failed = self.0.iter().filter(|step| step.failure.is_some()).count();
        println!("\n{} passed, {failed} failed", self.0.len() - failed);
        failed == 0
    }
}

fn kernel_tests_in_vm(
    series: &'static Series,
    binaries: &[PathBuf; 2],
    said: &mut Vec<u8>,
) -> Result<()> {
    let mut notes = Vec::new();
    let job = vm::Job {
        series,
        command: &[],
        limit: vm::LIMIT,
        keep: false,
        binaries,
    };
    let outcome = job.run(said, &mut notes);
    said.append(&mut notes);
    match outcome?.code {
        0 => Ok(()),
        code => bail!("they ended with exit code {code}"),
    }
}

/// Two VMs where memory allows it, else one.
fn vms_at_a_time() -> usize {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if available_kib(&meminfo).is_some_and(|kib| kib > MEMORY_FOR_TWO_VMS_KIB) {
        2
    } else {
        1
    }
}

/// `MemAvailable` of /proc/meminfo, in KiB.
fn available_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_kib() {
        let meminfo = "MemTotal:       24684036 kB\nMemFree:  1 kB\nMemAvailable:   24266984 kB\n";
        assert_eq!(available_kib(meminfo), Some(24_266_984));
        assert_eq!(available_kib("MemTotal: 1 kB\n"), None);
    }
}
