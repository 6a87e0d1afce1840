//! Ring records: one `#[repr(C)]` type a probe family, each behind the same header.

pub mod connect;
pub mod transition;

/// The first bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// CLOCK_MONOTONIC nanoseconds.
    pub time_ns: u64,
    /// One of the `KIND_` constants.
    pub kind: u32,
    /// The length of the whole record in bytes.
    pub length: u32,
}

/// [`connect::ConnectStalled`]
pub const KIND_CONNECT_STALLED: u32 = 1;
/// [`connect::ConnectEnded`]
pub const KIND_CONNECT_ENDED: u32 = 2;
/// [`transition::Transition`]
pub const KIND_TRANSITION: u32 = 3;
