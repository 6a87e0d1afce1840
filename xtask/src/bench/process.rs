//! A process that is being measured: what it used, as /proc tells, and its end.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::guard;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(1);
/// A process is calm when it used less than `CALM_CPU` in such a window, twice in a row.
const CALM_WINDOW: Duration = Duration::from_millis(50);
const CALM_CPU: Duration = Duration::from_millis(1);
const SIGNAL_AGAIN: Duration = Duration::from_secs(1);

/// Waits for a condition.
///
/// # Errors
/// When it does not come within `limit`, or what the condition itself gave.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("waited {limit:?} in vain until {what}");
        }
        thread::sleep(POLL);
    }
}

/// A process that was started here; killed when it is dropped.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts it. It gets a process group of its own, so that Ctrl-C reaches the bench alone, whose guard ends it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        guard::started(child.id());
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it ended by itself.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// CPU time of all its threads.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        self.each_task("schedstat", |text| {
            total += first_number(text).unwrap_or(0);
        })?;
        Ok(Duration::from_nanos(total))
    }

    /// How often its threads went to sleep, and so were woken.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn wakeups(&self) -> Result<u64> {
        let mut total = 0;
        self.each_task("status", |text| {
            total += field(text, "voluntary_ctxt_switches").unwrap_or(0);
        })?;
        Ok(total)
    }

    /// Resident memory now (`VmRSS`) or at most (`VmHWM`), in bytes.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn memory(&self, name: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = field(&text, name).with_context(|| format!("{path} has no {name}"))?;
        Ok(kib * 1024)
    }

    fn each_task(&self, file: &str, mut take: impl FnMut(&str)) -> Result<()> {
        let path = format!("/proc/{}/task", self.pid());
        let tasks = fs::read_dir(&path).with_context(|| format!("{} has ended", self.name))?;
        for task in tasks {
            // A thread that has just ended has no figures any more.
            if let Ok(text) = fs::read_to_string(task?.path().join(file)) {
                take(&text);
            }
        }
        Ok(())
    }

    /// Waits until it has worked off what waits for it.
    ///
    /// # Errors
    /// When that does not come.
    pub fn calm(&self) -> Result<()> {
        let mut before = self.cpu()?;
        let mut calm = 0;
        until(
            &format!("{} is calm", self.name),
            Duration::from_secs(60),
            || {
                thread::sleep(CALM_WINDOW);
                let now = self.cpu()?;
                calm = if now - before < CALM_CPU { calm + 1 } else { 0 };
                before = now;
                Ok((calm == 2).then_some(()))
            },
        )
    }

    /// Ends it with a signal and waits for it. The signal is sent again every second: bpftrace 0.17 misses one that
    /// comes at a bad moment.
    ///
    /// # Errors
    /// When it does not end within ten seconds; it is then killed.
    pub fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        let name = self.name.clone();
        let mut sent: Option<Instant> = None;
        let limit = Duration::from_secs(10);
        until(&format!("{name} has ended"), limit, || {
            let ended = self.ended()?;
            if ended.is_none() && sent.is_none_or(|sent| sent.elapsed() > SIGNAL_AGAIN) {
                kill_process(Pid::from_child(&self.child), signal)?;
                sent = Some(Instant::now());
            }
            Ok(ended)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        guard::ended(self.child.id());
    }
}

/// A number of a file with lines like `VmRSS:   1234 kB`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    first_number(value)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\nVmRSS:\t  12 kB\n";
        assert_eq!(field(text, "voluntary_ctxt_switches"), Some(3));
        assert_eq!(field(text, "VmRSS"), Some(12));
        assert_eq!(field(text, "VmHWM"), None);
    }
}
