//! tcpwatch: what TCP does on this host, counted in the kernel and remembered.
pub mod kernel;
