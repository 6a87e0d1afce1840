//! Decodes the records of single transitions.

use tcpwatch_common::{event::transition, flow::Family, tcp_state::TcpState, wire};

use super::connect::ends;
use crate::model::Transition;

pub(super) fn decode(bytes: &[u8]) -> Option<Transition> {
    let record: transition::Transition = wire::read(bytes)?;
    let (local, remote) = ends(&record.flow);
    Some(Transition {
        time_ns: record.header.time_ns,
        family: Family::from_address_family(record.flow.family)?,
        local,
        remote,
        netns: record.flow.netns,
        from: TcpState::from_raw(record.from)?,
        to: TcpState::from_raw(record.to)?,
    })
}
