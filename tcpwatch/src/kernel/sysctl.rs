//! Owns reading sysctl values from /proc/sys. It knows neither their list nor their meaning, and it
//! never writes one.
//!
//! What /proc/sys/net shows depends on the thread that reads: the kernel looks names up in the network
//! namespace of the caller (fs/proc/proc_sysctl.c, `net_ctl_header_lookup`: `current->nsproxy`). So a
//! job of `netns::NamespaceThread` reads the values of the namespace that it is in.
#![forbid(unsafe_code)]

use std::{fs, io, path::PathBuf, str::FromStr};

/// Why a value could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// This kernel, or this namespace, has no such sysctl.
    #[error("sysctl {name} does not exist on this kernel or in this network namespace")]
    Absent {
        /// The name that was asked for.
        name: String,
    },
    /// It is there and cannot be read.
    #[error("cannot read sysctl {name} from /proc/sys: {source}")]
    Unreadable {
        /// The name that was asked for.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its value is not of the expected kind.
    #[error(
        "sysctl {name} has the value {value:?}, which is not a number in the range of its type"
    )]
    Unexpected {
        /// The name that was asked for.
        name: String,
        /// What it says.
        value: String,
    },
}

/// The value of a sysctl in the network namespace of the calling thread, without the line's end. The
/// name is written as sysctl(8) takes it: `net.ipv4.tcp_rmem`, with a slash for a dot inside a part
/// (`net.ipv4.conf.eth0/100.rp_filter`), or with slashes throughout (`net/ipv4/conf/eth0.100/rp_filter`).
///
/// # Errors
/// [`SysctlError::Absent`] also for what is no sysctl's name; [`SysctlError::Unreadable`] otherwise.
pub fn read(name: &str) -> Result<String, SysctlError> {
    let absent = || SysctlError::Absent {
        name: name.to_owned(),
    };
    let path = path(name).ok_or_else(absent)?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches('\n').to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent()),
        Err(source) => Err(SysctlError::Unreadable {
            name: name.to_owned(),
            source,
        }),
    }
}

/// Where a name lies, or `None` where it could lead out of /proc/sys.
fn path(name: &str) -> Option<PathBuf> {
    let relative = match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    relative
        .split('/')
        .all(plain)
        .then(|| PathBuf::from("/proc/sys").join(relative))
}

fn number<T: FromStr>(name: &str) -> Result<T, SysctlError> {
    let value = read(name)?;
    value.parse().map_err(|_| SysctlError::Unexpected {
        name: name.to_owned(),
        value,
    })
}

/// `None` where the kernel does not have it.
fn optional<T>(value: Result<T, SysctlError>) -> Result<Option<T>, SysctlError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(SysctlError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What decides how long an unanswered connect() lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynSysctls {
    /// `net.ipv4.tcp_syn_retries`: SYN retransmits, unless the socket has TCP_SYNCNT.
    pub syn_retries: u8,
    /// `net.ipv4.tcp_syn_linear_timeouts` (since 6.5): how many of them do not double the RTO.
    pub syn_linear_timeouts: Option<u8>,
    /// `net.ipv4.tcp_rto_max_ms` (since 6.15), milliseconds: the largest RTO.
    pub rto_max_ms: Option<u32>,
}

impl SynSysctls {
    /// Reads those of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`SysctlError`], where the first is absent or any of them is unreadable.
    pub fn read() -> Result<Self, SysctlError> {
        Ok(Self {
            syn_retries: number("net.ipv4.tcp_syn_retries")?,
            syn_linear_timeouts: optional(number("net.ipv4.tcp_syn_linear_timeouts"))?,
            rto_max_ms: optional(number("net.ipv4.tcp_rto_max_ms"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_dots_or_slashes() {
        let check = |name, expected: Option<&str>| {
            let expected = expected.map(|path| PathBuf::from(format!("/proc/sys/{path}")));
            assert_eq!(path(name), expected, "{name}");
        };
        check("net.ipv4.tcp_rmem", Some("net/ipv4/tcp_rmem"));
        check("net/ipv4/tcp_rmem", Some("net/ipv4/tcp_rmem"));
        check(
            "net.ipv4.conf.eth0/100.rp_filter",
            Some("net/ipv4/conf/eth0.100/rp_filter"),
        );
        check(
            "net/ipv4/conf/eth0.100/rp_filter",
            Some("net/ipv4/conf/eth0.100/rp_filter"),
        );
        for name in [
            "",
            "/etc/passwd",
            "net/../../etc/passwd",
            "net.//.kernel",
            "net..ipv4",
            "net.",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn a_value_is_read_without_its_line_end() {
        assert_eq!(read("kernel.ostype").unwrap(), "Linux");
        assert!(matches!(
            read("kernel.no_such_thing"),
            Err(SysctlError::Absent { .. })
        ));
        assert!(matches!(
            read("../cpuinfo"),
            Err(SysctlError::Absent { .. })
        ));
        assert!(matches!(
            read("kernel"),
            Err(SysctlError::Unreadable { .. })
        ));
        assert!(matches!(
            number::<u8>("kernel.ostype"),
            Err(SysctlError::Unexpected { .. })
        ));
    }

    #[test]
    fn the_syn_sysctls_of_this_kernel_are_read() {
        let sysctls = SynSysctls::read().unwrap();
        assert!((1..=127).contains(&sysctls.syn_retries));
        assert!(
            sysctls
                .rto_max_ms
                .is_none_or(|ms| (1000..=120_000).contains(&ms))
        );
    }
}
