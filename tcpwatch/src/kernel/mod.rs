//! The imperative shell: the only user of aya, netlink, /proc and /sys.

pub mod btf;
pub mod capabilities;
pub mod clock;
pub mod loader;
pub mod maps;
pub mod netns;
pub mod offsets;
pub mod process;
pub mod program;
pub mod ring;
pub mod sock_diag;
pub mod sysctl;
