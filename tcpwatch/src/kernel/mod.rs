//! The imperative shell: the only user of aya, netlink, /proc and /sys.
pub mod capabilities;
pub mod netns;
pub mod process;
pub mod sock_diag;
pub mod sysctl;
