//! Records of connect attempts: the first SYN retransmit, and the end of one that failed or
//! stalled. A connect that went well at once leaves counts only.

use super::Header;
use crate::handshake::Handshake;

/// The first SYN retransmit of an attempt.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectStalled {
    /// Kind [`super::KIND_CONNECT_STALLED`].
    pub header: Header,
    /// The address of the socket, only to tell attempts apart.
    pub socket: u64,
    /// The attempt as it stands.
    pub handshake: Handshake,
}

/// The end of an attempt.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectEnded {
    /// Kind [`super::KIND_CONNECT_ENDED`].
    pub header: Header,
    /// The address of the socket, only to tell attempts apart.
    pub socket: u64,
    /// The attempt at its end.
    pub handshake: Handshake,
    /// `sk_err`, 0 for none.
    pub sk_err: u32,
    /// `sk_err_soft`, 0 for none.
    pub sk_err_soft: u32,
    /// An [`crate::outcome::Outcome`].
    pub outcome: u8,
    /// The state the socket went to.
    pub to: u8,
    /// Zero.
    pub reserved: [u8; 6],
}
