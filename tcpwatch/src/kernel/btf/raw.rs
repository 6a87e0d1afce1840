//! The bytes of BTF and where each type lies in them. Nothing here knows what a question means.
//!
//! Format: `include/uapi/linux/btf.h`. Its newest form widens the member count to 24 bits and the kind to 7, in bits
//! that were zero before, and may carry a layout section that tells how long a record of each kind is.

use std::ops::Range;

use super::BtfError;

const MAGIC: [u8; 2] = [0x9f, 0xeb];
const VERSION: u8 = 1;
/// The header up to and with `str_len`.
const HEADER_LEN: usize = 24;
/// The header that also has `layout_off` and `layout_len`.
const HEADER_LEN_LAYOUT: usize = 32;
/// The three words in front of every type.
const TYPE_LEN: usize = 12;
/// The kernel's own bound on the length of a symbol's name (`KSYM_NAME_LEN`), the NUL included.
const NAME_LEN: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Type 0, which has no record.
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// A later kind, stepped over with the help of the layout section.
    Later,
}

impl Kind {
    fn from_raw(kind: u32) -> Kind {
        match kind {
            1 => Kind::Int,
            2 => Kind::Ptr,
            3 => Kind::Array,
            4 => Kind::Struct,
            5 => Kind::Union,
            6 => Kind::Enum,
            7 => Kind::Fwd,
            8 => Kind::Typedef,
            9 => Kind::Volatile,
            10 => Kind::Const,
            11 => Kind::Restrict,
            12 => Kind::Func,
            13 => Kind::FuncProto,
            14 => Kind::Var,
            15 => Kind::Datasec,
            16 => Kind::Float,
            17 => Kind::DeclTag,
            18 => Kind::TypeTag,
            19 => Kind::Enum64,
            _ => Kind::Later,
        }
    }

    /// Bytes behind the three words: once per type, and per element counted by `vlen`.
    fn trailing(self) -> Option<(usize, usize)> {
        Some(match self {
            Kind::Int | Kind::Var | Kind::DeclTag => (4, 0),
            Kind::Array => (12, 0),
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => (0, 12),
            Kind::Enum | Kind::FuncProto => (0, 8),
            // The vlen of a function is its linkage and counts nothing.
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => (0, 0),
            Kind::Void | Kind::Later => return None,
        })
    }
}

/// One type as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub kind: Kind,
    pub kind_flag: bool,
    /// Members, values or parameters; in the bytes at parse time.
    pub vlen: u32,
    name: u32,
    /// The size in bytes or the type referred to, by kind.
    pub size_or_type: u32,
    /// Where the words behind the type start.
    trailing: usize,
}

const VOID: Type = Type {
    kind: Kind::Void,
    kind_flag: false,
    vlen: 0,
    name: 0,
    size_or_type: 0,
    trailing: 0,
};

pub(super) struct Raw {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Where the type of number `index + 1` starts.
    offsets: Vec<u32>,
    /// The numbers of the types that are looked up by name: a scan of these touches far fewer strings than one of all.
    pub structs: Vec<u32>,
    pub enums: Vec<u32>,
    pub typedefs: Vec<u32>,
    pub functions: Vec<u32>,
}

impl Raw {
    pub fn parse(bytes: Vec<u8>) -> Result<Raw, BtfError> {
        let header = Header::read(&bytes)?;
        let types = header.types;
        let mut raw = Raw {
            strings: header.strings,
            offsets: Vec::with_capacity(types.len() / 16),
            structs: Vec::new(),
            enums: Vec::new(),
            typedefs: Vec::new(),
            functions: Vec::new(),
            bytes,
        };
        let mut at = types.start;
        while at < types.end {
            let id = raw.offsets.len() + 1;
            if types.end - at < TYPE_LEN {
                return Err(CUT_TYPE);
            }
            let info = u32_at(&raw.bytes, at + 4).ok_or(CUT_TYPE)?;
            let (kind, vlen) = (info >> 24 & 0x7f, info & 0xff_ffff);
            let known = Kind::from_raw(kind);
            let (once, each) = known
                .trailing()
                .or_else(|| layout_of(&raw.bytes, &header.layout, kind))
                .ok_or(BtfError::UnknownKind { kind, id })?;
            let next = (vlen as usize)
                .checked_mul(each)
                .and_then(|elements| elements.checked_add(once + TYPE_LEN))
                .and_then(|len| len.checked_add(at))
                .filter(|next| *next <= types.end)
                .ok_or(CUT_TYPE)?;
            let (place, id) = (u32_of(at)?, u32_of(id)?);
            raw.offsets.push(place);
            match known {
                Kind::Struct => raw.structs.push(id),
                Kind::Enum | Kind::Enum64 => raw.enums.push(id),
                Kind::Typedef => raw.typedefs.push(id),
                Kind::Func => raw.functions.push(id),
                _ => {}
            }
            at = next;
        }
        Ok(raw)
    }

    /// The type of a number; 0 is void.
    pub fn ty(&self, id: u32) -> Result<Type, BtfError> {
        let Some(index) = id.checked_sub(1) else {
            return Ok(VOID);
        };
        self.offsets
            .get(index as usize)
            .and_then(|at| self.read_type(*at as usize))
            .ok_or(corrupt("a type refers to one that does not exist"))
    }

    fn read_type(&self, at: usize) -> Option<Type> {
        let info = u32_at(&self.bytes, at + 4)?;
        Some(Type {
            kind: Kind::from_raw(info >> 24 & 0x7f),
            kind_flag: info >> 31 == 1,
            vlen: info & 0xff_ffff,
            name: u32_at(&self.bytes, at)?,
            size_or_type: u32_at(&self.bytes, at + 8)?,
            trailing: at + TYPE_LEN,
        })
    }

    /// The n-th word behind a type's first three.
    pub fn word(&self, ty: &Type, n: usize) -> Result<u32, BtfError> {
        u32_at(&self.bytes, ty.trailing + 4 * n).ok_or(CUT_TYPE)
    }

    /// Name, type and raw offset of a member of a struct or union.
    pub fn member(&self, ty: &Type, index: u32) -> Result<(u32, u32, u32), BtfError> {
        let n = index as usize * 3;
        Ok((
            self.word(ty, n)?,
            self.word(ty, n + 1)?,
            self.word(ty, n + 2)?,
        ))
    }

    /// Name and value of an entry of an enum.
    pub fn enumerator(&self, ty: &Type, index: u32) -> Result<(u32, i64), BtfError> {
        let index = index as usize;
        if ty.kind == Kind::Enum64 {
            let (low, high) = (self.word(ty, index * 3 + 1)?, self.word(ty, index * 3 + 2)?);
            let value = u64::from(high) << 32 | u64::from(low);
            return Ok((self.word(ty, index * 3)?, value.cast_signed()));
        }
        let value = self.word(ty, index * 2 + 1)?;
        let value = if ty.kind_flag {
            i64::from(value.cast_signed())
        } else {
            i64::from(value)
        };
        Ok((self.word(ty, index * 2)?, value))
    }

    /// The types among `ids` that have this name, in the file's order.
    pub fn named(&self, ids: &[u32], name: &str) -> impl Iterator<Item = Type> {
        let key = key(name);
        ids.iter().filter_map(move |id| {
            let at = *self.offsets.get(*id as usize - 1)? as usize;
            let name = u32_at(&self.bytes, at)?;
            self.is_named(name, key.as_ref()?)
                .then(|| self.read_type(at))?
        })
    }

    /// The number of the first typedef of that name.
    pub fn typedef_id(&self, name: &str) -> Option<u32> {
        self.id(&self.typedefs, name)
    }

    /// The number of the first function of that name.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.id(&self.functions, name)
    }

    fn id(&self, among: &[u32], name: &str) -> Option<u32> {
        let key = key(name)?;
        among.iter().copied().find(|id| {
            self.offsets
                .get(*id as usize - 1)
                .and_then(|at| u32_at(&self.bytes, *at as usize))
                .is_some_and(|name| self.is_named(name, &key))
        })
    }

    /// Whether the string at `name` is the one a [`key`] was made from.
    pub fn is_named(&self, name: u32, key: &[u8]) -> bool {
        self.string_from(name)
            .is_some_and(|string| string.starts_with(key))
    }

    pub fn is_anonymous(&self, name: u32) -> bool {
        self.string_from(name)
            .is_some_and(|string| string.first() == Some(&0))
    }

    /// The string at `name`, at most [`NAME_LEN`] long: thousands of records may point at one hostile string.
    pub fn text(&self, name: u32) -> Result<&str, BtfError> {
        let string = self
            .string_from(name)
            .ok_or(corrupt("a name lies outside the string section"))?;
        let end = string
            .iter()
            .take(NAME_LEN)
            .position(|byte| *byte == 0)
            .ok_or(corrupt("a name has no end"))?;
        std::str::from_utf8(&string[..end]).map_err(|_| corrupt("a name is not UTF-8"))
    }

    pub fn name_of(&self, ty: &Type) -> Result<&str, BtfError> {
        self.text(ty.name)
    }

    fn string_from(&self, name: u32) -> Option<&[u8]> {
        self.bytes
            .get(self.strings.start.checked_add(name as usize)?..self.strings.end)
    }

    #[cfg(test)]
    pub fn type_count(&self) -> usize {
        self.offsets.len()
    }
}

/// The bytes to compare strings with: the name and its NUL. None for what no type or member can be called.
pub(super) fn key(name: &str) -> Option<Vec<u8>> {
    if name.is_empty() || name.contains('\0') {
        return None;
    }
    Some([name.as_bytes(), b"\0"].concat())
}

pub(super) const fn corrupt(what: &'static str) -> BtfError {
    BtfError::Corrupt { what }
}

const CUT_TYPE: BtfError = corrupt("a type does not end inside the type section");

/// Where the sections lie.
struct Header {
    types: Range<usize>,
    strings: Range<usize>,
    /// Empty when there is none.
    layout: Range<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Header, BtfError> {
        const CUT: BtfError = corrupt("the header does not end inside the file");
        match bytes.get(..2) {
            Some(magic) if magic == MAGIC => {}
            Some([0xeb, 0x9f]) => return Err(BtfError::BigEndian),
            _ => {
                return Err(BtfError::NotBtf {
                    found: bytes.iter().take(2).copied().collect(),
                });
            }
        }
        match bytes.get(2) {
            Some(&VERSION) => {}
            Some(&found) => return Err(BtfError::Version { found }),
            None => return Err(CUT),
        }
        let word = |at| u32_at(bytes, at).map(|word| word as usize).ok_or(CUT);
        let header_len = word(4)?;
        if header_len < HEADER_LEN || header_len > bytes.len() {
            return Err(CUT);
        }
        let section = |at| -> Result<Range<usize>, BtfError> {
            let start = header_len.checked_add(word(at)?);
            let end = start.and_then(|start| start.checked_add(word(at + 4).ok()?));
            match (start, end) {
                (Some(start), Some(end)) if end <= bytes.len() => Ok(start..end),
                _ => Err(corrupt("a section does not end inside the file")),
            }
        };
        let layout = if header_len >= HEADER_LEN_LAYOUT {
            section(24)?
        } else {
            0..0
        };
        let header = Header {
            types: section(8)?,
            strings: section(16)?,
            layout,
        };
        match bytes.get(header.strings.clone()) {
            Some([0, .., 0] | [0]) => Ok(header),
            _ => Err(corrupt(
                "the string section does not begin and end with a NUL",
            )),
        }
    }
}

/// What the layout section says of a kind: bytes per type and per element.
fn layout_of(bytes: &[u8], layout: &Range<usize>, kind: u32) -> Option<(usize, usize)> {
    let entry = bytes
        .get(layout.clone())?
        .chunks_exact(4)
        .nth(kind as usize)?;
    // Type 0 is void and has no record, whatever is said about it.
    (kind != 0).then_some((entry[0].into(), entry[1].into()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

fn u32_of(value: usize) -> Result<u32, BtfError> {
    u32::try_from(value).map_err(|_| corrupt("it is larger than 4 GiB"))
}
