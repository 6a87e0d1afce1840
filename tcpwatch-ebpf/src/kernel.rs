//! The only reads of kernel memory: typed getters over the offsets that the daemon resolved.
//!
//! A tracepoint with BTF, fentry and fexit hand over typed pointers, and the verifier lets a program
//! load through them at a constant offset; a fault, a NULL pointer included, reads as 0. The offsets
//! are read-only globals, so they are such constants. A kprobe's arguments are mere numbers, and a
//! helper reads there: what both can read is generic over [`Memory`].

use core::{ffi::c_void, marker::PhantomData, mem::MaybeUninit};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use tcpwatch_common::{
    flow::{AF_INET6, Family, Flow},
    offsets::Offsets,
};

use crate::maps::OFFSETS;

const IPPROTO_TCP: u16 = 6;
const ETH_P_IP: u16 = 0x0800;

macro_rules! offset {
    ($field:ident) => {{
        // SAFETY: the global is initialised and never written; reading this field alone, volatile,
        // keeps the compiler from folding the placeholder and the verifier seeing one constant.
        unsafe {
            core::ptr::read_volatile(core::ptr::addr_of!(
                (*core::ptr::addr_of!(OFFSETS).cast::<Offsets>()).$field
            )) as usize
        }
    }};
}

/// How many free entries of the handshake table this CPU may leave behind.
#[inline(always)]
pub fn kept_free() -> i64 {
    offset!(kept_free) as i64
}

/// Whether tracepoint tcp_retransmit_skb tells failures apart by a third argument.
#[inline(always)]
pub fn retransmit_has_err() -> bool {
    offset!(retransmit_has_err) != 0
}

/// Loads a `T` at a constant offset from a pointer with BTF.
#[inline(always)]
fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: `base` comes from a BTF-typed argument or from a load through one; the verifier
    // checks type and bounds of the access before the program can run, and faults read as 0.
    unsafe { core::ptr::read_volatile(base.add(offset).cast::<T>()) }
}

/// How a program reads kernel memory.
pub trait Memory {
    /// Loads an integer or a pointer; a fault reads as 0.
    fn load<T: Copy>(base: *const u8, offset: usize) -> T;

    /// The `struct tcp_sock` that a `struct sock` is the head of; NULL where it is none.
    fn tcp(sk: *const u8) -> *const u8;
}

/// Through pointers with BTF.
pub enum Typed {}

impl Memory for Typed {
    #[inline(always)]
    fn load<T: Copy>(base: *const u8, offset: usize) -> T {
        load(base, offset)
    }

    #[inline(always)]
    fn tcp(sk: *const u8) -> *const u8 {
        // SAFETY: the helper takes a BTF-typed socket and gives NULL for any but a TCP one.
        unsafe { bpf_skc_to_tcp_sock(sk.cast_mut().cast()) }
            .cast_const()
            .cast()
    }
}

/// Through a helper, from addresses.
pub enum Probed {}

impl Memory for Probed {
    #[inline(always)]
    fn load<T: Copy>(base: *const u8, offset: usize) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the helper writes at most the size of `T` to `value` and takes any address; what
        // it cannot read stays 0, so its answer adds nothing. `T` is an integer or a raw pointer.
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast::<c_void>(),
                size_of::<T>() as u32,
                base.wrapping_add(offset).cast(),
            );
            value.assume_init()
        }
    }

    #[inline(always)]
    fn tcp(sk: *const u8) -> *const u8 {
        sk
    }
}

/// Whether this is a TCP socket (MPTCP comes the same ways) of a watched namespace.
#[inline(always)]
fn watched<M: Memory>(sk: *const u8) -> bool {
    let protocol = if offset!(sk_protocol_size) == 1 {
        u16::from(M::load::<u8>(sk, offset!(sk_protocol)))
    } else {
        M::load::<u16>(sk, offset!(sk_protocol))
    };
    if protocol != IPPROTO_TCP {
        return false;
    }
    let only = offset!(only_netns) as u32;
    only == 0 || only == M::load::<u32>(net::<M>(sk), offset!(net_inum))
}

/// The `struct net` of a socket.
#[inline(always)]
fn net<M: Memory>(sk: *const u8) -> *const u8 {
    M::load(sk, offset!(skc_net))
}

/// The listener that a SYN or a final ACK reached.
pub struct Listener<M>(*const u8, PhantomData<M>);

impl<M: Memory> Listener<M> {
    /// Wraps a `struct sock *`.
    pub const fn new(raw: *const u8) -> Self {
        Self(raw, PhantomData)
    }

    /// As [`Sock::is_watched`].
    #[inline(always)]
    pub fn is_watched(&self) -> bool {
        watched::<M>(self.0)
    }

    /// As [`Sock::family`].
    #[inline(always)]
    pub fn family(&self) -> Family {
        if M::load::<u16>(self.0, offset!(skc_family)) == AF_INET6 {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    /// `sk_acceptq_is_full()`
    #[inline(always)]
    pub fn accept_queue_is_full(&self) -> bool {
        M::load::<u32>(self.0, offset!(sk_ack_backlog)) > self.backlog()
    }

    /// `inet_csk_reqsk_queue_is_full()` as on 5.10.262, 6.1.176, 6.12 and later. Kernels without that
    /// stable update call the queue full one entry earlier, with `>=`; BTF does not tell which.
    #[inline(always)]
    pub fn syn_queue_is_full(&self) -> bool {
        let tcp = M::tcp(self.0);
        !tcp.is_null() && M::load::<u32>(tcp, offset!(syn_queue_length)) > self.backlog()
    }

    #[inline(always)]
    fn backlog(&self) -> u32 {
        M::load(self.0, offset!(sk_max_ack_backlog))
    }

    /// Whether net.ipv4.tcp_syncookies lets SYN cookies be sent.
    #[inline(always)]
    pub fn may_send_cookies(&self) -> bool {
        M::load::<u8>(net::<M>(self.0), offset!(net_syncookies)) != 0
    }
}

/// A `struct sk_buff *`.
pub struct Skb<M>(*const u8, PhantomData<M>);

impl<M: Memory> Skb<M> {
    /// Wraps a `struct sk_buff *`.
    pub const fn new(raw: *const u8) -> Self {
        Self(raw, PhantomData)
    }

    /// Whether it carries IPv4.
    #[inline(always)]
    pub fn is_ipv4(&self) -> bool {
        M::load::<u16>(self.0, offset!(skb_protocol)) == ETH_P_IP.to_be()
    }

    /// Whether it is a SYN that ended a TIME_WAIT, for which the SYN queue's limits are waived;
    /// `false` where the kernel keeps that elsewhere (6.10 and later: in a per-CPU variable).
    #[inline(always)]
    pub fn ended_time_wait(&self) -> bool {
        let offset = offset!(skb_tw_isn);
        offset != 0 && M::load::<u32>(self.0, offset) != 0
    }
}

/// A `struct sock *` that the kernel passed to a tracepoint.
#[derive(Clone, Copy)]
pub struct Sock(*const u8);

impl Sock {
    /// Wraps the argument of a tracepoint.
    pub const fn new(raw: *const u8) -> Self {
        Self(raw)
    }

    /// The address: the key of the per-socket tables.
    #[inline(always)]
    pub fn key(self) -> u64 {
        self.0 as u64
    }

    /// Whether this is a TCP socket (MPTCP fires the same tracepoints) of a watched namespace.
    #[inline(always)]
    pub fn is_watched(self) -> bool {
        watched::<Typed>(self.0)
    }

    /// The family as an index; anything that is not AF_INET6 counts as IPv4.
    #[inline(always)]
    pub fn family(self) -> Family {
        if self.address_family() == AF_INET6 {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    #[inline(always)]
    fn address_family(self) -> u16 {
        load(self.0, offset!(skc_family))
    }

    /// `skc_state`
    #[inline(always)]
    pub fn state(self) -> u8 {
        load(self.0, offset!(skc_state))
    }

    /// `skc_dport`, in network order.
    #[inline(always)]
    pub fn dport_be(self) -> u16 {
        load(self.0, offset!(skc_dport))
    }

    #[inline(always)]
    fn netns(self) -> u32 {
        load(net::<Typed>(self.0), offset!(net_inum))
    }

    /// `sk_err`
    #[inline(always)]
    pub fn error(self) -> u32 {
        load(self.0, offset!(sk_err))
    }

    /// `sk_err_soft`
    #[inline(always)]
    pub fn soft_error(self) -> u32 {
        load(self.0, offset!(sk_err_soft))
    }

    /// `sk_uid`: whose socket it is, as the initial user namespace counts users.
    #[inline(always)]
    pub fn uid(self) -> u32 {
        load(self.0, offset!(sk_uid))
    }

    /// Whether a process holds the socket: a child has none before accept().
    #[inline(always)]
    pub fn has_owner(self) -> bool {
        load::<u64>(self.0, offset!(sk_socket)) != 0
    }

    /// The inode number of the socket's file, 0 without one.
    #[inline(always)]
    pub fn inode(self) -> u64 {
        let socket: *const u8 = load(self.0, offset!(sk_socket));
        let file: *const u8 = load(socket, offset!(socket_file));
        let inode: *const u8 = load(file, offset!(file_inode));
        load(inode, offset!(inode_ino))
    }

    /// Writes the tuple. The source port comes from `inet_sport`: `skc_num` reads 0 on the way to
    /// CLOSE.
    #[inline(always)]
    pub fn flow(self, tcp: Option<TcpSock>, flow: &mut Flow) {
        let family = self.address_family();
        flow.family = family;
        if family == AF_INET6 {
            flow.saddr = address(self.0, offset!(skc_v6_rcv_saddr));
            flow.daddr = address(self.0, offset!(skc_v6_daddr));
        } else {
            flow.saddr = mapped(load::<u32>(self.0, offset!(skc_rcv_saddr)));
            flow.daddr = mapped(load::<u32>(self.0, offset!(skc_daddr)));
        }
        flow.netns = self.netns();
        flow.sport = tcp.map_or(0, TcpSock::sport);
        flow.dport = u16::from_be(self.dport_be());
        flow.reserved = [0; 3];
    }

    /// The same socket as `struct tcp_sock`, whose fields lie past the end of `struct sock`.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        let tcp = Typed::tcp(self.0);
        (!tcp.is_null()).then_some(TcpSock(tcp))
    }
}

/// An IPv6 address, in the words that `struct in6_addr` is made of.
#[inline(always)]
fn address(base: *const u8, offset: usize) -> [u8; 16] {
    let words: [u32; 4] = [
        load(base, offset),
        load(base, offset + 4),
        load(base, offset + 8),
        load(base, offset + 12),
    ];
    // SAFETY: four words and sixteen bytes are the same size, and both take any bit pattern.
    unsafe { core::mem::transmute(words) }
}

/// An IPv4 address in its IPv6 form.
#[inline(always)]
fn mapped(address: u32) -> [u8; 16] {
    let words: [u32; 4] = [0, 0, u32::from_be(0xffff), address];
    // SAFETY: as in `address`.
    unsafe { core::mem::transmute(words) }
}

/// A `struct tcp_sock *`.
#[derive(Clone, Copy)]
pub struct TcpSock(*const u8);

impl TcpSock {
    /// `inet_sport` in host order.
    #[inline(always)]
    pub fn sport(self) -> u16 {
        u16::from_be(load(self.0, offset!(inet_sport)))
    }

    /// `tcp_clock_cache`: CLOCK_MONOTONIC nanoseconds when the segment being handled arrived
    /// (`tcp_mstamp_refresh` at the top of `tcp_rcv_state_process` for SYN_SENT, 5.10-7.2); `None`
    /// where the kernel has no such field.
    #[inline(always)]
    pub fn arrival_ns(self) -> Option<u64> {
        let offset = offset!(tcp_clock_cache);
        (offset != 0).then(|| load(self.0, offset))
    }

    /// `segs_out`
    #[inline(always)]
    pub fn segs_out(self) -> u32 {
        load(self.0, offset!(segs_out))
    }

    /// `icsk_retransmits`: already counts the retransmit that is being traced.
    #[inline(always)]
    pub fn retransmits(self) -> u8 {
        load(self.0, offset!(icsk_retransmits))
    }

    /// `icsk_syn_retries`: TCP_SYNCNT, 0 when it was not set.
    #[inline(always)]
    pub fn syn_retries(self) -> u8 {
        load(self.0, offset!(icsk_syn_retries))
    }

    /// `icsk_user_timeout` in milliseconds, 0 when TCP_USER_TIMEOUT was not set.
    #[inline(always)]
    pub fn user_timeout_ms(self) -> u32 {
        load(self.0, offset!(icsk_user_timeout))
    }
}
