//! What the daemon takes by being there: time to start, memory, and CPU while nothing happens.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    daemon::{Daemon, Mode},
    load::Load,
    spread::Spread,
};

/// The daemon's footprint.
#[derive(Debug, Serialize)]
pub struct Footprint {
    /// From exec until all probes were attached and the readiness route answered.
    pub startup_seconds: Spread,
    /// Of that, until the probes were attached, as the daemon reports it.
    pub attach_seconds: Spread,
    pub idle_resident_bytes: u64,
    /// After the load, at the defaults.
    pub churn_resident_bytes: u64,
    /// Of it, what is neither the binary nor the rings. The rings' data is mapped twice, and counted twice.
    pub churn_anonymous_bytes: u64,
    /// After the load, with every transition exported.
    pub export_resident_bytes: u64,
    /// The most of all the time.
    pub peak_resident_bytes: u64,
    pub idle_seconds: f64,
    /// Of one CPU.
    pub idle_cpu_share: f64,
    pub idle_wakeups_a_second: f64,
}

impl Footprint {
    /// The most resident memory that was seen once the daemon had started.
    pub fn resident_bytes(&self) -> u64 {
        self.idle_resident_bytes
            .max(self.churn_resident_bytes)
            .max(self.export_resident_bytes)
    }
}

/// Measures everything.
///
/// # Errors
/// When a run fails.
pub fn measure(load: Load, starts: u32, idle: Duration) -> Result<Footprint> {
    let mut startup = Vec::new();
    let mut attach = Vec::new();
    for _ in 0..starts {
        let daemon = Daemon::start(Mode::Defaults)?;
        startup.push(daemon.startup.as_secs_f64());
        attach.push(
            daemon.status()?["attach_seconds"]
                .as_f64()
                .context("the status lacks attach_seconds")?,
        );
        daemon.stop()?;
    }

    let daemon = Daemon::start(Mode::Defaults)?;
    daemon.process.calm()?;
    let idle_resident_bytes = daemon.process.memory("VmRSS")?;
    let (cpu, wakeups, began) = (
        daemon.process.cpu()?,
        daemon.process.wakeups()?,
        Instant::now(),
    );
    // The time is what is measured, not something to wait for.
    thread::sleep(idle);
    let seconds = began.elapsed().as_secs_f64();
    let idle_cpu = (daemon.process.cpu()? - cpu).as_secs_f64();
    let idle_wakeups = daemon.process.wakeups()? - wakeups;
    load.run()?;
    daemon.counted()?;
    let churn_resident_bytes = daemon.process.memory("VmRSS")?;
    let churn_anonymous_bytes = daemon.process.memory("RssAnon")?;
    let peak = daemon.process.memory("VmHWM")?;
    daemon.stop()?;

    let daemon = Daemon::start(Mode::RecordTransitions)?;
    load.run()?;
    daemon.counted()?;
    let export_resident_bytes = daemon.process.memory("VmRSS")?;
    let export_peak = daemon.process.memory("VmHWM")?;
    daemon.stop()?;

    let none = "the daemon was never started";
    Ok(Footprint {
        startup_seconds: Spread::of(startup).context(none)?,
        attach_seconds: Spread::of(attach).context(none)?,
        idle_resident_bytes,
        churn_resident_bytes,
        churn_anonymous_bytes,
        export_resident_bytes,
        peak_resident_bytes: peak.max(export_peak),
        idle_seconds: seconds,
        idle_cpu_share: idle_cpu / seconds,
        idle_wakeups_a_second: idle_wakeups as f64 / seconds,
    })
}
