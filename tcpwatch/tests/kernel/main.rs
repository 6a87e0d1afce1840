//! Kernel tests: they need root and make their own network namespaces, with `ip`, `nft` and `sh` and
//! no other tool, so that they run inside a minimal virtual machine as well.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot prepare its ground fails"
)]

mod churn;
mod daemon;
mod fixture;
mod handshake;
mod netns;
mod queues;
mod sock_diag;
mod sock_diag_dumps;
mod syn_sent;
