//! The filters that several routes share, tested against a tuple and a process.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{
    Parameters,
    error::Error,
    query::{self, canonical},
};
use crate::model::{Namespace, Process, Snapshot};

/// The longest name that the kernel keeps for a thread, without its NUL (TASK_COMM_LEN).
const COMM_BYTES: usize = 15;

/// One end of a connection.
#[derive(Debug, Default)]
pub struct End {
    network: Option<IpNet>,
    port: Option<u16>,
}

impl End {
    /// From the parameters with these names.
    pub fn parse(parameters: &Parameters, network: &str, port: &str) -> Result<Self, Error> {
        Ok(Self {
            network: parameters.one(network, query::network)?,
            port: parameters.one(port, query::port)?,
        })
    }

    /// Whether that end is meant.
    pub fn matches(&self, address: SocketAddr) -> bool {
        self.network
            .is_none_or(|network| network.contains(&canonical(address.ip())))
            && self.port.is_none_or(|port| port == address.port())
    }
}

/// Whose socket: `pid` and `comm`.
#[derive(Debug, Default)]
pub struct Owner {
    pid: Option<u32>,
    comm: Option<String>,
}

impl Owner {
    /// From the parameters `pid` and `comm`.
    pub fn parse(parameters: &Parameters) -> Result<Self, Error> {
        Ok(Self {
            pid: parameters.one("pid", query::pid)?,
            comm: parameters.one("comm", query::text)?,
        })
    }

    /// Whether that process is meant; an unknown one is, if nothing was asked for.
    pub fn matches(&self, process: Option<&Process>) -> bool {
        self.pid
            .is_none_or(|pid| process.is_some_and(|process| process.pid == pid))
            && self.comm.as_ref().is_none_or(|comm| {
                process.is_some_and(|process| process.comm.as_bytes() == kept(comm))
            })
    }
}

/// What the kernel keeps of a name: a longer one in the question still finds its process.
fn kept(comm: &str) -> &[u8] {
    let bytes = comm.as_bytes();
    bytes.get(..COMM_BYTES).unwrap_or(bytes)
}

/// The inode number of the namespace that `netns` names: by number, by name or as `host`.
pub fn netns(parameters: &Parameters, snapshot: &Snapshot) -> Result<Option<u32>, Error> {
    parameters.one("netns", |value| {
        if let Ok(inode) = value.parse() {
            return Ok(inode);
        }
        snapshot
            .namespaces
            .iter()
            .find(|(_, namespace)| namespace.name.as_deref() == Some(value))
            .map(|(inode, _)| *inode)
            .ok_or_else(|| {
                let names: Vec<_> = snapshot
                    .namespaces
                    .values()
                    .filter_map(|Namespace { name }| name.as_deref())
                    .collect();
                format!(
                    "unknown network namespace {value}; an inode number or one of {}",
                    names.join(", ")
                )
            })
    })
}
