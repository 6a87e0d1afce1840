//! A connection's addresses, ports and network namespace, as the programs record them.

/// `AF_INET`
pub const AF_INET: u16 = 2;
/// `AF_INET6`
pub const AF_INET6: u16 = 10;

/// The tuple of a socket, ports in host order, addresses in the IPv6 form (IPv4 as
/// `::ffff:a.b.c.d`), so that one shape fits both families.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The source address (`skc_rcv_saddr` or `skc_v6_rcv_saddr`).
    pub saddr: [u8; 16],
    /// The destination address (`skc_daddr` or `skc_v6_daddr`).
    pub daddr: [u8; 16],
    /// The inode number of the network namespace (`skc_net.net->ns.inum`).
    pub netns: u32,
    /// The source port (`inet_sport`), 0 while the socket has none.
    pub sport: u16,
    /// The destination port (`skc_dport`).
    pub dport: u16,
    /// The socket's own family: [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

/// The index of a family in every counter: 0 is IPv4, 1 is IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// An `AF_INET` socket.
    Ipv4 = 0,
    /// An `AF_INET6` socket, whatever it carries.
    Ipv6 = 1,
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of `AF_INET` or `AF_INET6`; `None` for any other.
    #[must_use]
    pub const fn from_address_family(raw: u16) -> Option<Self> {
        match raw {
            AF_INET => Some(Self::Ipv4),
            AF_INET6 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The name in labels and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}
