//! Owns [`Entry`], one socket of a dump: `struct inet_diag_msg` and its attributes. Pure functions over
//! bytes, which never panic whatever the bytes are.
#![forbid(unsafe_code)]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{
    netlink::{Attributes, Members},
    request::Family,
    tcp_info::TcpInfo,
};

const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CONG: u16 = 4;
const INET_DIAG_SKMEMINFO: u16 = 7;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// Which timer of a socket runs (`idiag_timer`, set by `inet_sk_diag_fill`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// 0: none.
    Off,
    /// 1: a retransmission, also of a SYN-ACK; tail loss probes and the reordering timer say so too.
    Retransmit,
    /// 2: `sk_timer`: keepalive, or the end of an orphan's FIN_WAIT2.
    Keepalive,
    /// 3: the end of TIME_WAIT.
    TimeWait,
    /// 4: the next probe of a zero window (`ICSK_TIME_PROBE0`).
    Probe0,
    /// A kind that this version does not know.
    Other(u8),
}

impl TimerKind {
    fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::Off,
            1 => Self::Retransmit,
            2 => Self::Keepalive,
            3 => Self::TimeWait,
            4 => Self::Probe0,
            other => Self::Other(other),
        }
    }
}

/// The timer of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which one.
    pub kind: TimerKind,
    /// In how long it fires (`idiag_expires`, whole milliseconds); 0 when it is due or off.
    pub expires: Duration,
    /// `idiag_retrans`: `icsk_retransmits` with a retransmission (not incremented by a fast
    /// retransmit), `icsk_probes_out` with keepalive and probes, SYN-ACK retransmits of a request sock.
    pub retransmits: u8,
}

/// `SK_MEMINFO_*` (include/uapi/linux/sock_diag.h), in bytes but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkMemInfo {
    /// `sk_rmem_alloc`: what the receive queue takes.
    pub rmem_alloc: u32,
    /// `sk_rcvbuf`: the limit of the receive buffer.
    pub rcvbuf: u32,
    /// `sk_wmem_alloc`: what segments on their way out take.
    pub wmem_alloc: u32,
    /// `sk_sndbuf`: the limit of the send buffer.
    pub sndbuf: u32,
    /// `sk_forward_alloc`: reserved and unused; it can be negative for a moment.
    pub fwd_alloc: i32,
    /// `sk_wmem_queued`: what the send queue takes.
    pub wmem_queued: u32,
    /// `sk_omem_alloc`: options and filters.
    pub optmem: u32,
    /// `sk_backlog.len`: segments that arrived while the socket was locked.
    pub backlog: u32,
    /// `sk_drops`, packets.
    pub drops: u32,
}

impl SkMemInfo {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut members = Members::of(bytes);
        let m = &mut members;
        Some(Self {
            rmem_alloc: m.u32()?,
            rcvbuf: m.u32()?,
            wmem_alloc: m.u32()?,
            sndbuf: m.u32()?,
            fwd_alloc: m.u32()?.cast_signed(),
            wmem_queued: m.u32()?,
            optmem: m.u32()?,
            backlog: m.u32()?,
            drops: m.u32()?,
        })
    }
}

/// One socket of a dump: `struct inet_diag_msg` and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The family of the socket; one of IPv6 that carries IPv4 stays [`Family::V6`].
    pub family: Family,
    /// The state as the kernel numbers it. Request sockets say 3, `TCP_SYN_RECV`.
    pub state: u8,
    /// The local end; a v4-mapped address is shown as the IPv4 address.
    pub local: SocketAddr,
    /// The remote end, likewise; unspecified and port 0 for a listener.
    pub remote: SocketAddr,
    /// `sk_bound_dev_if`: the index of the interface it is bound to, or 0.
    pub interface: u32,
    /// The timer that runs.
    pub timer: Timer,
    /// Bytes received and not read; of a listener, the length of its accept queue.
    pub recv_queue: u32,
    /// Bytes written and not acknowledged; of a listener, the limit of its accept queue.
    pub send_queue: u32,
    /// The owner, as the user namespace of the netlink socket sees it; 0 for timewait and request socks.
    pub uid: u32,
    /// The inode of the socket; 0 for orphans, timewait and request socks, and before accept().
    pub inode: u64,
    /// `sk_cookie`: unique among all sockets since boot, whatever their namespace.
    pub cookie: u64,
    /// With [`super::Extensions::info`]; never for timewait and request socks.
    pub info: Option<TcpInfo>,
    /// With [`super::Extensions::skmeminfo`]; never for timewait and request socks.
    pub memory: Option<SkMemInfo>,
    /// With [`super::Extensions::cong`]: `cubic`, `bbr`, ...
    pub congestion_control: Option<String>,
    /// `sk_ipv6only`, for IPv6 listeners: `Some(false)` takes IPv4 too. bind() sets it for every address
    /// but `::` and the v4-mapped ones, whatever `IPV6_V6ONLY` was.
    pub v6_only: Option<bool>,
    /// The id of the cgroup v2 that the socket was made in, unasked for since 5.8: the inode of its
    /// directory. It is there for orphans, too.
    pub cgroup_id: Option<u64>,
}

impl Entry {
    /// Decodes the payload of a `SOCK_DIAG_BY_FAMILY` message; `None` where it is not one.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut members = Members::of(payload);
        let m = &mut members;
        let family = Family::from_raw(m.u8()?)?;
        let (state, timer, retransmits) = (m.u8()?, m.u8()?, m.u8()?);
        // `struct inet_diag_sockid`.
        let ports = [
            u16::from_be_bytes(m.array()?),
            u16::from_be_bytes(m.array()?),
        ];
        let addresses = [address(family, m.array()?), address(family, m.array()?)];
        let interface = m.u32()?;
        let cookie = u64::from(m.u32()?) | u64::from(m.u32()?) << 32;
        let expires = m.u32()?;
        let (recv_queue, send_queue, uid, inode) = (m.u32()?, m.u32()?, m.u32()?, m.u32()?);

        let mut entry = Self {
            family,
            state,
            local: SocketAddr::new(addresses[0], ports[0]),
            remote: SocketAddr::new(addresses[1], ports[1]),
            interface,
            timer: Timer {
                kind: TimerKind::from_raw(timer),
                // A timer that is overdue wraps around (`jiffies_to_msecs` of a negative difference).
                expires: Duration::from_millis(
                    u64::try_from(expires.cast_signed()).unwrap_or_default(),
                ),
                retransmits,
            },
            recv_queue,
            send_queue,
            uid,
            inode: inode.into(),
            cookie,
            info: None,
            memory: None,
            congestion_control: None,
            v6_only: None,
            cgroup_id: None,
        };
        for attribute in Attributes::of(members.rest()) {
            let (kind, value) = attribute.ok()?;
            match kind {
                INET_DIAG_INFO => entry.info = TcpInfo::decode(value),
                INET_DIAG_SKMEMINFO => entry.memory = SkMemInfo::decode(value),
                INET_DIAG_CONG => entry.congestion_control = name(value),
                INET_DIAG_SKV6ONLY => entry.v6_only = value.first().map(|value| *value != 0),
                INET_DIAG_CGROUP_ID => entry.cgroup_id = Members::of(value).u64(),
                _ => {}
            }
        }
        Some(entry)
    }
}

/// An IPv4 address stands in the first four bytes.
fn address(family: Family, bytes: [u8; 16]) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        Family::V6 => Ipv6Addr::from(bytes).to_canonical(),
    }
}

/// A string that ends with a zero byte.
fn name(value: &[u8]) -> Option<String> {
    let text = value
        .split(|byte| *byte == 0)
        .next()
        .filter(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `struct inet_diag_msg` of a SYN_SENT socket that waits for its second retransmit.
    fn fixed_part(family: u8, local: [u8; 16], remote: [u8; 16], expires: u32) -> Vec<u8> {
        let mut bytes = vec![family, 2, 1, 1];
        bytes.extend(43210_u16.to_be_bytes());
        bytes.extend(443_u16.to_be_bytes());
        bytes.extend(local);
        bytes.extend(remote);
        for word in [3, 0x0403_0201, 0x0807_0605, expires, 11, 12, 1000, 81234] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        assert_eq!(bytes.len(), 72);
        bytes
    }

    fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
        bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }

    fn v4(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn whole() -> Vec<u8> {
        let mut bytes = fixed_part(2, v4(10, 0, 0, 5), v4(10, 0, 0, 9), 800);
        attribute(&mut bytes, 8, &[0]);
        attribute(
            &mut bytes,
            7,
            &(1..=9_u32).flat_map(u32::to_ne_bytes).collect::<Vec<_>>(),
        );
        attribute(&mut bytes, 2, &[0; 248]);
        attribute(&mut bytes, 4, b"cubic\0");
        attribute(&mut bytes, 21 | 0x8000, &77_u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_entry_has_what_the_kernel_sent() {
        let entry = Entry::decode(&whole()).unwrap();
        assert_eq!((entry.family, entry.state), (Family::V4, 2));
        assert_eq!(entry.local, "10.0.0.5:43210".parse().unwrap());
        assert_eq!(entry.remote, "10.0.0.9:443".parse().unwrap());
        let expires = Duration::from_millis(800);
        assert_eq!(
            entry.timer,
            Timer {
                kind: TimerKind::Retransmit,
                expires,
                retransmits: 1
            }
        );
        assert_eq!((entry.recv_queue, entry.send_queue), (11, 12));
        assert_eq!((entry.interface, entry.uid, entry.inode), (3, 1000, 81234));
        assert_eq!(entry.cookie, 0x0807_0605_0403_0201);
        let memory = entry.memory.unwrap();
        assert_eq!((memory.rmem_alloc, memory.rcvbuf, memory.drops), (1, 2, 9));
        assert_eq!(entry.congestion_control.as_deref(), Some("cubic"));
        assert_eq!(entry.cgroup_id, Some(77));
        assert!(entry.info.unwrap().rcv_wnd.is_some());
        assert_eq!(entry.v6_only, None);
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4_and_the_family_stays() {
        let mapped = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, last];
        let mut bytes = fixed_part(10, mapped(1), mapped(2), 0);
        attribute(&mut bytes, 11, &[0]);
        let entry = Entry::decode(&bytes).unwrap();
        assert_eq!(entry.family, Family::V6);
        assert_eq!(entry.local, "127.0.0.1:43210".parse().unwrap());
        assert_eq!(entry.remote, "127.0.0.2:443".parse().unwrap());
        assert_eq!(entry.v6_only, Some(false));
    }

    #[test]
    fn an_overdue_timer_expires_now() {
        for expires in [0, u32::MAX, u32::MAX - 3, 0x8000_0000] {
            let bytes = fixed_part(2, v4(1, 1, 1, 1), v4(2, 2, 2, 2), expires);
            assert_eq!(Entry::decode(&bytes).unwrap().timer.expires, Duration::ZERO);
        }
    }

    #[test]
    fn a_cut_entry_is_no_entry() {
        let whole = whole();
        // The ends of the attributes: there, and in the padding behind them, nothing is seen to miss.
        let ends = [72, 77, 78, 79, 80, 120, 372, 382, 383, 384, 396];
        assert_eq!(ends.last(), Some(&whole.len()));
        for length in 0..=whole.len() {
            assert_eq!(
                Entry::decode(&whole[..length]).is_some(),
                ends.contains(&length),
                "{length} bytes"
            );
        }
        let mut other = whole.clone();
        other[0] = 1;
        assert_eq!(Entry::decode(&other), None, "AF_UNIX");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Entry::decode(&bytes);
            let _ = TcpInfo::decode(&bytes);
        }

        #[test]
        fn no_changed_byte_panics(at in 0_usize..396, byte in any::<u8>(), cut in 0_usize..397) {
            let mut bytes = whole();
            bytes[at] = byte;
            let _ = Entry::decode(&bytes[..cut]);
        }
    }
}
