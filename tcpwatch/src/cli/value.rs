//! How the values of flags are checked before the daemon is asked.
//!
//! The daemon reads them again: what goes out is the text as it was given.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;
use tcpwatch_common::{outcome::Outcome, tcp_state::TcpState};

use crate::duration::{self, NotADuration};

/// A state by name, in any case.
pub fn state(text: &str) -> Result<String, String> {
    if TcpState::from_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let names = TcpState::ALL.map(TcpState::label);
    Err(format!("unknown state; one of {}", names.join(", ")))
}

/// An outcome by name, in any case.
pub fn outcome(text: &str) -> Result<String, String> {
    if Outcome::from_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let names = Outcome::ALL.map(Outcome::label);
    Err(format!("unknown outcome; one of {}", names.join(", ")))
}

/// An address or a CIDR block.
pub fn network(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither an address nor a CIDR block; such as 10.0.0.9 or 10.0.0.0/8".to_owned())
}

/// A duration, as text.
pub fn duration(text: &str) -> Result<String, NotADuration> {
    duration::parse(text).map(|_| text.to_owned())
}

/// A duration ago or a time, as text.
pub fn moment(text: &str) -> Result<String, String> {
    if duration::parse(text).is_ok() || text.parse::<Timestamp>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither a duration nor a time; such as 10m or 2026-01-01T00:00:00Z".to_owned())
}

/// How often `--watch` draws.
pub fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text).map_err(|error| error.to_string())? {
        interval if interval < Duration::from_millis(100) => Err("at least 100ms".to_owned()),
        interval => Ok(interval),
    }
}
