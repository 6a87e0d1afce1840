//! The attach plan, one row a fact, and the decoders of what the programs record.

pub mod connect;
pub mod queues;
pub mod transition;

use tcpwatch_common::event::{Header, KIND_CONNECT_ENDED, KIND_CONNECT_STALLED, KIND_TRANSITION};

use crate::{
    kernel::offsets::Group,
    model::{Event, Hook},
};

/// A fact and the ways to get at it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What hooks one place is named for it; else the fact's name.
    pub name: &'static str,
    /// The ways, the first that attaches being taken.
    pub ways: &'static [Way],
    /// What is lost without it.
    pub feeds: &'static str,
}

/// One way to get at a fact.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// What the programs hang on.
    pub hook: Hook,
    /// All of these or none, since counts of some would be wrong; none for polling.
    pub programs: &'static [Program],
}

/// One program and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in the eBPF object.
    pub name: &'static str,
    /// The tracepoint or function it hooks.
    pub target: &'static str,
    /// How the target's parameters must begin, as C writes their types.
    pub parameters: &'static [&'static str],
    /// The kernel fields it reads.
    pub needs: &'static [Group],
}

/// Every probe, in the order of attachment: what takes entries away comes before what makes them.
pub const PROBES: &[Plan] = &[
    Plan {
        name: "tcp_destroy_sock",
        ways: &[tracepoint(&[Program {
            name: "tcp_destroy_sock",
            target: "tcp_destroy_sock",
            parameters: &["struct sock *"],
            needs: &[Group::Sock],
        }])],
        feeds: "taking away handshakes whose end was missed",
    },
    Plan {
        name: "tcp_receive_reset",
        ways: &[tracepoint(&[Program {
            name: "tcp_receive_reset",
            target: "tcp_receive_reset",
            parameters: &["struct sock *"],
            needs: &[Group::Sock],
        }])],
        feeds: "RSTs received, and refused_rst apart from refused_icmp",
    },
    Plan {
        name: "tcp_retransmit_skb",
        ways: &[tracepoint(&[Program {
            name: "tcp_retransmit_skb",
            target: "tcp_retransmit_skb",
            parameters: &["struct sock *", "struct sk_buff *"],
            needs: &[Group::Sock, Group::Tcp],
        }])],
        feeds: "SYN retransmits and stalls",
    },
    Plan {
        name: "tcp_retransmit_synack",
        ways: &[tracepoint(&[Program {
            name: "tcp_retransmit_synack",
            target: "tcp_retransmit_synack",
            parameters: &["struct sock *", "struct request_sock *"],
            needs: &[Group::Sock],
        }])],
        feeds: "SYN-ACK retransmits",
    },
    Plan {
        name: "inet_sock_set_state",
        ways: &[tracepoint(&[Program {
            name: "inet_sock_set_state",
            target: "inet_sock_set_state",
            parameters: &["struct sock *", "int", "int"],
            needs: &[Group::Sock, Group::Inode, Group::Tcp],
        }])],
        feeds: "state transitions, connect attempts, their outcomes and latencies",
    },
    queues::PLAN,
];

/// By tracepoints.
const fn tracepoint(programs: &'static [Program]) -> Way {
    Way {
        hook: Hook::Tracepoint,
        programs,
    }
}

/// Decodes one ring record; `None` for a kind or a length that this build does not know.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Event> {
    let header: Header = tcpwatch_common::wire::read(bytes)?;
    if usize::try_from(header.length).ok()? > bytes.len() {
        return None;
    }
    match header.kind {
        KIND_CONNECT_STALLED => connect::stalled(bytes).map(Event::ConnectStalled),
        KIND_CONNECT_ENDED => connect::ended(bytes).map(Event::ConnectEnded),
        KIND_TRANSITION => transition::decode(bytes).map(Event::Transition),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_way_has_programs_unless_it_polls() {
        for way in PROBES.iter().flat_map(|plan| plan.ways) {
            assert_eq!(way.programs.is_empty(), way.hook == Hook::Poll, "{way:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_known_kind_with_any_content_does_not_panic(
            kind in 1u32..4,
            mut bytes in proptest::collection::vec(any::<u8>(), 16..300),
        ) {
            let length = bytes.len() as u32;
            bytes[8..12].copy_from_slice(&kind.to_ne_bytes());
            bytes[12..16].copy_from_slice(&length.to_ne_bytes());
            let _ = decode(&bytes);
        }
    }
}
