//! The tcpwatch binary.
fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    tcpwatch::app::run(&tcpwatch::app::Options {
        listen: vec!["unix:/tmp/t.sock".parse().unwrap()],
        netns: std::env::args().nth(1),
        stall_after: std::time::Duration::from_secs(1),
        handshake_capacity: 16384,
        record_transitions: false,
        log_programs: false,
    })
}
