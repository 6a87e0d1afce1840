//! Bytes that no compiler wrote: every question must come back, with whatever answer, soon and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::builder::*;
use super::message;
use super::sample::sample;
use crate::kernel::btf::{Btf, BtfError};

const FIELDS: [(&str, &str); 9] = [
    ("sock", "__sk_common.skc_num"),
    ("sock", "__sk_common.skc_net.net"),
    ("sock", "sk_grid"),
    ("sock_common", "skc_dport"),
    ("tcp_sock", "ca_state"),
    ("tcp_sock", "sk.__sk_common.skc_num"),
    ("old_style", "three"),
    ("a", "x"),
    ("", ""),
];
const ENUMS: [&str; 4] = ["sk_rst_reason", "errors", "wide_enum", "sock_common"];
const FUNCTIONS: [&str; 4] = ["tcp_send_reset", "no_pointer", "no_data", "tcp_reset"];

/// Asks everything of what parses; says how many answers there were.
fn ask(bytes: Vec<u8>, fields: &[(&str, &str)], enums: &[&str], functions: &[&str]) -> usize {
    let Ok(btf) = Btf::parse(bytes) else { return 0 };
    let mut answers = 0;
    for (strukt, path) in fields {
        answers += usize::from(btf.field(strukt, path).is_ok());
        answers += usize::from(btf.field_sized(strukt, path, 4).is_ok());
        answers += usize::from(btf.bitfield(strukt, path).is_ok());
        answers += usize::from(btf.struct_size(strukt).is_ok());
    }
    for name in enums {
        answers += usize::from(btf.enum_value(name, "E_LOW").is_ok());
        answers += usize::from(btf.enum_variants(name).is_ok());
    }
    for name in functions {
        answers += usize::from(btf.tracepoint(name).is_ok());
        answers += usize::from(btf.function(name).is_ok());
    }
    answers
}

fn ask_sample(bytes: Vec<u8>) -> usize {
    ask(bytes, &FIELDS, &ENUMS, &FUNCTIONS)
}

#[test]
fn the_questions_have_answers_before_the_damage() {
    assert!(ask_sample(sample().bytes()) >= 24);
}

#[test]
fn a_file_cut_at_any_length_is_an_error() {
    let bytes = sample().bytes();
    for len in 0..bytes.len() {
        assert!(
            Btf::parse(bytes[..len].to_vec()).is_err(),
            "cut to {len} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_type_section_that_ends_inside_a_type_is_an_error() {
    let mut b = Builder::new();
    b.strukt(STRUCT, "a", 8, &[("x", 0, 0), ("y", 0, 32)]);
    for len in 1..b.types.len() {
        let mut cut = Builder::new();
        cut.types = b.types[..len].to_vec();
        let answer = message(Btf::parse(cut.bytes()).map(drop));
        assert_eq!(
            answer, "this BTF is damaged: a type does not end inside the type section",
            "cut to {len}"
        );
    }
}

/// Types of struct `a` whose member `x` cannot be placed.
fn check_endless(build: impl Fn(&mut Builder)) {
    let mut b = Builder::new();
    build(&mut b);
    let btf = Btf::parse(b.bytes()).unwrap();
    let start = Instant::now();
    assert!(
        matches!(btf.field("a", "x.y"), Err(BtfError::Corrupt { .. })),
        "{:?}",
        btf.field("a", "x.y")
    );
    assert!(matches!(
        btf.bitfield("a", "x.y"),
        Err(BtfError::Corrupt { .. })
    ));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_typedef_of_itself_ends() {
    check_endless(|b| {
        b.strukt(STRUCT, "a", 8, &[("x", 2, 0)]);
        b.refer(TYPEDEF, "t", 3);
        b.refer(CONST, "", 2);
    });
}

#[test]
fn an_array_of_itself_ends() {
    let mut b = Builder::new();
    b.strukt(STRUCT, "a", 8, &[("x", 2, 0)]);
    b.array(2, 1);
    let btf = Btf::parse(b.bytes()).unwrap();
    assert_eq!(
        message(btf.field("a", "x")),
        "this BTF is damaged: types refer to each other without end"
    );
}

#[test]
fn an_array_larger_than_any_memory_is_an_error() {
    let mut b = Builder::new();
    let int = b.int("int", 4);
    let row = b.array(int, u32::MAX);
    b.strukt(STRUCT, "a", 8, &[("x", row, 0), ("y", int, 64)]);
    let btf = Btf::parse(b.bytes()).unwrap();
    assert_eq!(
        message(btf.field("a", "x")),
        "this BTF is damaged: an array is larger than 4 GiB"
    );
    assert_eq!(
        message(btf.field("a", "y")),
        "this BTF is damaged: a field lies outside its struct"
    );
}

#[test]
fn a_struct_that_holds_itself_ends() {
    check_endless(|b| {
        b.strukt(STRUCT, "a", 8, &[("", 1, 0)]);
    });
}

#[test]
fn structs_that_double_at_each_level_end() {
    check_endless(|b| {
        b.strukt(STRUCT, "a", 8, &[("", 2, 0)]);
        for next in 3..=30 {
            b.strukt(STRUCT, "", 8, &[("", next, 0), ("", next, 0)]);
        }
        b.strukt(STRUCT, "", 8, &[]);
    });
}

#[test]
fn a_pointer_to_itself_is_no_parameter() {
    let mut b = Builder::new();
    b.proto(&[2]);
    b.refer(PTR, "", 2);
    b.push(FUNC, "f", 0, 1, &[]);
    let btf = Btf::parse(b.bytes()).unwrap();
    assert_eq!(
        message(btf.function("f")),
        "this BTF is damaged: types refer to each other without end"
    );
}

#[test]
fn a_name_that_never_ends_is_an_error() {
    let mut b = Builder::new();
    b.enumeration(ENUM, "e", &[(&"v".repeat(10_000), 1)]);
    let btf = Btf::parse(b.bytes()).unwrap();
    assert_eq!(
        message(btf.enum_variants("e")),
        "this BTF is damaged: a name has no end"
    );
}

/// The first types of the running kernel as a file of their own, or the sample where there is no BTF.
fn slice_of_the_kernel() -> Vec<u8> {
    let Ok(whole) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        return sample().bytes();
    };
    let word = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let (types, strings) = (word(4) + word(8), word(4) + word(16));
    let mut b = Builder::new();
    b.strings = whole[strings..strings + word(20)].to_vec();
    let end = types + 48 * 1024;
    // The end is moved to where a type ends: elsewhere the parser refuses the file.
    (end..end + 64 * 1024)
        .step_by(4)
        .find_map(|end| {
            b.types = whole[types..end].to_vec();
            Some(b.bytes()).filter(|bytes| Btf::parse(bytes.clone()).is_ok())
        })
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..600), header in any::<bool>()) {
        let mut bytes = body;
        if header && bytes.len() > 24 {
            let types = (bytes.len() - 25) as u32 / 4 * 4;
            let start = [0x0001_eb9f, 24, 0, types, types, 1].map(u32::to_le_bytes).concat();
            bytes[..24].copy_from_slice(&start);
            bytes[24 + types as usize] = 0;
        }
        ask_sample(bytes);
    }

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        let mut bytes = sample().bytes();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        ask_sample(bytes);
    }

    #[test]
    fn edited_words_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u32..80, 0u8..6), 1..4),
    ) {
        let mut bytes = sample().bytes();
        for (at, small, how) in edits {
            let at = at.index(bytes.len() / 4) * 4;
            let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            // Most words are type numbers, counts or offsets: small values make references that lead somewhere.
            let new = match how {
                0 => small,
                1 => old ^ small,
                2 => old.wrapping_add(small),
                3 => old.wrapping_sub(small),
                4 => small << 24 | old & 0xff_ffff,
                _ => u32::MAX - small,
            };
            bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
        }
        ask_sample(bytes);
    }
}

#[test]
fn single_changes_of_the_kernels_own_btf_never_panic() {
    use proptest::test_runner::TestRunner;
    let base = slice_of_the_kernel();
    let btf = Btf::parse(base.clone()).unwrap();
    let raw = &btf.raw;
    let name = |id: u32| raw.name_of(&raw.ty(id).unwrap()).unwrap();
    let mut fields = Vec::new();
    for id in raw.structs.iter().step_by(raw.structs.len() / 24 + 1) {
        let ty = raw.ty(*id).unwrap();
        if ty.vlen > 0 {
            let last = raw.member(&ty, ty.vlen - 1).unwrap().0;
            fields.push((name(*id), raw.text(last).unwrap()));
        }
    }
    let enums: Vec<&str> = raw.enums.iter().take(8).map(|id| name(*id)).collect();
    let functions: Vec<&str> = raw.functions.iter().take(8).map(|id| name(*id)).collect();
    let answers = ask(base.clone(), &fields, &enums, &functions);
    assert!(
        answers > fields.len(),
        "{answers} answers to {fields:?} {enums:?} {functions:?}"
    );

    let types = u32::from_le_bytes(base[12..16].try_into().unwrap()) as usize;
    // The strings are many and dull: aim at the header and the types.
    TestRunner::new(ProptestConfig::with_cases(300))
        .run(&(0..24 + types, any::<u8>()), |(at, byte)| {
            let mut bytes = base.clone();
            bytes[at] = byte;
            ask(bytes, &fields, &enums, &functions);
            Ok(())
        })
        .unwrap();
}
