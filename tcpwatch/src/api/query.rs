//! Query parameters: which a route knows, and how their values are read.
//!
//! Nothing is ignored: a parameter that the route does not know, one given twice that may be given
//! once, and a value that cannot be read are each a 400 that names the parameter.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use axum::extract::Query;
use axum::http::Uri;
use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use tcpwatch_common::flow::Family;

use super::error::Error;
use crate::model::Clock;

/// One query parameter of a route.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Whether it may be given more than once; any of the values then matches.
    pub repeatable: bool,
    /// What it takes and does, in one sentence.
    pub meaning: &'static str,
}

impl Parameter {
    /// A parameter that may be given once.
    pub const fn once(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            repeatable: false,
            meaning,
        }
    }

    /// A parameter that may be given more than once.
    pub const fn repeatable(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            repeatable: true,
            meaning,
        }
    }
}

/// The parameters of one request, all of them known to its route.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of `uri`, checked against those that the route knows.
    pub fn parse(uri: &Uri, known: &[Parameter]) -> Result<Self, Error> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Error::invalid_parameter("query", error))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let names: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
                let what = if names.is_empty() {
                    "unknown parameter; this route takes none".to_owned()
                } else {
                    format!("unknown parameter; one of {}", names.join(", "))
                };
                return Err(Error::invalid_parameter(name, what));
            };
            let seen = pairs.iter().take(index).any(|(other, _)| other == name);
            if seen && !parameter.repeatable {
                return Err(Error::invalid_parameter(name, "given more than once"));
            }
        }
        Ok(Self(pairs))
    }

    /// Every value of `name`, read by `read`, whose error is the rest of the message.
    pub fn all<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        self.0
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| read(value).map_err(|what| Error::invalid_parameter(name, what)))
            .collect()
    }

    /// The value of `name`, if it was given.
    pub fn one<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        Ok(self.all(name, read)?.pop())
    }
}

/// A value out of a fixed list, in any case.
pub fn choice<T: Copy>(what: &str, value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(value))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            format!("unknown {what} {value}; one of {}", names.join(", "))
        })
}

/// `ipv4` or `ipv6`.
pub fn family(value: &str) -> Result<Family, String> {
    choice(
        "family",
        value,
        &Family::ALL.map(|family| (family.label(), family)),
    )
}

/// `true` or `false`.
pub fn boolean(value: &str) -> Result<bool, String> {
    choice("value", value, &[("true", true), ("false", false)])
}

/// A TCP port.
pub fn port(value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{value} is not a port; 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// A process id.
pub fn pid(value: &str) -> Result<u32, String> {
    u32::from_str(value)
        .ok()
        .filter(|pid| *pid != 0)
        .ok_or_else(|| format!("{value} is not a process id; a number from 1"))
}

/// Any text.
pub fn text(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err("the value is empty".to_owned());
    }
    Ok(value.to_owned())
}

/// An address or a CIDR block; IPv4 in IPv6's mapped form is IPv4, as in every answer.
pub fn network(value: &str) -> Result<IpNet, String> {
    let network = match value.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => value.parse::<IpNet>().ok(),
    };
    let mapped = |network: IpNet| match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|address| Ipv4Net::new(address, v6.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        _ => network,
    };
    network.map(mapped).ok_or_else(|| {
        format!("{value} is neither an address nor a CIDR block; such as 10.0.0.9 or 10.0.0.0/8")
    })
}

/// The address that a filter compares: IPv4 where it is IPv4 in IPv6's mapped form.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_canonical(),
        IpAddr::V4(_) => address,
    }
}

/// Whether the address says nothing (`0.0.0.0`, `::` or the first one in IPv6's mapped form).
pub fn unspecified(address: IpAddr) -> bool {
    canonical(address).is_unspecified() || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// A length of time: `500ms`, `1s`, `1h30m`.
pub fn duration(value: &str) -> Result<Duration, String> {
    crate::duration::parse(value).map_err(|error| format!("{value} is {error}"))
}

/// A moment as CLOCK_MONOTONIC nanoseconds: RFC 3339, or a duration before `now_ns`. It may be
/// negative: before the machine started.
pub fn moment(value: &str, clock: Clock, now_ns: u64) -> Result<i128, String> {
    if let Ok(ago) = duration(value) {
        return Ok(i128::from(now_ns) - i128::try_from(ago.as_nanos()).unwrap_or(i128::MAX));
    }
    value
        .parse::<Timestamp>()
        .map(|time| time.as_nanosecond() - clock.offset_ns)
        .map_err(|_| {
            format!("{value} is neither a duration nor a time; such as 10m or 2026-01-01T00:00:00Z")
        })
}
