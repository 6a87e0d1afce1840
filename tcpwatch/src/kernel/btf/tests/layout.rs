//! Random structs, laid out by a simple model: the reader must find every member where the model put it.

use proptest::prelude::*;

use super::builder::*;
use crate::kernel::btf::{BitField, Btf, Field};

/// What a member can be.
#[derive(Clone, Debug)]
enum Node {
    Scalar {
        size: u32,
    },
    Array {
        size: u32,
        count: u32,
    },
    Nested {
        named: bool,
        union: bool,
        flag: bool,
        qualified: bool,
        members: Vec<Node>,
    },
}

fn node() -> impl Strategy<Value = Node> {
    let size = prop::sample::select(vec![1u32, 2, 4, 8]);
    let leaf = prop_oneof![
        size.clone().prop_map(|size| Node::Scalar { size }),
        (size, 0u32..5).prop_map(|(size, count)| Node::Array { size, count }),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        (any::<[bool; 4]>(), prop::collection::vec(inner, 0..6)).prop_map(
            |([named, union, flag, qualified], members)| Node::Nested {
                named,
                union,
                flag,
                qualified,
                members,
            },
        )
    })
}

/// Writes types and remembers where each path must be found, relative to the struct in work.
struct Model {
    builder: Builder,
    names: u32,
}

type Places = Vec<(String, Field)>;

impl Model {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("m{}", self.names)
    }

    /// The type's number, its size and the places of what can be reached inside it.
    fn write(&mut self, node: &Node) -> (u32, u32, Places) {
        match node {
            Node::Scalar { size } => (self.builder.int("int", *size), *size, vec![]),
            Node::Array { size, count } => {
                let element = self.builder.int("int", *size);
                (self.builder.array(element, *count), size * count, vec![])
            }
            Node::Nested {
                union,
                flag,
                qualified,
                members,
                ..
            } => {
                let (id, size, places) = self.aggregate("", *union, *flag, members);
                let id = if *qualified {
                    self.builder.refer(CONST, "", id)
                } else {
                    id
                };
                (id, size, places)
            }
        }
    }

    /// Members in a row without padding, or all at 0 in a union.
    fn aggregate(
        &mut self,
        tag: &str,
        union: bool,
        flag: bool,
        members: &[Node],
    ) -> (u32, u32, Places) {
        let (mut end, mut size, mut places, mut records) = (0, 0, vec![], vec![]);
        for member in members {
            let (id, len, inner) = self.write(member);
            let start = if union { 0 } else { end };
            let anonymous = matches!(member, Node::Nested { named: false, .. });
            let name = if anonymous {
                String::new()
            } else {
                self.name()
            };
            if !anonymous {
                places.push((
                    name.clone(),
                    Field {
                        offset: start,
                        size: len,
                    },
                ));
            }
            for (path, field) in inner {
                let path = if anonymous {
                    path
                } else {
                    format!("{name}.{path}")
                };
                places.push((
                    path,
                    Field {
                        offset: start + field.offset,
                        size: field.size,
                    },
                ));
            }
            records.push((name, id, start * 8));
            end = start + len;
            size = size.max(end);
        }
        let records: Vec<(&str, u32, u32)> = records
            .iter()
            .map(|(name, id, at)| (name.as_str(), *id, *at))
            .collect();
        let kind = if union { UNION } else { STRUCT } | if flag { FLAG } else { 0 };
        (self.builder.strukt(kind, tag, size, &records), size, places)
    }
}

proptest! {
    #[test]
    fn every_member_is_where_the_model_puts_it(members in prop::collection::vec(node(), 0..8), flag in any::<bool>()) {
        let mut model = Model { builder: Builder::new(), names: 0 };
        let (_, size, places) = model.aggregate("outer", false, flag, &members);
        let btf = Btf::parse(model.builder.bytes()).unwrap();
        prop_assert_eq!(btf.struct_size("outer").unwrap(), size);
        for (path, field) in places {
            prop_assert_eq!(btf.field("outer", &path).unwrap(), field, "{}", path);
        }
        prop_assert!(btf.field("outer", "m0").is_err());
    }

    #[test]
    fn a_bitfield_reads_back_what_was_written(before in 0u32..40, bits in 1u32..=32, pattern in any::<u64>()) {
        let mut b = Builder::new();
        let long = b.int("long", 8);
        b.strukt(STRUCT | FLAG, "a", 16, &[("x", long, bits << 24 | before)]);
        let place = Btf::parse(b.bytes()).unwrap().bitfield("a", "x");
        let straddles = before / 64 != (before + bits - 1) / 64;
        prop_assert_eq!(place.is_err(), straddles);
        if let Ok(BitField { byte_offset, load_size, shift, bits: found }) = place {
            prop_assert_eq!(found, bits);
            let value = u128::from(pattern) & ((1 << bits) - 1);
            let memory = (value << before | !(((1u128 << bits) - 1) << before) & u128::from(pattern) << 7).to_le_bytes();
            let mut word = [0; 16];
            let (start, len) = (byte_offset as usize, load_size as usize);
            word[..len].copy_from_slice(&memory[start..start + len]);
            let read = u128::from_le_bytes(word) >> shift & ((1 << bits) - 1);
            prop_assert_eq!(read, value);
        }
    }
}
