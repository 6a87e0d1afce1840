//! Boots a kernel of the matrix in QEMU and runs one command inside.
//!
//! The VM is emulated, so it needs no /dev/kvm and no privileges. Its console goes to a file; the command's output has
//! a serial port of its own, so that it comes back as it was written, without the kernel's lines in between.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    initrd,
    kernels::{Kernel, Series},
    modules, project,
};

/// How long a command may run where nothing else is said.
pub const LIMIT: Duration = Duration::from_secs(600);

/// How long the kernel and init may take; seconds are the rule, even under emulation.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// How long a VM may take to power off after the limit of its command.
const GRACE: Duration = Duration::from_secs(30);

/// How much of the console a failure shows.
const TAIL_LINES: usize = 80;

/// Kernel tests wait more than they compute, and an emulated machine has one CPU: several run at a time.
const TEST_THREADS: usize = 4;

/// What is run in a VM and for how long.
pub struct Job<'a> {
    pub series: &'static Series,
    /// A shell command; without one, the kernel tests.
    pub command: &'a [String],
    /// How long the command may run.
    pub limit: Duration,
    /// Whether the initrd and the console stay in target/vm after a success, too.
    pub keep: bool,
    /// The project's static binaries.
    pub binaries: &'a [PathBuf],
}

/// How a VM fared.
#[derive(Debug)]
pub struct Outcome {
    /// From the start of QEMU to the start of the command.
    pub boot: Duration,
    /// The exit code of the command.
    pub code: i32,
}

impl Job<'_> {
    /// Boots the VM, writes the command's output to `output` and the rest to `notes`.
    ///
    /// # Errors
    /// When there is no such kernel, the VM does not come up, or the command exceeds its limit. A command that fails
    /// is no error, but an [`Outcome`].
    pub fn run(&self, output: &mut dyn Write, notes: &mut dyn Write) -> Result<Outcome> {
        let kernel = self.series.kernel()?;
        writeln!(notes, "vm: kernel {} ({})", kernel.version, kernel.release)?;
        let folder = project::target(&format!("vm/{}-{}", self.series.name, std::process::id()));
        fs::create_dir_all(&folder)?;
        let console = folder.join("console.log");
        let result = self.boot(&kernel, &folder, &console, output);
        match &result {
            Ok(outcome) => writeln!(notes, "vm: init after {:.1} s", outcome.boot.as_secs_f64())?,
            Err(_) => writeln!(notes, "vm: it did not end as it should")?,
        }
        if result.as_ref().is_ok_and(|outcome| outcome.code == 0) {
            if !self.keep {
                fs::remove_dir_all(&folder)?;
                return result;
            }
        } else {
            notes.write_all(tail(&console).as_bytes())?;
        }
        writeln!(notes, "vm: its files stay in {}", project::shown(&folder))?;
        result
    }

    /// Writes the initrd, starts QEMU and follows it to its end.
    fn boot(
        &self,
        kernel: &Kernel,
        folder: &Path,
        console: &Path,
        output: &mut dyn Write,
    ) -> Result<Outcome> {
        let marker = format!("tcpwatch-vm-{}-{}", self.series.name, std::process::id());
        let initrd = folder.join("initrd.cpio");
        let contents = initrd::Contents {
            init: &include_str!("init.sh")
                .replace("@MARKER@", &marker)
                .replace("@LIMIT@", &self.limit.as_secs().to_string()),
            command: &script(self.command),
            binaries: self.binaries,
            modules: &modules::in_load_order(&kernel.modules, modules::WANTED)?,
        };
        fs::write(&initrd, initrd::build(&contents)?)?;

        let mut qemu = project::command("qemu-system-x86_64");
        qemu.args([
            "-accel",
            "tcg,thread=single",
            "-smp",
            "1",
            "-cpu",
            "max",
            "-m",
            "1024",
        ])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-nic",
            "none",
            "-no-reboot",
        ])
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&initrd)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args(["-serial", "stdio"])
        .stdout(Stdio::piped());
        let started = Instant::now();
        let mut qemu = Vm(qemu.spawn().context("cannot start qemu-system-x86_64")?);
        let stdout = qemu.0.stdout.take().context("QEMU has no output")?;
        let outcome = follow(&lines(stdout), &marker, self.limit, started, output)?;
        // It powers off by itself now; the drop ends one that does not.
        let deadline = Instant::now() + GRACE;
        while qemu.0.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(outcome)
    }
}

/// A QEMU that ends when it is no longer followed.
struct Vm(Child);

impl Drop for Vm {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The script that init runs: one word is a line for the shell, several are a program and its arguments, none is the
/// kernel tests.
fn script(command: &[String]) -> String {
    match command {
        [] => format!("exec kernel-tests --test-threads={TEST_THREADS}\n"),
        [line] => format!("{line}\n"),
        words => {
            let quoted: Vec<String> = words
                .iter()
                .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
                .collect();
            format!("{}\n", quoted.join(" "))
        }
    }
}

/// Reads lines in a thread of its own, so that they can be waited for with a bound.
fn lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Passes the command's output on until init says how it ended.
fn follow(
    lines: &mpsc::Receiver<String>,
    marker: &str,
    limit: Duration,
    started: Instant,
    output: &mut dyn Write,
) -> Result<Outcome> {
    let mut ready = None;
    loop {
        let deadline = ready.map_or(started + BOOT_LIMIT, |ready| ready + limit + GRACE);
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) if ready.is_none() => {
                bail!("the VM ended before init came up")
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the VM ended in the midst of the command")
            }
            Err(RecvTimeoutError::Timeout) if ready.is_none() => {
                bail!(
                    "the VM did not reach init within {} s and was killed",
                    BOOT_LIMIT.as_secs()
                )
            }
            Err(RecvTimeoutError::Timeout) => bail!(
                "the VM ran longer than {} s and was killed",
                limit.as_secs()
            ),
        };
        // A command that does not end its last line has the marker on the same one.
        let (text, said) = match line.split_once(marker) {
            Some((text, said)) => (text, Some(said.trim())),
            None => (line.as_str(), None),
        };
        if ready.is_some() {
            output.write_all(text.replace('\r', "").as_bytes())?;
            output.flush()?;
        }
        match (said, ready) {
            (Some("ready"), _) => ready = Some(Instant::now()),
            (Some(said), Some(ready)) => {
                let code = said
                    .strip_prefix("exit ")
                    .and_then(|code| code.parse().ok());
                let code: i32 = code.with_context(|| format!("init said {said:?}"))?;
                if code == 128 + 9 && ready.elapsed() >= limit {
                    bail!(
                        "the command ran longer than {} s and was killed",
                        limit.as_secs()
                    );
                }
                return Ok(Outcome {
                    boot: ready - started,
                    code,
                });
            }
            _ => {}
        }
    }
}

/// The last lines of the console, under a heading.
fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    let mut shown = format!(
        "vm: the end of its console ({} of {} lines):\n",
        last.len(),
        lines.len()
    );
    for line in last {
        shown.push_str("  | ");
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays lines to `follow` as a VM would write them.
    fn followed(lines: &[&str]) -> (Result<i32>, String) {
        let (sender, receiver) = mpsc::channel();
        for line in lines {
            sender.send((*line).to_owned()).expect("a receiver");
        }
        drop(sender);
        let mut output = Vec::new();
        let outcome = follow(
            &receiver,
            "MARK",
            Duration::from_secs(600),
            Instant::now(),
            &mut output,
        );
        (
            outcome.map(|outcome| outcome.code),
            String::from_utf8_lossy(&output).into_owned(),
        )
    }

    #[test]
    fn output_between_the_markers_comes_back_without_carriage_returns() {
        let (code, output) = followed(&[
            "firmware\r\n",
            "MARK ready\n",
            "one\r\n",
            "two MARK exit 3\n",
            "late\n",
        ]);
        assert_eq!(code.expect("an exit code"), 3);
        assert_eq!(output, "one\ntwo ");
    }

    #[test]
    fn a_vm_that_ends_early_says_when() {
        let check = |lines: &[&str], expected: &str| {
            let error = followed(lines).0.expect_err("no exit code");
            assert_eq!(error.to_string(), expected);
        };
        check(&["firmware\n"], "the VM ended before init came up");
        check(
            &["MARK ready\n", "half"],
            "the VM ended in the midst of the command",
        );
    }

    #[test]
    fn one_word_is_a_shell_line_and_several_are_quoted() {
        let check = |command: &[&str], expected: &str| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(script(&command), expected);
        };
        check(&["uname -r; ip link"], "uname -r; ip link\n");
        check(&["echo", "it's", "a b"], "'echo' 'it'\\''s' 'a b'\n");
        check(&[], "exec kernel-tests --test-threads=4\n");
    }
}
