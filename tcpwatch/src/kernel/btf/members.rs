//! Finding a member in a struct, and the size of what it is.

use super::BtfError;
use super::raw::{Kind, Raw, Type, corrupt, key};

/// Longest chain of typedefs, qualifiers, arrays or anonymous structs that is followed. C code stays below ten; BTF
/// that refers to itself never ends.
pub(super) const MAX_DEPTH: u32 = 32;
/// Most members looked at for one question. The largest struct of a kernel has some hundreds; nested structs that refer
/// to each other would take exponential time.
const MAX_MEMBERS: u32 = 65_536;

pub(super) const TOO_DEEP: BtfError = corrupt("types refer to each other without end");

/// A member that was found, seen from the outermost struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// From the start of the outermost struct.
    pub bit_offset: u64,
    /// The width in bits when the member is a bitfield.
    pub bits: Option<u32>,
    pub type_id: u32,
    /// The size of the outermost struct in bytes.
    pub outer_size: u32,
}

impl Raw {
    /// The member that `path` leads to, in the first struct of that name that has it.
    pub fn locate(&self, strukt: &str, path: &str) -> Result<Member, BtfError> {
        let mut budget = MAX_MEMBERS;
        let mut refusal = None;
        for ty in self.named(&self.structs, strukt) {
            match self.walk(&ty, strukt, path, &mut budget) {
                Ok(member) => return Ok(member),
                Err(reason @ (BtfError::NoField { .. } | BtfError::NotAStruct { .. })) => {
                    refusal.get_or_insert(reason);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| BtfError::NoStruct {
            strukt: strukt.into(),
        }))
    }

    fn walk(
        &self,
        outer: &Type,
        strukt: &str,
        path: &str,
        budget: &mut u32,
    ) -> Result<Member, BtfError> {
        let no_field = || BtfError::NoField {
            strukt: strukt.into(),
            path: path.into(),
        };
        let mut inner = *outer;
        let mut base = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let key = key(part).ok_or_else(no_field)?;
            let mut member = self
                .find_member(&inner, &key, base, MAX_DEPTH, budget)?
                .ok_or_else(no_field)?;
            if parts.peek().is_none() {
                member.outer_size = outer.size_or_type;
                return Ok(member);
            }
            inner = self.resolve(member.type_id)?;
            if !matches!(inner.kind, Kind::Struct | Kind::Union) {
                return Err(BtfError::NotAStruct {
                    strukt: strukt.into(),
                    path: path.into(),
                    member: part.into(),
                });
            }
            base = member.bit_offset;
        }
        Err(no_field())
    }

    /// The member of that name in `ty` or in its anonymous members, `ty` starting at bit `base`.
    fn find_member(
        &self,
        ty: &Type,
        key: &[u8],
        base: u64,
        depth: u32,
        budget: &mut u32,
    ) -> Result<Option<Member>, BtfError> {
        let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
        for index in 0..ty.vlen {
            *budget = budget.checked_sub(1).ok_or(TOO_DEEP)?;
            let (name, type_id, offset) = self.member(ty, index)?;
            if self.is_named(name, key) {
                return self.member_at(ty, type_id, base, offset).map(Some);
            }
            if !self.is_anonymous(name) {
                continue;
            }
            let inner = self.resolve(type_id)?;
            if matches!(inner.kind, Kind::Struct | Kind::Union) {
                let at = self.member_at(ty, type_id, base, offset)?.bit_offset;
                if let Some(found) = self.find_member(&inner, key, at, depth, budget)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Decodes a member's offset. With the kind flag the width of a bitfield shares the word with it; without, a
    /// bitfield is a member whose integer type has fewer bits than its bytes hold, or starts inside them.
    fn member_at(
        &self,
        ty: &Type,
        type_id: u32,
        base: u64,
        offset: u32,
    ) -> Result<Member, BtfError> {
        let mut member = Member {
            bit_offset: base,
            bits: None,
            type_id,
            outer_size: 0,
        };
        if ty.kind_flag {
            member.bit_offset += u64::from(offset & 0xff_ffff);
            member.bits = Some(offset >> 24).filter(|bits| *bits != 0);
            return Ok(member);
        }
        member.bit_offset += u64::from(offset);
        let inner = self.resolve(type_id)?;
        if inner.kind == Kind::Int {
            let encoding = self.word(&inner, 0)?;
            let (start, bits) = (encoding >> 16 & 0xff, encoding & 0xff);
            if start != 0 || u64::from(bits) != u64::from(inner.size_or_type) * 8 {
                member.bit_offset += u64::from(start);
                member.bits = Some(bits);
            }
        }
        Ok(member)
    }

    /// The type behind typedefs, qualifiers and tags.
    pub fn resolve(&self, mut id: u32) -> Result<Type, BtfError> {
        for _ in 0..MAX_DEPTH {
            let ty = self.ty(id)?;
            match ty.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    id = ty.size_or_type
                }
                _ => return Ok(ty),
            }
        }
        Err(TOO_DEEP)
    }

    /// The size of a type in bytes.
    pub fn size_of(&self, mut id: u32) -> Result<u32, BtfError> {
        const TOO_LARGE: BtfError = corrupt("an array is larger than 4 GiB");
        let mut count = 1u32;
        for _ in 0..MAX_DEPTH {
            let ty = self.resolve(id)?;
            let size = match ty.kind {
                Kind::Array => {
                    count = count.checked_mul(self.word(&ty, 2)?).ok_or(TOO_LARGE)?;
                    id = self.word(&ty, 0)?;
                    continue;
                }
                Kind::Ptr => 8,
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => ty.size_or_type,
                _ => return Err(corrupt("a member has a type without a size")),
            };
            return count.checked_mul(size).ok_or(TOO_LARGE);
        }
        Err(TOO_DEEP)
    }
}
