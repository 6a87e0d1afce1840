//! The JSON of what several answers hold: times, addresses and processes.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::Serialize;

use super::query::{canonical, unspecified};
use crate::model::{Namespace, Process, Snapshot};

/// Microseconds, always six digits.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// A CLOCK_MONOTONIC time as RFC 3339; `None` outside of the years that it can write.
pub fn time(snapshot: &Snapshot, monotonic_ns: u64) -> Option<String> {
    Timestamp::from_nanosecond(snapshot.clock.unix_ns(monotonic_ns))
        .ok()
        .map(|time| PRINTER.timestamp_to_string(&time))
}

/// A duration in seconds, rounded to microseconds.
pub fn seconds(duration: Duration) -> f64 {
    ((duration.as_nanos() + 500) / 1000) as f64 / 1e6
}

/// The time from one CLOCK_MONOTONIC time to a later one, in seconds.
pub fn seconds_between(from_ns: u64, to_ns: u64) -> f64 {
    seconds(Duration::from_nanos(to_ns.saturating_sub(from_ns)))
}

/// One end of a connection; IPv4 in IPv6's mapped form is shown as IPv4.
#[derive(Debug, Serialize)]
pub struct Endpoint {
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: (!unspecified(address.ip())).then(|| canonical(address.ip())),
            port: Some(address.port()).filter(|port| *port != 0),
        }
    }
}

/// Whose socket it is.
#[derive(Debug, Serialize)]
pub struct Owner<'a> {
    pid: u32,
    comm: &'a str,
    cgroup: Option<&'a str>,
}

impl<'a> From<&'a Process> for Owner<'a> {
    fn from(process: &'a Process) -> Self {
        Self {
            pid: process.pid,
            comm: &process.comm,
            cgroup: process.cgroup.as_deref(),
        }
    }
}

/// The name of a network namespace, where it has one.
pub fn netns_name(snapshot: &Snapshot, inode: u32) -> Option<&str> {
    let Namespace { name } = snapshot.namespaces.get(&inode)?;
    name.as_deref()
}
