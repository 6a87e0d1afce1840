//! Each question on synthetic BTF, and the running kernel's own. What corrupt bytes do is in `hostile`, random struct
//! layouts are in `layout`.

mod builder;
mod hostile;
mod layout;
mod sample;

use builder::*;

use sample::sample;

use super::{BitField, Btf, BtfError, Field};

fn btf() -> Btf {
    Btf::parse(sample().bytes()).unwrap()
}

fn message<T: std::fmt::Debug>(answer: Result<T, BtfError>) -> String {
    answer.unwrap_err().to_string()
}

#[test]
fn fields_are_found_through_paths_typedefs_and_anonymous_members() {
    let btf = btf();
    let check = |strukt, path, offset, size| {
        assert_eq!(
            btf.field(strukt, path).unwrap(),
            Field { offset, size },
            "{strukt} {path}"
        );
    };
    check("sock_common", "skc_addrpair", 0, 8);
    check("sock_common", "skc_portpair", 8, 4);
    check("sock_common", "skc_num", 10, 2);
    check("sock_common", "skc_family", 12, 2);
    check("sock", "__sk_common", 0, 32);
    check("sock", "__sk_common.skc_dport", 8, 2);
    check("sock", "__sk_common.skc_net.net", 16, 8);
    check("sock", "sk_prot", 32, 8);
    check("sock", "sk_grid", 40, 24);
    check("sock", "sk_tail", 72, 0);
    check("tcp_sock", "sk.__sk_common.skc_num", 38, 2);
    check("last", "end", 0, 4);
}

#[test]
fn of_two_definitions_the_first_that_has_the_field_answers() {
    let btf = btf();
    assert_eq!(btf.field("tcp_sock", "old").unwrap().offset, 0);
    assert_eq!(btf.field("tcp_sock", "whole").unwrap().offset, 24);
    assert_eq!(btf.struct_size("tcp_sock").unwrap(), 80);
}

#[test]
fn what_is_missing_is_said_in_a_sentence() {
    let btf = btf();
    let check = |answer: String, expected: &str| assert_eq!(answer, expected);
    check(
        message(btf.field("sock", "sk_foo")),
        "struct sock has no field sk_foo in this kernel's BTF",
    );
    check(
        message(btf.field("soc", "sk_foo")),
        "there is no struct soc in this kernel's BTF",
    );
    check(
        message(btf.field("sock", "sk_prot.name")),
        "struct sock has no field sk_prot.name in this kernel's BTF: sk_prot is not a struct or union",
    );
    check(
        message(btf.field("tcp_sock", "ca_state")),
        "field ca_state of struct tcp_sock is a bitfield in this kernel's BTF; a whole field was expected",
    );
    check(
        message(btf.field_sized("sock_common", "skc_family", 4)),
        "field skc_family of struct sock_common has 2 bytes in this kernel's BTF; 4 were expected",
    );
    check(
        message(btf.bitfield("sock", "sk_prot")),
        "field sk_prot of struct sock is not an integer in this kernel's BTF",
    );
    check(
        message(btf.struct_size("possible_net_t")),
        "there is no struct possible_net_t in this kernel's BTF",
    );
    check(
        message(btf.enum_value("sock", "X")),
        "there is no enum sock in this kernel's BTF",
    );
    check(
        message(btf.enum_variants("sock")),
        "there is no enum sock in this kernel's BTF",
    );
    check(
        message(btf.enum_value("errors", "E_MID")),
        "enum errors has no value E_MID in this kernel's BTF",
    );
    check(
        message(btf.tracepoint("tcp_probe")),
        "there is no tracepoint tcp_probe in this kernel's BTF",
    );
    check(
        message(btf.function("tcp_probe_timer")),
        "there is no function tcp_probe_timer in this kernel's BTF: it is absent or inlined everywhere",
    );
    check(
        message(btf.tracepoint("no_pointer")),
        "this BTF is damaged: a tracepoint's typedef is not a pointer",
    );
    check(
        message(btf.tracepoint("no_data")),
        "this BTF is damaged: a tracepoint's first parameter is not void *",
    );
    check(
        BtfError::Missing.to_string(),
        "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing); it needs CONFIG_DEBUG_INFO_BTF=y",
    );
}

#[test]
fn odd_names_find_nothing() {
    let btf = btf();
    for path in [
        "",
        ".",
        "sk_prot.",
        ".sk_prot",
        "__sk_common.",
        "__sk_common..skc_num",
        "sk_prot\0sk_grid",
        "sk_pro",
    ] {
        assert!(btf.field("sock", path).is_err(), "{path:?}");
    }
    for name in ["", "\0", "sock\0", "soc", "socks"] {
        assert!(btf.struct_size(name).is_err(), "{name:?}");
        assert!(btf.enum_value("errors", name).is_err(), "{name:?}");
        assert!(btf.function(name).is_err(), "{name:?}");
    }
}

#[test]
fn the_right_size_gives_the_offset() {
    assert_eq!(
        btf()
            .field_sized("sock", "__sk_common.skc_family", 2)
            .unwrap(),
        12
    );
}

#[test]
fn bitfields_of_both_encodings_lie_in_the_smallest_word() {
    let btf = btf();
    let check = |strukt, path, byte_offset, load_size, shift, bits| {
        let expected = BitField {
            byte_offset,
            load_size,
            shift,
            bits,
        };
        assert_eq!(
            btf.bitfield(strukt, path).unwrap(),
            expected,
            "{strukt} {path}"
        );
    };
    check("tcp_sock", "ca_state", 16, 1, 0, 5);
    check("tcp_sock", "wide", 16, 2, 5, 7);
    check("tcp_sock", "whole", 24, 2, 0, 16);
    check("old_style", "three", 4, 1, 2, 3);
    check("old_style", "plain", 0, 4, 0, 32);
    check("old_style", "uneven", 4, 2, 4, 8);
    assert!(matches!(
        btf.field("old_style", "three"),
        Err(BtfError::IsBitfield { .. })
    ));
    assert!(matches!(
        btf.field("old_style", "uneven"),
        Err(BtfError::IsBitfield { .. })
    ));
    assert_eq!(
        btf.field("old_style", "plain").unwrap(),
        Field { offset: 0, size: 4 }
    );
}

#[test]
fn a_bitfield_that_no_word_holds_is_refused() {
    for path in ["straddling", "past_end"] {
        assert_eq!(
            message(btf().bitfield("tcp_sock", path)),
            format!(
                "bitfield {path} of struct tcp_sock does not lie in one aligned word of 8 bytes or less"
            ),
        );
    }
}

#[test]
fn enum_values_keep_their_sign() {
    let btf = btf();
    let check = |name, variant, value| {
        assert_eq!(btf.enum_value(name, variant).unwrap(), value, "{variant}")
    };
    check("sk_rst_reason", "SK_RST_REASON_NOT_SPECIFIED", 0);
    check("sk_rst_reason", "SK_MASK", 0xffff_0000);
    check("errors", "E_LOW", -1);
    check("wide_enum", "W_BIG", 1 << 40);
    check("wide_enum", "W_NEGATIVE", -2);
    check("sock_common", "SKC_ONE", 1);
}

#[test]
fn variants_come_in_order_and_a_forward_declaration_has_none() {
    let variants = btf().enum_variants("sk_rst_reason").unwrap();
    assert_eq!(
        variants,
        [
            ("SK_RST_REASON_NOT_SPECIFIED".into(), 0),
            ("SK_MASK".into(), 0xffff_0000)
        ]
    );
}

#[test]
fn a_tracepoint_loses_its_data_pointer_and_keeps_the_rest() {
    let prototype = btf().tracepoint("tcp_send_reset").unwrap();
    assert_eq!(
        prototype.parameters,
        ["struct sock *", "short unsigned int", "enum sk_rst_reason"]
    );
}

#[test]
fn parameters_read_as_c_writes_them() {
    let expected = [
        "struct sock **",
        "possible_net_t *",
        "possible_net_t",
        "function *",
        "short unsigned int (*)[4][3]",
        "struct (anonymous)",
        "int",
        "...",
    ];
    assert_eq!(btf().function("tcp_reset").unwrap().parameters, expected);
}

#[test]
fn every_kind_is_stepped_over_and_an_unknown_one_is_named() {
    let mut b = sample();
    assert_eq!(btf().raw.type_count(), b.count as usize);
    b.push(20, "", 2, 0, &[7, 8, 9]);
    b.strukt(STRUCT, "behind", 4, &[]);
    assert_eq!(
        message(Btf::parse(b.bytes()).map(drop)),
        "type 52 of this kernel's BTF has the unknown kind 20: a newer tcpwatch is needed",
    );
    // A late kernel tells how long its new kinds are: one word per type and one per element here.
    let mut layout = vec![(0, 0); 20];
    layout.push((4, 4));
    assert_eq!(
        Btf::parse(b.bytes_with_layout(&layout))
            .unwrap()
            .struct_size("behind")
            .unwrap(),
        4
    );
}

#[test]
fn other_formats_are_refused_in_a_sentence() {
    let check = |edit: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = sample().bytes();
        edit(&mut bytes);
        assert_eq!(message(Btf::parse(bytes).map(drop)), expected);
    };
    check(
        &|b| b[..2].reverse(),
        "this BTF is big-endian; only little-endian machines are supported",
    );
    check(
        &|b| b[2] = 2,
        "this BTF has format version 2; only version 1 is known: a newer tcpwatch is needed",
    );
    check(
        &|b| b[0] = 0x7f,
        "this is not BTF: it starts with the bytes [7f, eb], BTF starts with [9f, eb]",
    );
    check(
        &|b| b.clear(),
        "this is not BTF: it starts with the bytes [], BTF starts with [9f, eb]",
    );
    check(
        &|b| b[4] = 8,
        "this BTF is damaged: the header does not end inside the file",
    );
}

fn running_kernel() -> Btf {
    match Btf::running_kernel() {
        Ok(btf) => btf,
        Err(error) => {
            panic!("this test reads the BTF of the kernel it runs on, and that fails: {error}")
        }
    }
}

#[test]
fn the_running_kernel_knows_its_sockets() {
    let btf = running_kernel();
    let family = btf
        .field_sized("sock", "__sk_common.skc_family", 2)
        .unwrap();
    assert_eq!(
        btf.field("sock_common", "skc_family").unwrap(),
        Field {
            offset: family,
            size: 2
        }
    );
    assert_eq!(
        btf.tracepoint("inet_sock_set_state").unwrap().parameters,
        ["struct sock *", "int", "int"]
    );
    let state = btf
        .bitfield("inet_connection_sock", "icsk_ca_state")
        .unwrap();
    assert!(state.bits >= 5 && state.load_size == 1, "{state:?}");
    assert!(btf.struct_size("tcp_sock").unwrap() > btf.struct_size("sock").unwrap());
    assert_eq!(
        btf.enum_value("skb_drop_reason", "SKB_NOT_DROPPED_YET")
            .unwrap(),
        0
    );
    assert_eq!(btf.enum_variants("tcp_ca_state").unwrap().len(), 5);
    assert_eq!(
        btf.function("tcp_v4_rcv").unwrap().parameters,
        ["struct sk_buff *"]
    );
}
