//! The imperative shell: the only user of aya, netlink, /proc and /sys.

pub mod btf;
pub mod clock;
pub mod loader;
pub mod maps;
pub mod offsets;
pub mod program;
pub mod ring;
