//! The tcpwatch binary.
fn main() -> anyhow::Result<()> {
    let start = std::time::Instant::now();
    let loaded = tcpwatch::kernel::loader::load(&Default::default())?;
    println!("{:?}", start.elapsed());
    for p in loaded.programs.probes() {
        println!("{p:?}");
    }
    std::process::Command::new("python3")
        .args([
            "-c",
            "
import socket
s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen()
for i in range(100):
    c=socket.create_connection(s.getsockname()); a,_=s.accept(); c.close(); a.close()
s.close()
try: socket.create_connection(('127.0.0.1',1))
except OSError as e: print(e)
",
        ])
        .status()?;
    let c = loaded.maps.counters()?;
    for a in tcpwatch_common::tcp_state::TcpState::ALL {
        for b in tcpwatch_common::tcp_state::TcpState::ALL {
            for f in tcpwatch_common::flow::Family::ALL {
                let n = c.transition(a, b, f);
                if n > 0 {
                    println!("{} {} {} {n}", a.label(), b.label(), f.label());
                }
            }
        }
    }
    println!("{:?} {:?}", c.connects, c.events);
    println!("{:?}", loaded.maps.handshakes()?);
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")?
            .lines()
            .filter(|l| l.starts_with("Vm"))
            .collect::<Vec<_>>()
            .join("; ")
    );
    let mut e = loaded.events;
    while let Some(i) = e.next() {
        println!("{:?}", tcpwatch::probes::decode(&i));
    }
    Ok(())
}
