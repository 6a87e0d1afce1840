//! The imperative shell: the only user of aya, netlink, /proc and /sys.

mod attach;
pub mod btf;
pub mod capabilities;
pub mod cgroup;
pub mod clock;
pub mod loader;
pub mod look;
pub mod maps;
pub mod netns;
pub mod netstat;
pub mod offsets;
pub mod own_process;
pub mod preflight;
pub mod process;
pub mod program;
pub mod program_log;
pub mod ring;
pub mod sock_diag;
pub mod sysctl;
