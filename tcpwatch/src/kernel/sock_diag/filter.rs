//! Owns which sockets a dump selects: [`Filter`] and its translation into the program that the
//! kernel runs on every socket (`INET_DIAG_REQ_BYTECODE`, net/ipv4/inet_diag.c, `inet_diag_bc_run`).
//! It does not know the rest of the request, and it never filters in user space.
//!
//! Such a program is a row of conditional jumps forward. Each says how far to go when it holds
//! (`yes`, which is always its own length) and when it does not (`no`). A run that ends exactly at
//! the end of the program selects the socket; one that jumps four bytes beyond it rejects the socket.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::request::{AF_INET, AF_INET6};

const BC_NOP: u8 = 0;
const BC_JMP: u8 = 1;
const BC_S_COND: u8 = 7;
const BC_D_COND: u8 = 8;
const BC_S_EQ: u8 = 11;
const BC_D_EQ: u8 = 12;

/// `sizeof(struct inet_diag_bc_op)`.
const OP: usize = 4;

/// Which sockets a dump selects. Addresses are compared as tcpwatch shows them: an IPv6 socket that
/// carries IPv4 has IPv4 addresses, so `10.0.0.0/8` selects it and `::/0` does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The local port is this one.
    LocalPort(u16),
    /// The remote port is this one.
    RemotePort(u16),
    /// The local or the remote port is this one.
    Port(u16),
    /// The local address lies in this prefix.
    Local(IpNet),
    /// The remote address lies in this prefix.
    Remote(IpNet),
    /// Every one of these holds; with none of them, every socket is selected.
    All(Vec<Filter>),
    /// At least one of these holds; with none of them, no socket is selected.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
}

/// The program would not fit: its jumps are 16 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the socket filter has too many terms for the kernel (its program may have 65535 bytes, about 2000 addresses); ask for fewer ports or prefixes at once"
)]
pub struct FilterTooLarge;

impl Filter {
    /// The program for the kernel, without the attribute header around it.
    pub(super) fn compile(&self) -> Result<Vec<u8>, FilterTooLarge> {
        let program = self.emit(0)?;
        // The attribute that carries it counts its own header in 16 bits too.
        if program.len() + OP > usize::from(u16::MAX) {
            return Err(FilterTooLarge);
        }
        Ok(program)
    }

    /// The code of this filter. When it holds, the run arrives at the end of that code; when not, at
    /// `end + 4 + beyond`. With a `beyond` of 0 that is a rejection, at the end of the program, or the
    /// place behind a jump that follows the code, in the middle of it.
    fn emit(&self, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
        match self {
            Self::LocalPort(port) => port_equals(BC_S_EQ, *port, beyond),
            Self::RemotePort(port) => port_equals(BC_D_EQ, *port, beyond),
            Self::Port(port) => {
                Self::Any(vec![Self::LocalPort(*port), Self::RemotePort(*port)]).emit(beyond)
            }
            Self::Local(prefix) => address_in(BC_S_COND, *prefix, beyond),
            Self::Remote(prefix) => address_in(BC_D_COND, *prefix, beyond),
            Self::All(terms) => {
                if terms.is_empty() {
                    return op(BC_NOP, OP, beyond);
                }
                // From the last to the first, since each must know how much code it has to leave out.
                let mut code = Vec::new();
                for term in terms.iter().rev() {
                    let mut longer = term.emit(beyond + code.len())?;
                    longer.append(&mut code);
                    code = longer;
                }
                Ok(code)
            }
            Self::Any(terms) => {
                let Some((last, others)) = terms.split_last() else {
                    // A jump over the end: it never holds.
                    return op(BC_JMP, OP, beyond);
                };
                let mut code = last.emit(beyond)?;
                for term in others.iter().rev() {
                    // `term`, then a jump to the end for when it held; when not, it lands behind that jump.
                    let mut longer = term.emit(0)?;
                    longer.append(&mut jump(code.len() + OP)?);
                    longer.append(&mut code);
                    code = longer;
                }
                Ok(code)
            }
            Self::Not(term) => {
                // When `term` fails it skips the jump and so arrives at the end; when it holds, the
                // jump goes where failures go.
                let mut code = term.emit(0)?;
                code.append(&mut op(BC_JMP, OP, beyond)?);
                Ok(code)
            }
        }
    }
}

/// `struct inet_diag_bc_op` of an instruction that has `length` bytes in all and fails to `beyond`.
fn op(code: u8, length: usize, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
    instruction(code, length, length + OP + beyond)
}

/// A jump that is always taken, `distance` bytes from its own start.
fn jump(distance: usize) -> Result<Vec<u8>, FilterTooLarge> {
    instruction(BC_JMP, OP, distance)
}

fn instruction(code: u8, yes: usize, no: usize) -> Result<Vec<u8>, FilterTooLarge> {
    let yes = u8::try_from(yes).map_err(|_| FilterTooLarge)?;
    let no = u16::try_from(no).map_err(|_| FilterTooLarge)?;
    let mut bytes = vec![code, yes];
    bytes.extend_from_slice(&no.to_ne_bytes());
    Ok(bytes)
}

/// `INET_DIAG_BC_S_EQ` and `_D_EQ`, which every kernel since 5.10 has: the port stands, in host order, in the `no` field of a
/// second `inet_diag_bc_op`.
fn port_equals(code: u8, port: u16, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
    let mut bytes = op(code, 2 * OP, beyond)?;
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&port.to_ne_bytes());
    Ok(bytes)
}

/// The kernel compares an IPv4 prefix with IPv4 sockets and with the v4-mapped addresses of IPv6
/// sockets, and an IPv6 prefix with the raw 128 bits of IPv6 sockets only. This makes both agree with
/// the addresses that [`super::Entry`] shows.
fn address_in(code: u8, prefix: IpNet, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
    match prefix {
        IpNet::V4(prefix) => v4_in(code, prefix, beyond),
        IpNet::V6(prefix) => {
            if let Some(prefix) = unmapped(prefix) {
                v4_in(code, prefix, beyond)
            } else if prefix.contains(&MAPPED) {
                // It spans the mapped range, whose sockets are shown with IPv4 addresses.
                let mut not_mapped = v4_in(code, Ipv4Net::default(), 0)?;
                not_mapped.append(&mut op(BC_JMP, OP, beyond)?);
                let mut bytes = v6_in(code, prefix, beyond + not_mapped.len())?;
                bytes.append(&mut not_mapped);
                Ok(bytes)
            } else {
                v6_in(code, prefix, beyond)
            }
        }
    }
}

/// `::ffff:0.0.0.0`.
const MAPPED: Ipv6Addr = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();

/// The IPv4 prefix that a prefix within `::ffff:0:0/96` stands for.
fn unmapped(prefix: Ipv6Net) -> Option<Ipv4Net> {
    let length = prefix.prefix_len().checked_sub(96)?;
    let address = prefix.network().to_ipv4_mapped()?;
    Ipv4Net::new(address, length).ok()
}

fn v4_in(code: u8, prefix: Ipv4Net, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
    let address = prefix.network().octets();
    host_condition(code, AF_INET, prefix.prefix_len(), &address, beyond)
}

fn v6_in(code: u8, prefix: Ipv6Net, beyond: usize) -> Result<Vec<u8>, FilterTooLarge> {
    let address = prefix.network().octets();
    host_condition(code, AF_INET6, prefix.prefix_len(), &address, beyond)
}

/// `struct inet_diag_hostcond`: family, prefix length, two bytes of padding, port (-1: any), address.
fn host_condition(
    code: u8,
    family: u8,
    prefix_len: u8,
    address: &[u8],
    beyond: usize,
) -> Result<Vec<u8>, FilterTooLarge> {
    let mut bytes = op(code, OP + 8 + address.len(), beyond)?;
    bytes.extend_from_slice(&[family, prefix_len, 0, 0]);
    bytes.extend_from_slice(&(-1_i32).to_ne_bytes());
    bytes.extend_from_slice(address);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use proptest::prelude::*;

    use super::*;

    /// A socket as the kernel's interpreter sees it.
    #[derive(Clone, Debug)]
    struct Socket {
        v6: bool,
        local: SocketAddr,
        remote: SocketAddr,
    }

    /// What the filter means, said over the addresses as they are shown.
    fn means(filter: &Filter, socket: &Socket) -> bool {
        let within = |prefix: &IpNet, address: IpAddr| match *prefix {
            IpNet::V6(v6) => match unmapped(v6) {
                Some(v4) => IpNet::V4(v4).contains(&address),
                None => prefix.contains(&address),
            },
            IpNet::V4(_) => prefix.contains(&address),
        };
        match filter {
            Filter::LocalPort(port) => socket.local.port() == *port,
            Filter::RemotePort(port) => socket.remote.port() == *port,
            Filter::Port(port) => [socket.local.port(), socket.remote.port()].contains(port),
            Filter::Local(prefix) => within(prefix, socket.local.ip()),
            Filter::Remote(prefix) => within(prefix, socket.remote.ip()),
            Filter::All(terms) => terms.iter().all(|term| means(term, socket)),
            Filter::Any(terms) => terms.iter().any(|term| means(term, socket)),
            Filter::Not(term) => !means(term, socket),
        }
    }

    fn field(program: &[u8], at: usize) -> usize {
        usize::from(u16::from_ne_bytes([program[at], program[at + 1]]))
    }

    /// Runs a program by the rules of `inet_diag_bc_run`.
    fn run(program: &[u8], socket: &Socket) -> bool {
        let mut at = 0;
        while at < program.len() {
            let (address, port) = match program[at] {
                BC_S_COND | BC_S_EQ => (socket.local.ip(), socket.local.port()),
                _ => (socket.remote.ip(), socket.remote.port()),
            };
            let holds = match program[at] {
                BC_NOP => true,
                BC_JMP => false,
                BC_S_EQ | BC_D_EQ => usize::from(port) == field(program, at + OP + 2),
                BC_S_COND | BC_D_COND => {
                    let (family, bits) = (program[at + 4], u32::from(program[at + 5]));
                    let bytes = &program[at + 12..];
                    if family == AF_INET {
                        let wanted = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                        let IpAddr::V4(v4) = address else {
                            // Not a mapped address, or it would be shown as IPv4.
                            at += field(program, at + 2);
                            continue;
                        };
                        let differing = u32::from(v4) ^ wanted;
                        bits == 0 || differing >> (32 - bits) == 0
                    } else if socket.v6 {
                        let raw = match address {
                            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                            IpAddr::V6(v6) => v6,
                        };
                        let wanted = u128::from_be_bytes(bytes[..16].try_into().unwrap());
                        bits == 0 || (u128::from(raw) ^ wanted) >> (128 - bits) == 0
                    } else {
                        false
                    }
                }
                code => panic!("unknown code {code}"),
            };
            at += if holds {
                usize::from(program[at + 1])
            } else {
                field(program, at + 2)
            };
        }
        at == program.len()
    }

    /// Refuses what `inet_diag_bc_audit` refuses.
    fn audit(program: &[u8]) {
        let mut starts = vec![];
        let mut at = 0;
        while at < program.len() {
            starts.push(at);
            at += usize::from(program[at + 1]);
        }
        assert_eq!(at, program.len(), "the row of instructions ends at the end");
        for start in starts.clone() {
            let length = match program[start] {
                BC_NOP => continue,
                BC_JMP => OP,
                BC_S_EQ | BC_D_EQ => 2 * OP,
                _ if program[start + 4] == AF_INET => 16,
                _ => 28,
            };
            let (yes, no) = (usize::from(program[start + 1]), field(program, start + 2));
            let left = program.len() - start;
            assert!(yes >= length && yes <= left + 4 && yes % 4 == 0);
            assert!(no >= length && no <= left + 4 && no % 4 == 0);
            assert!(
                no >= left || starts.contains(&(start + no)),
                "jump into an instruction"
            );
        }
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        prop::sample::select(vec![
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.2.3/32",
            "10.1.2.0/23",
            "::/0",
            "::1/128",
            "fd00::/8",
            "::ffff:10.0.0.0/104",
            "::ffff:0:0/96",
            "::/64",
            "fd00::5/127",
        ])
        .prop_map(|text| text.parse().unwrap())
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let port = || 1_u16..5;
        let leaf = prop_oneof![
            port().prop_map(Filter::LocalPort),
            port().prop_map(Filter::RemotePort),
            port().prop_map(Filter::Port),
            prefix().prop_map(Filter::Local),
            prefix().prop_map(Filter::Remote),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Filter::All),
                prop::collection::vec(inner.clone(), 0..5).prop_map(Filter::Any),
                inner.prop_map(|term| Filter::Not(Box::new(term))),
            ]
        })
    }

    fn socket() -> impl Strategy<Value = Socket> {
        let address = || {
            prop::sample::select(vec![
                "0.0.0.0",
                "10.1.2.3",
                "10.1.3.3",
                "192.0.2.1",
                "::",
                "::1",
                "fd00::4",
            ])
            .prop_map(|text| text.parse::<IpAddr>().unwrap())
        };
        (any::<bool>(), address(), address(), 1_u16..5, 1_u16..5).prop_map(
            |(v6, local, remote, lport, rport)| Socket {
                v6: v6 || local.is_ipv6() || remote.is_ipv6(),
                local: SocketAddr::new(local, lport),
                remote: SocketAddr::new(remote, rport),
            },
        )
    }

    proptest! {
        #[test]
        fn a_program_selects_what_the_filter_means(filter in filter(), sockets in prop::collection::vec(socket(), 1..20)) {
            let program = filter.compile().unwrap();
            audit(&program);
            for socket in &sockets {
                prop_assert_eq!(run(&program, socket), means(&filter, socket), "{:?}", socket);
            }
        }
    }

    #[test]
    fn a_port_is_compiled_to_one_comparison() {
        let mut expected = vec![BC_S_EQ, 8];
        expected.extend(12_u16.to_ne_bytes());
        expected.extend([0, 0]);
        expected.extend(443_u16.to_ne_bytes());
        assert_eq!(Filter::LocalPort(443).compile(), Ok(expected));
    }

    #[test]
    fn a_filter_beyond_sixteen_bits_is_refused() {
        let ports = |count: u16| Filter::Any((0..count).map(Filter::LocalPort).collect());
        assert!(ports(5000).compile().is_ok());
        assert_eq!(ports(6000).compile(), Err(FilterTooLarge));
    }
}
