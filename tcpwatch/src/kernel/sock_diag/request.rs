//! Owns what is asked of the kernel: [`Request`] and its bytes (`struct inet_diag_req_v2` behind a
//! netlink header). It does not send it.
#![forbid(unsafe_code)]

use std::ops::{BitOr, BitOrAssign};

use super::{
    filter::{Filter, FilterTooLarge},
    netlink::HEADER,
};

/// The same number on every architecture (include/linux/socket.h).
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

const IPPROTO_TCP: u8 = 6;
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const INET_DIAG_REQ_BYTECODE: u16 = 1;

/// `sizeof(struct inet_diag_req_v2)`.
const REQUEST: usize = 56;

/// The address family of a socket, not of what it carries: an IPv6 socket may carry IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// Both, for a caller that dumps everything.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn raw(self) -> u8 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }

    pub(super) fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            AF_INET => Some(Self::V4),
            AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// A set of TCP states: bit n stands for state n of include/net/tcp_states.h (`idiag_states`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateMask(pub u32);

impl StateMask {
    /// No state.
    pub const NONE: Self = Self(0);
    /// `TCP_ESTABLISHED`, 1.
    pub const ESTABLISHED: Self = Self(1 << 1);
    /// `TCP_SYN_SENT`, 2.
    pub const SYN_SENT: Self = Self(1 << 2);
    /// `TCP_SYN_RECV`, 3. The kernel adds [`Self::NEW_SYN_RECV`] to it.
    pub const SYN_RECV: Self = Self(1 << 3);
    /// `TCP_FIN_WAIT1`, 4.
    pub const FIN_WAIT1: Self = Self(1 << 4);
    /// `TCP_FIN_WAIT2`, 5. A timewait sock may be in this state too.
    pub const FIN_WAIT2: Self = Self(1 << 5);
    /// `TCP_TIME_WAIT`, 6.
    pub const TIME_WAIT: Self = Self(1 << 6);
    /// `TCP_CLOSE`, 7. Such sockets are in no table that a dump walks.
    pub const CLOSE: Self = Self(1 << 7);
    /// `TCP_CLOSE_WAIT`, 8.
    pub const CLOSE_WAIT: Self = Self(1 << 8);
    /// `TCP_LAST_ACK`, 9.
    pub const LAST_ACK: Self = Self(1 << 9);
    /// `TCP_LISTEN`, 10.
    pub const LISTEN: Self = Self(1 << 10);
    /// `TCP_CLOSING`, 11.
    pub const CLOSING: Self = Self(1 << 11);
    /// `TCP_NEW_SYN_RECV`, 12: request sockets, what a listener holds between the SYN and the last ACK
    /// of the handshake. Their entries say state 3 (`inet_req_diag_fill`), inode 0 and uid 0.
    pub const NEW_SYN_RECV: Self = Self(1 << 12);
    /// Every state above. It leaves out `TCP_BOUND_INACTIVE` (13, since 6.8): those sockets have no
    /// connection.
    pub const ALL: Self = Self(0x1ffe);
    /// [`Self::ALL`] without listeners.
    pub const CONNECTIONS: Self = Self(Self::ALL.0 & !Self::LISTEN.0);

    /// The set of this state alone; empty for a number that no state has.
    #[must_use]
    pub const fn of(state: u8) -> Self {
        if state < 32 {
            Self(1 << state)
        } else {
            Self::NONE
        }
    }

    /// Whether this state is in the set.
    #[must_use]
    pub const fn contains(self, state: u8) -> bool {
        self.0 & Self::of(state).0 != 0
    }
}

impl BitOr for StateMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for StateMask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What the kernel is to add to each socket (`idiag_ext`). Each costs time and bytes per socket; the
/// cookie, the timer and the queues come without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `INET_DIAG_INFO`: [`super::TcpInfo`]. The kernel locks the socket to fill it.
    pub info: bool,
    /// `INET_DIAG_SKMEMINFO`: [`super::SkMemInfo`].
    pub skmeminfo: bool,
    /// `INET_DIAG_CONG`: the name of the congestion control.
    pub cong: bool,
}

impl Extensions {
    /// Everything that [`super::Entry`] has a place for.
    pub const ALL: Self = Self {
        info: true,
        skmeminfo: true,
        cong: true,
    };

    /// Bit n-1 asks for attribute n.
    fn raw(self) -> u8 {
        let bit = |wanted: bool, attribute: u8| u8::from(wanted) << (attribute - 1);
        bit(self.info, 2) | bit(self.cong, 4) | bit(self.skmeminfo, 7)
    }
}

/// One dump: the sockets of one family, in these states, that pass the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The family of the sockets.
    pub family: Family,
    /// The states to select.
    pub states: StateMask,
    /// What else must hold; `None` selects every socket in those states.
    pub filter: Option<Filter>,
    /// What to add to each entry.
    pub extensions: Extensions,
}

impl Request {
    /// Every socket of a family in these states, without extensions.
    #[must_use]
    pub fn new(family: Family, states: StateMask) -> Self {
        Self {
            family,
            states,
            filter: None,
            extensions: Extensions::default(),
        }
    }

    /// The netlink message, as it is sent.
    pub(super) fn encode(&self, sequence: u32) -> Result<Vec<u8>, FilterTooLarge> {
        let program = self.filter.as_ref().map(Filter::compile).transpose()?;
        // A program is a multiple of four bytes long, so nothing here needs padding.
        let length = HEADER + REQUEST + program.as_ref().map_or(0, |program| 4 + program.len());
        let length = u32::try_from(length).map_err(|_| FilterTooLarge)?;

        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());

        bytes.extend_from_slice(&[self.family.raw(), IPPROTO_TCP, self.extensions.raw(), 0]);
        bytes.extend_from_slice(&self.states.0.to_ne_bytes());
        // `struct inet_diag_sockid`: all zero, any socket.
        bytes.resize(HEADER + REQUEST, 0);

        if let Some(program) = program {
            let attribute = u16::try_from(4 + program.len()).map_err(|_| FilterTooLarge)?;
            bytes.extend_from_slice(&attribute.to_ne_bytes());
            bytes.extend_from_slice(&INET_DIAG_REQ_BYTECODE.to_ne_bytes());
            bytes.extend_from_slice(&program);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_layout_of_the_kernel() {
        let request = Request {
            family: Family::V6,
            states: StateMask::SYN_SENT | StateMask::LISTEN,
            filter: None,
            extensions: Extensions::ALL,
        };
        let bytes = request.encode(7).unwrap();
        assert_eq!(bytes.len(), 72);
        assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[4..6], 20_u16.to_ne_bytes());
        assert_eq!(bytes[6..8], 0x301_u16.to_ne_bytes());
        assert_eq!(bytes[8..12], 7_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [10, 6, 0b0100_1010, 0]);
        assert_eq!(bytes[20..24], 0x404_u32.to_ne_bytes());
        assert!(bytes[24..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_filter_becomes_an_attribute() {
        let mut request = Request::new(Family::V4, StateMask::ALL);
        request.filter = Some(Filter::RemotePort(80));
        let bytes = request.encode(1).unwrap();
        assert_eq!(bytes[..4], (72_u32 + 4 + 8).to_ne_bytes());
        assert_eq!(bytes[72..74], 12_u16.to_ne_bytes());
        assert_eq!(bytes[74..76], 1_u16.to_ne_bytes());
        assert_eq!(bytes.len(), 84);
    }

    #[test]
    fn the_states_are_the_bits_of_their_numbers() {
        assert_eq!(StateMask::of(10), StateMask::LISTEN);
        assert_eq!(StateMask::of(40), StateMask::NONE);
        assert!((1..=12).all(|state| StateMask::ALL.contains(state)));
        assert!(!StateMask::ALL.contains(13) && !StateMask::ALL.contains(0));
        assert!(!StateMask::CONNECTIONS.contains(10));
    }
}
