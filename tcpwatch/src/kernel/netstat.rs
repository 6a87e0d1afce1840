//! The kernel's own counters of a network namespace, as /proc/net/netstat shows them: what is polled
//! where no hook attaches.

use std::{collections::BTreeMap, fs, io};

use super::{
    look::LookError,
    netns::{self, NamespaceThread},
};
use crate::model::QueueCounts;

/// Not /proc/net, which is the namespace of the process' first thread.
const NETSTAT: &str = "/proc/thread-self/net/netstat";

/// The counters of every namespace, or of `only` that one; `None` for one that could not be read.
///
/// # Errors
/// When /proc or the namespace thread is gone.
pub async fn queues(
    thread: &NamespaceThread,
    only: Option<u32>,
) -> Result<BTreeMap<u32, Option<QueueCounts>>, LookError> {
    let found = thread.run_in(netns::Target::Own, netns::discover).await??;
    let mut counts = BTreeMap::new();
    for namespace in found.list {
        if only.is_some_and(|only| only != namespace.inode) {
            continue;
        }
        match thread.run_in(namespace.target(), read).await {
            Ok(read) => {
                counts.insert(namespace.inode, read.ok());
            }
            Err(error) if error.is_gone() => {}
            Err(error @ (netns::NetnsError::Stranded(_) | netns::NetnsError::Ended)) => {
                return Err(error.into());
            }
            Err(_) => {
                counts.insert(namespace.inode, None);
            }
        }
    }
    Ok(counts)
}

/// The counters of the calling thread's namespace.
fn read() -> io::Result<QueueCounts> {
    parse(&fs::read_to_string(NETSTAT)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a counter is missing"))
}

/// Two lines: `TcpExt: NAME ...`, and below it `TcpExt: NUMBER ...`.
fn parse(text: &str) -> Option<QueueCounts> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let find = |wanted: &str| {
        names
            .split_whitespace()
            .zip(values.split_whitespace())
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.parse().ok())
    };
    Some(QueueCounts {
        accept_queue_overflows: find("ListenOverflows")?,
        syn_queue_drops: find("TCPReqQFullDrop")?,
        syn_cookies_sent: find("SyncookiesSent")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent X ListenOverflows TCPReqQFullDrop\n\
                    TcpExt: 3 -1 5 7\nIpExt: A\nIpExt: 1\n";
        let expected = QueueCounts {
            accept_queue_overflows: 5,
            syn_queue_drops: 7,
            syn_cookies_sent: 3,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("TcpExt: ListenOverflows\nTcpExt: 1\n"), None);
        assert_eq!(parse("IpExt: A\n"), None);
    }

    #[test]
    fn this_kernel_has_them() {
        assert!(read().is_ok());
    }
}
