//! tcpwatch: what TCP does on this host, counted in the kernel and remembered.
//!
//! The binary is a thin `main`; this library exists so that tests can replay records and drive the
//! views without a kernel. ARCHITECTURE.md shows how the parts fit.

pub mod api;
pub mod app;
pub mod cli;
pub mod duration;
pub mod feed;
pub mod kernel;
pub mod listen;
pub mod metrics;
pub mod model;
pub mod probes;
pub mod store;
