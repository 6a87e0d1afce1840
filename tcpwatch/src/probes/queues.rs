//! The plan for a listener's queues. Counts only; there is no record to decode.

use super::{Plan, Program, Way};
use crate::{kernel::offsets::Group, model::Hook};

/// fentry, else kprobe, else the kernel's own counters of each network namespace.
pub const PLAN: Plan = Plan {
    name: "queues",
    ways: &[
        Way {
            hook: Hook::Fentry,
            programs: &[
                CONN_REQUEST,
                V4_SYN_RECV_SOCK,
                V6_SYN_RECV_SOCK,
                PEER_IS_PROVEN,
                COOKIE_V4,
                COOKIE_V6,
            ],
        },
        Way {
            hook: Hook::Kprobe,
            programs: &[
                Program {
                    name: "tcp_conn_request_kprobe",
                    ..CONN_REQUEST
                },
                Program {
                    name: "tcp_v4_syn_recv_sock_kprobe",
                    ..V4_SYN_RECV_SOCK
                },
                Program {
                    name: "tcp_v6_syn_recv_sock_kprobe",
                    ..V6_SYN_RECV_SOCK
                },
                Program {
                    name: "tcp_peer_is_proven_kretprobe",
                    ..PEER_IS_PROVEN
                },
                Program {
                    name: "cookie_v4_init_sequence_kprobe",
                    ..COOKIE_V4
                },
                Program {
                    name: "cookie_v6_init_sequence_kprobe",
                    ..COOKIE_V6
                },
            ],
        },
        Way {
            hook: Hook::Poll,
            programs: &[],
        },
    ],
    feeds: "accept-queue overflows, SYN queue drops and SYN cookies",
};

const CONN_REQUEST: Program = Program {
    name: "tcp_conn_request",
    target: "tcp_conn_request",
    parameters: &[
        "struct request_sock_ops *",
        "struct tcp_request_sock_ops *",
        "struct sock *",
        "struct sk_buff *",
    ],
    needs: &[Group::Sock, Group::Queues],
};

const V4_SYN_RECV_SOCK: Program = Program {
    name: "tcp_v4_syn_recv_sock",
    target: "tcp_v4_syn_recv_sock",
    parameters: &["struct sock *", "struct sk_buff *"],
    needs: &[Group::Sock, Group::Queues],
};

const V6_SYN_RECV_SOCK: Program = Program {
    name: "tcp_v6_syn_recv_sock",
    target: "tcp_v6_syn_recv_sock",
    parameters: &["struct sock *", "struct sk_buff *"],
    needs: &[Group::Sock, Group::Queues],
};

const PEER_IS_PROVEN: Program = Program {
    name: "tcp_peer_is_proven",
    target: "tcp_peer_is_proven",
    parameters: &["struct request_sock *", "struct dst_entry *"],
    needs: &[],
};

const COOKIE_V4: Program = Program {
    name: "cookie_v4_init_sequence",
    target: "cookie_v4_init_sequence",
    parameters: &["struct sk_buff *"],
    needs: &[],
};

const COOKIE_V6: Program = Program {
    name: "cookie_v6_init_sequence",
    target: "cookie_v6_init_sequence",
    parameters: &["struct sk_buff *"],
    needs: &[],
};
