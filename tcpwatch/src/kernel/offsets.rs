//! Resolves the offsets that the programs need from the running kernel's BTF, in groups: a kernel
//! that lacks one field costs the probes that need its group, with the reason, and no others.

use std::collections::BTreeMap;

use tcpwatch_common::offsets::Offsets;

use super::btf::{Btf, BtfError};

/// Fields that are needed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `struct sock`: family, state, addresses, namespace, errors.
    Sock,
    /// From `struct sock` to the inode of its file.
    Inode,
    /// `struct tcp_sock`: source port, retransmits, options.
    Tcp,
    /// A listener's queues with their limits, and whether SYN cookies are sent.
    Queues,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 4] = [Self::Sock, Self::Inode, Self::Tcp, Self::Queues];

    fn resolve(self, btf: &Btf, offsets: &mut Offsets) -> Result<(), BtfError> {
        match self {
            Self::Sock => {
                let common = |field: &str, size| {
                    btf.field_sized("sock", &format!("__sk_common.{field}"), size)
                };
                offsets.skc_family = common("skc_family", 2)?;
                offsets.skc_state = common("skc_state", 1)?;
                offsets.skc_dport = common("skc_dport", 2)?;
                offsets.skc_daddr = common("skc_daddr", 4)?;
                offsets.skc_rcv_saddr = common("skc_rcv_saddr", 4)?;
                offsets.skc_v6_daddr = common("skc_v6_daddr", 16)?;
                offsets.skc_v6_rcv_saddr = common("skc_v6_rcv_saddr", 16)?;
                offsets.skc_net = common("skc_net.net", 8)?;
                offsets.net_inum = btf.field_sized("net", "ns.inum", 4)?;
                let protocol = btf.field("sock", "sk_protocol")?;
                offsets.sk_protocol = protocol.offset;
                offsets.sk_protocol_size = protocol.size;
                offsets.sk_err = btf.field_sized("sock", "sk_err", 4)?;
                offsets.sk_err_soft = btf.field_sized("sock", "sk_err_soft", 4)?;
                offsets.sk_uid = btf.field_sized("sock", "sk_uid", 4)?;
                offsets.sk_socket = btf.field_sized("sock", "sk_socket", 8)?;
            }
            Self::Inode => {
                offsets.socket_file = btf.field_sized("socket", "file", 8)?;
                offsets.file_inode = btf.field_sized("file", "f_inode", 8)?;
                offsets.inode_ino = btf.field_sized("inode", "i_ino", 8)?;
            }
            Self::Tcp => {
                let tcp = |field: &str, size| btf.field_sized("tcp_sock", field, size);
                offsets.inet_sport = tcp("inet_conn.icsk_inet.inet_sport", 2)?;
                offsets.icsk_retransmits = tcp("inet_conn.icsk_retransmits", 1)?;
                offsets.icsk_syn_retries = tcp("inet_conn.icsk_syn_retries", 1)?;
                offsets.icsk_user_timeout = tcp("inet_conn.icsk_user_timeout", 4)?;
                // Spares a look at the clock; without it the programs look.
                offsets.tcp_clock_cache = tcp("tcp_clock_cache", 8).unwrap_or(0);
                offsets.segs_out = tcp("segs_out", 4)?;
            }
            Self::Queues => {
                offsets.sk_ack_backlog = btf.field_sized("sock", "sk_ack_backlog", 4)?;
                offsets.sk_max_ack_backlog = btf.field_sized("sock", "sk_max_ack_backlog", 4)?;
                offsets.syn_queue_length =
                    btf.field_sized("tcp_sock", "inet_conn.icsk_accept_queue.qlen", 4)?;
                offsets.net_syncookies = btf.field("net", "ipv4.sysctl_tcp_syncookies")?.offset;
                offsets.skb_protocol = btf.field_sized("sk_buff", "protocol", 2)?;
                let control = btf.field("sk_buff", "cb")?.offset;
                offsets.skb_tw_isn = btf
                    .field_sized("tcp_skb_cb", "tcp_tw_isn", 4)
                    .map_or(0, |offset| control + offset);
            }
        }
        Ok(())
    }
}

/// The offsets, and for each group that did not resolve the reason.
#[must_use]
pub fn resolve(btf: &Btf) -> (Offsets, BTreeMap<Group, BtfError>) {
    let mut offsets = Offsets::ZERO;
    let mut missing = BTreeMap::new();
    for group in Group::ALL {
        if let Err(error) = group.resolve(btf, &mut offsets) {
            missing.insert(group, error);
        }
    }
    if let Ok(prototype) = btf.tracepoint("tcp_retransmit_skb") {
        offsets.retransmit_has_err = u32::from(prototype.parameters.len() >= 3);
    }
    (offsets, missing)
}
