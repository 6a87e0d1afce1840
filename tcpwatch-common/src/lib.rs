//! What the eBPF programs and the daemon agree on: states, flows, counters, ring records and the
//! kernel offsets that the daemon resolves. No I/O, no allocation, no dependency on the eBPF side.
#![no_std]

pub mod counters;
pub mod event;
pub mod flow;
pub mod handshake;
pub mod histogram;
pub mod offsets;
pub mod outcome;
pub mod tcp_state;
pub mod wire;

/// The version of every layout in this crate, kept in the META map beside the data.
///
/// A daemon that adopts the maps of an earlier one compares it first. Raise it with every change
/// to a map's key, value or meaning.
pub const LAYOUT_VERSION: u32 = 2;

/// What the META map holds at index 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// [`LAYOUT_VERSION`] of the daemon that made the maps.
    pub layout_version: u32,
    /// `size_of::<counters::Counters>()`, a second guard against mixed builds.
    pub counters_size: u32,
    /// `size_of::<handshake::Handshake>()`.
    pub handshake_size: u32,
    /// Zero.
    pub reserved: u32,
}

impl Meta {
    /// The layout of this build.
    #[must_use]
    pub const fn current() -> Self {
        Self {
            layout_version: LAYOUT_VERSION,
            counters_size: size_of::<counters::Counters>() as u32,
            handshake_size: size_of::<handshake::Handshake>() as u32,
            reserved: 0,
        }
    }
}

/// What the SWITCHES map holds at index 0: what the daemon may turn on and off while it runs.
pub mod switches {
    /// Write each state transition to the transitions ring.
    pub const EXPORT_TRANSITIONS: u32 = 1;
}
