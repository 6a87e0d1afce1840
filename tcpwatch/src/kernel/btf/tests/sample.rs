//! The synthetic kernel that most tests ask.

use super::builder::*;

/// A small kernel with something for every question; also the base that `hostile` damages.
pub fn sample() -> Builder {
    let mut b = Builder::new();
    let byte = b.int("unsigned char", 1);
    let short = b.int("short unsigned int", 2);
    let int = b.int("int", 4);
    let long = b.int("long long unsigned int", 8);
    let u16_alias = b.refer(TYPEDEF, "u16", short);
    let volatile = b.refer(VOLATILE, "", u16_alias);
    let qualified = b.refer(CONST, "", volatile);
    let restricted = b.refer(RESTRICT, "", qualified);
    let tagged = b.refer(TYPE_TAG, "rcu", restricted);
    b.push(FWD, "sock", 0, 0, &[]);
    let void_ptr = b.refer(PTR, "", 0);
    let row = b.array(short, 3);
    let grid = b.array(row, 4);
    let flexible = b.array(byte, 0);

    // A union, an enum and a struct may share one name.
    b.strukt(UNION, "sock_common", 8, &[("skc_family", byte, 0)]);
    b.enumeration(ENUM, "sock_common", &[("SKC_ONE", 1)]);
    let ports = b.strukt(
        STRUCT,
        "",
        4,
        &[("skc_dport", short, 0), ("skc_num", short, 16)],
    );
    let pair = b.strukt(UNION, "", 4, &[("skc_portpair", int, 0), ("", ports, 0)]);
    let named_net = b.strukt(STRUCT, "", 8, &[("net", void_ptr, 0)]);
    let net = b.refer(TYPEDEF, "possible_net_t", named_net);
    let common = b.strukt(
        STRUCT,
        "sock_common",
        32,
        &[
            ("skc_addrpair", long, 0),
            ("", pair, 64),
            ("skc_family", tagged, 96),
            ("skc_net", net, 128),
        ],
    );
    let sock = b.strukt(
        STRUCT,
        "sock",
        72,
        &[
            ("__sk_common", common, 0),
            ("sk_prot", void_ptr, 256),
            ("sk_grid", grid, 320),
            ("sk_tail", flexible, 576),
        ],
    );
    // The first definition of tcp_sock lacks what the second one has.
    b.strukt(STRUCT, "tcp_sock", 80, &[("old", int, 0)]);
    b.strukt(
        STRUCT | FLAG,
        "tcp_sock",
        96,
        &[
            ("old", int, 64),
            ("ca_state", byte, 5 << 24 | 128),
            ("wide", int, 7 << 24 | (128 + 5)),
            ("straddling", byte, 6 << 24 | (192 - 3)),
            ("whole", short, 192),
            ("sk", sock, 224),
            ("past_end", long, 63 << 24 | 767),
        ],
    );
    // The encoding before the kind flag: the width sits in the integer, the offset in both.
    let three_bits = b.push(INT, "unsigned int", 0, 4, &[2 << 16 | 3]);
    b.strukt(
        STRUCT,
        "old_style",
        8,
        &[
            ("three", three_bits, 32),
            ("plain", int, 0),
            ("uneven", byte, 36),
        ],
    );

    b.enumeration(ENUM, "sk_rst_reason", &[]);
    let reason = b.enumeration(
        ENUM,
        "sk_rst_reason",
        &[("SK_RST_REASON_NOT_SPECIFIED", 0), ("SK_MASK", 0xffff_0000)],
    );
    b.enumeration(
        ENUM | FLAG,
        "errors",
        &[("E_LOW", -1), ("E_HIGH", i64::from(i32::MAX))],
    );
    b.enumeration(
        ENUM64,
        "wide_enum",
        &[("W_BIG", 1 << 40), ("W_NEGATIVE", -2)],
    );

    let const_sock = b.refer(CONST, "", sock);
    let sock_ptr = b.refer(PTR, "", const_sock);
    let callback_proto = b.proto(&[]);
    let callback = b.refer(PTR, "", callback_proto);
    let net_ptr = b.refer(PTR, "", net);
    let proto = b.proto(&[void_ptr, sock_ptr, u16_alias, reason]);
    let proto_ptr = b.refer(PTR, "", proto);
    b.refer(TYPEDEF, "btf_trace_tcp_send_reset", proto_ptr);
    b.refer(TYPEDEF, "btf_trace_no_pointer", int);
    let without_data = b.proto(&[int]);
    let without_data = b.refer(PTR, "", without_data);
    b.refer(TYPEDEF, "btf_trace_no_data", without_data);
    let ptr_ptr = b.refer(PTR, "", sock_ptr);
    let grid_ptr = b.refer(PTR, "", grid);
    let reset = b.proto(&[ptr_ptr, net_ptr, net, callback, grid_ptr, ports, int, 0]);
    // The vlen of a function is its linkage and must not count records.
    b.push(FUNC, "tcp_reset", 1, reset, &[]);
    let variable = b.push(VAR, "jiffies", 0, long, &[1]);
    b.push(DATASEC, ".data", 1, 8, &[variable, 0, 8]);
    b.push(FLOAT, "double", 0, 8, &[]);
    b.push(DECL_TAG, "kfunc", 0, reset, &[u32::MAX]);
    b.strukt(STRUCT, "last", 4, &[("end", int, 0)]);
    b
}
