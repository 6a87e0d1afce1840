//! The record of one state transition: 80 bytes, written only while somebody wants them.

use super::Header;

/// One call of tracepoint inet_sock_set_state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Kind [`super::KIND_TRANSITION`].
    pub header: Header,
    /// The address of the socket, only to tell sockets apart.
    pub socket: u64,
    /// The tuple.
    pub flow: crate::flow::Flow,
    /// The state it left.
    pub from: u8,
    /// The state it entered.
    pub to: u8,
    /// Zero.
    pub reserved: [u8; 6],
}
