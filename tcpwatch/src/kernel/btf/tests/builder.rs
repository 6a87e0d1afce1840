//! Writes BTF for the tests: types get their numbers in the order of the calls, from 1.

pub const INT: u32 = 1;
pub const PTR: u32 = 2;
pub const ARRAY: u32 = 3;
pub const STRUCT: u32 = 4;
pub const UNION: u32 = 5;
pub const ENUM: u32 = 6;
pub const FWD: u32 = 7;
pub const TYPEDEF: u32 = 8;
pub const VOLATILE: u32 = 9;
pub const CONST: u32 = 10;
pub const RESTRICT: u32 = 11;
pub const FUNC: u32 = 12;
pub const FUNC_PROTO: u32 = 13;
pub const VAR: u32 = 14;
pub const DATASEC: u32 = 15;
pub const FLOAT: u32 = 16;
pub const DECL_TAG: u32 = 17;
pub const TYPE_TAG: u32 = 18;
pub const ENUM64: u32 = 19;

/// Set in a kind to set the kind flag.
pub const FLAG: u32 = 0x80;

pub struct Builder {
    pub types: Vec<u8>,
    pub strings: Vec<u8>,
    pub count: u32,
}

impl Builder {
    pub fn new() -> Builder {
        Builder {
            types: Vec::new(),
            strings: vec![0],
            count: 0,
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// Any type: its three words and what trails them.
    pub fn push(
        &mut self,
        kind: u32,
        name: &str,
        vlen: u32,
        size_or_type: u32,
        trailing: &[u32],
    ) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | vlen, size_or_type]
            .iter()
            .chain(trailing)
        {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub fn int(&mut self, name: &str, size: u32) -> u32 {
        self.push(INT, name, 0, size, &[size * 8])
    }

    /// A pointer, typedef, qualifier or tag.
    pub fn refer(&mut self, kind: u32, name: &str, to: u32) -> u32 {
        self.push(kind, name, 0, to, &[])
    }

    pub fn array(&mut self, element: u32, count: u32) -> u32 {
        self.push(ARRAY, "", 0, 0, &[element, element, count])
    }

    /// A struct or union; a member is its name, type and offset word.
    pub fn strukt(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let mut words = Vec::new();
        for (name, ty, offset) in members {
            words.extend([self.string(name), *ty, *offset]);
        }
        self.push(kind, name, members.len() as u32, size, &words)
    }

    pub fn enumeration(&mut self, kind: u32, name: &str, values: &[(&str, i64)]) -> u32 {
        let mut words = Vec::new();
        for (name, value) in values {
            words.extend([self.string(name), *value as u32]);
            if kind & !FLAG == ENUM64 {
                words.push((*value >> 32) as u32);
            }
        }
        self.push(kind, name, values.len() as u32, 4, &words)
    }

    pub fn proto(&mut self, parameters: &[u32]) -> u32 {
        let words: Vec<u32> = parameters.iter().flat_map(|ty| [0, *ty]).collect();
        self.push(FUNC_PROTO, "", parameters.len() as u32, 0, &words)
    }

    /// The whole file; `layout` is the layout section of late kernels, one pair of lengths per kind.
    pub fn bytes_with_layout(&self, layout: &[(u8, u8)]) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut header = vec![0, types, types, strings];
        if !layout.is_empty() {
            header.extend([types + strings, layout.len() as u32 * 4]);
        }
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend((header.len() as u32 * 4 + 8).to_le_bytes());
        bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes.extend(layout.iter().flat_map(|(once, each)| [*once, *each, 0, 0]));
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with_layout(&[])
    }
}
