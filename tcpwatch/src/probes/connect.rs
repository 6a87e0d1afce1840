//! Decodes what is recorded of connect attempts, and the entries of the handshake table.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tcpwatch_common::{
    event::connect,
    flow::{Family, Flow},
    handshake::{DROPPED_LOCALLY, Handshake},
    outcome::Outcome,
    tcp_state::TcpState,
    wire,
};

use crate::model::{Attempt, ConnectStalled, EndedAttempt, Process};

/// The two ends of a flow; an IPv4 address in its IPv6 form is shown as IPv4.
pub(super) fn ends(flow: &Flow) -> (SocketAddr, SocketAddr) {
    let address = |bytes| -> IpAddr { Ipv6Addr::from_octets(bytes).to_canonical() };
    (
        SocketAddr::new(address(flow.saddr), flow.sport),
        SocketAddr::new(address(flow.daddr), flow.dport),
    )
}

fn text(bytes: &[u8; 16]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An entry of the handshake table; `None` where it holds a family or state that it cannot hold.
///
/// The cgroup's path is not in the entry, only its id.
#[must_use]
pub fn attempt(handshake: &Handshake) -> Option<Attempt> {
    let (local, remote) = ends(&handshake.flow);
    let known = handshake.started_ns != 0;
    Some(Attempt {
        family: Family::from_address_family(handshake.flow.family)?,
        local,
        remote,
        netns: handshake.flow.netns,
        inode: (handshake.inode != 0).then_some(handshake.inode),
        uid: known.then_some(handshake.uid),
        process: known.then(|| Process {
            pid: handshake.pid,
            comm: text(&handshake.comm),
            cgroup: None,
        }),
        cgroup_id: known.then_some(handshake.cgroup_id),
        started_ns: known.then_some(handshake.started_ns),
        state: TcpState::from_raw(handshake.state)?,
        syn_retransmits: handshake.syn_retransmits,
        last_retransmit_ns: (handshake.last_retransmit_ns != 0)
            .then_some(handshake.last_retransmit_ns),
        syn_count: (handshake.syn_retries != 0).then_some(handshake.syn_retries),
        user_timeout: (handshake.user_timeout_ms != 0)
            .then(|| Duration::from_millis(handshake.user_timeout_ms.into())),
        dropped_locally: (handshake.flags & DROPPED_LOCALLY != 0).then_some(true),
    })
}

pub(super) fn stalled(bytes: &[u8]) -> Option<ConnectStalled> {
    let record: connect::ConnectStalled = wire::read(bytes)?;
    Some(ConnectStalled {
        time_ns: record.header.time_ns,
        attempt: attempt(&record.handshake)?,
    })
}

pub(super) fn ended(bytes: &[u8]) -> Option<EndedAttempt> {
    let record: connect::ConnectEnded = wire::read(bytes)?;
    Some(EndedAttempt {
        attempt: attempt(&record.handshake)?,
        outcome: Outcome::from_raw(record.outcome)?,
        error: error_name(record.sk_err),
        ended_ns: record.header.time_ns,
    })
}

/// The name of the errno that the application got; the number where it has no name here.
fn error_name(errno: u32) -> Option<String> {
    let name = match errno {
        0 => return None,
        1 => "EPERM",
        13 => "EACCES",
        71 => "EPROTO",
        92 => "ENOPROTOOPT",
        99 => "EADDRNOTAVAIL",
        101 => "ENETUNREACH",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        _ => return Some(errno.to_string()),
    };
    Some(name.to_owned())
}
