//! Where the fields lie in the running kernel: resolved from its BTF by the daemon, handed over as
//! a read-only global before load, so that the verifier sees constants.

/// Byte offsets into kernel structures, and what else differs between kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `struct sock`: `__sk_common.skc_family`, u16.
    pub skc_family: u32,
    /// `__sk_common.skc_state`, u8.
    pub skc_state: u32,
    /// `__sk_common.skc_dport`, big-endian u16.
    pub skc_dport: u32,
    /// `__sk_common.skc_daddr`, big-endian u32.
    pub skc_daddr: u32,
    /// `__sk_common.skc_rcv_saddr`, big-endian u32.
    pub skc_rcv_saddr: u32,
    /// `__sk_common.skc_v6_daddr`, 16 bytes.
    pub skc_v6_daddr: u32,
    /// `__sk_common.skc_v6_rcv_saddr`, 16 bytes.
    pub skc_v6_rcv_saddr: u32,
    /// `__sk_common.skc_net.net`, a pointer.
    pub skc_net: u32,
    /// `struct net`: `ns.inum`, u32.
    pub net_inum: u32,
    /// `struct sock`: `sk_protocol`.
    pub sk_protocol: u32,
    /// The size of `sk_protocol`: 1 where it is an u8, 2 where it is an u16.
    pub sk_protocol_size: u32,
    /// `sk_err`, int.
    pub sk_err: u32,
    /// `sk_err_soft`, int.
    pub sk_err_soft: u32,
    /// `sk_uid.val`, u32.
    pub sk_uid: u32,
    /// `sk_socket`, a pointer.
    pub sk_socket: u32,
    /// `struct socket`: `file`, a pointer.
    pub socket_file: u32,
    /// `struct file`: `f_inode`, a pointer.
    pub file_inode: u32,
    /// `struct inode`: `i_ino`, u64.
    pub inode_ino: u32,
    /// `struct tcp_sock`: `inet_conn.icsk_inet.inet_sport`, big-endian u16.
    pub inet_sport: u32,
    /// `inet_conn.icsk_retransmits`, u8.
    pub icsk_retransmits: u32,
    /// `inet_conn.icsk_syn_retries`, u8.
    pub icsk_syn_retries: u32,
    /// `inet_conn.icsk_user_timeout`, u32 milliseconds.
    pub icsk_user_timeout: u32,
    /// `tcp_clock_cache`, u64 nanoseconds; 0 where the kernel has no such field.
    pub tcp_clock_cache: u32,
    /// `segs_out`, u32.
    pub segs_out: u32,
    /// `struct sock`: `sk_ack_backlog`, u32.
    pub sk_ack_backlog: u32,
    /// `sk_max_ack_backlog`, u32.
    pub sk_max_ack_backlog: u32,
    /// `struct tcp_sock`: `inet_conn.icsk_accept_queue.qlen`, an atomic int.
    pub syn_queue_length: u32,
    /// `struct net`: `ipv4.sysctl_tcp_syncookies`, an int or (5.12 and later) an u8: its lowest byte.
    pub net_syncookies: u32,
    /// `struct sk_buff`: `protocol`, big-endian u16.
    pub skb_protocol: u32,
    /// `struct sk_buff`: the `tcp_tw_isn` of the `struct tcp_skb_cb` in its `cb`; 0 where the kernel
    /// has no such field (6.10 and later).
    pub skb_tw_isn: u32,
    /// 1 where tracepoint tcp_retransmit_skb has `err` as its third argument (6.18 and later).
    pub retransmit_has_err: u32,
    /// How many free entries of the handshake table a CPU may leave behind.
    pub kept_free: u32,
    /// Only this network namespace is watched; 0 for all.
    pub only_netns: u32,
}

impl Offsets {
    /// All zero: what the global holds before the daemon fills it in.
    pub const ZERO: Self = Self {
        skc_family: 0,
        skc_state: 0,
        skc_dport: 0,
        skc_daddr: 0,
        skc_rcv_saddr: 0,
        skc_v6_daddr: 0,
        skc_v6_rcv_saddr: 0,
        skc_net: 0,
        net_inum: 0,
        sk_protocol: 0,
        sk_protocol_size: 0,
        sk_err: 0,
        sk_err_soft: 0,
        sk_uid: 0,
        sk_socket: 0,
        socket_file: 0,
        file_inode: 0,
        inode_ino: 0,
        inet_sport: 0,
        icsk_retransmits: 0,
        icsk_syn_retries: 0,
        icsk_user_timeout: 0,
        tcp_clock_cache: 0,
        segs_out: 0,
        sk_ack_backlog: 0,
        sk_max_ack_backlog: 0,
        syn_queue_length: 0,
        net_syncookies: 0,
        skb_protocol: 0,
        skb_tw_isn: 0,
        retransmit_has_err: 0,
        kept_free: 0,
        only_netns: 0,
    };
}
