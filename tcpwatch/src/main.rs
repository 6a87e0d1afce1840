//! The tcpwatch binary.
fn main() {}
