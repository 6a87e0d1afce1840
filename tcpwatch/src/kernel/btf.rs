//! What the running kernel says about its own types: a reader of raw BTF (`/sys/kernel/btf/vmlinux`).
//!
//! The reader is our own because rustc emits no CO-RE relocations, `aya_obj::btf` cannot walk a struct's members,
//! and the other crates either carry a licence we cannot link or allocate a structure per type. A handful of
//! lookups need none of that: the bytes stay as they are and one pass notes where each type lies. Of the 20 ms that
//! a start of the daemon may spend here, reading, the pass and two dozen lookups take about 4 (6.18, 5.5 MB of
//! BTF). Every read is bounds checked and every walk is bounded, so corrupt BTF gives an error, never a hang.
//!
//! Not here: BTF of modules, line information, and what a probe does when a field is missing.

#![forbid(unsafe_code)]

mod error;
mod members;
mod prototype;
mod raw;
mod stub;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;

pub use error::BtfError;
use raw::{Kind, Raw, corrupt};

/// Where the kernel shows its own types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// Far above the largest enum of any kernel; each value costs a text.
const MAX_VARIANTS: u32 = 16_384;

/// The types of one kernel. It keeps the whole file (3 to 7 MB) in memory: drop it once the offsets are known.
pub struct Btf {
    raw: Raw,
}

/// Where a whole field lies in its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the struct.
    pub offset: u32,
    /// Bytes; 0 for a flexible array.
    pub size: u32,
}

/// Where an integer of less than a word lies in its struct: load the little-endian word of `load_size` bytes at
/// `byte_offset`, shift it right by `shift` and keep the low `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitField {
    /// Bytes from the start of the struct.
    pub byte_offset: u32,
    /// Bytes to load, the fewest that hold the field: 1, 2, 4 or 8. The word lies wholly inside the struct.
    pub load_size: u32,
    /// Bits below the field in that word.
    pub shift: u32,
    /// Width of the field in bits, 1 to 64.
    pub bits: u32,
}

/// What a tracepoint or a function takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// One text per parameter, as C writes the type: `struct sock *`, `int`, `enum sk_rst_reason`. `const` and
    /// `volatile` are left out; a typedef is replaced by what it names, unless that has no name of its own. A pointer
    /// to a function is `function *`, a variable argument list `...`.
    pub parameters: Vec<String>,
}

impl Btf {
    /// Reads BTF of version 1 in little-endian order.
    ///
    /// # Errors
    /// What is not BTF, and BTF whose records do not fill their section exactly.
    pub fn parse(bytes: Vec<u8>) -> Result<Btf, BtfError> {
        Ok(Btf {
            raw: Raw::parse(bytes)?,
        })
    }

    /// Reads the BTF of the running kernel.
    ///
    /// # Errors
    /// [`BtfError::Missing`] on a kernel built without `CONFIG_DEBUG_INFO_BTF`; else as [`Btf::parse`].
    pub fn running_kernel() -> Result<Btf, BtfError> {
        match std::fs::read(VMLINUX) {
            Ok(bytes) => Btf::parse(bytes),
            Err(source) if source.kind() == ErrorKind::NotFound => Err(BtfError::Missing),
            Err(source) => Err(BtfError::Unreadable { source }),
        }
    }

    /// The place of a field in `struct strukt`. The path is dotted for members with a name
    /// (`__sk_common.skc_family`); anonymous structs and unions are searched through and take no part in it.
    ///
    /// # Errors
    /// No such struct or field in this kernel; a bitfield, which [`Btf::bitfield`] reads.
    pub fn field(&self, strukt: &str, path: &str) -> Result<Field, BtfError> {
        let member = self.raw.locate(strukt, path)?;
        if member.bits.is_some() || !member.bit_offset.is_multiple_of(8) {
            return Err(BtfError::IsBitfield {
                strukt: strukt.into(),
                path: path.into(),
            });
        }
        let size = self.raw.size_of(member.type_id)?;
        let offset = member.bit_offset / 8;
        if offset + u64::from(size) > u64::from(member.outer_size) {
            return Err(corrupt("a field lies outside its struct"));
        }
        let offset =
            u32::try_from(offset).map_err(|_| corrupt("a field lies too far into its struct"))?;
        Ok(Field { offset, size })
    }

    /// The offset in bytes of a field that must have `size` bytes.
    ///
    /// # Errors
    /// As [`Btf::field`], and [`BtfError::FieldSize`] for a field of another size.
    pub fn field_sized(&self, strukt: &str, path: &str, size: u32) -> Result<u32, BtfError> {
        let field = self.field(strukt, path)?;
        if field.size != size {
            return Err(BtfError::FieldSize {
                strukt: strukt.into(),
                path: path.into(),
                expected: size,
                found: field.size,
            });
        }
        Ok(field.offset)
    }

    /// The place of an integer that may be a bitfield (`icsk_ca_state:5`). A whole integer is taken too, since some
    /// fields are a bitfield in one kernel and a byte in another.
    ///
    /// # Errors
    /// As [`Btf::field`]; a field that is no integer, or that no aligned word of 8 bytes or less holds.
    pub fn bitfield(&self, strukt: &str, path: &str) -> Result<BitField, BtfError> {
        let member = self.raw.locate(strukt, path)?;
        let ty = self.raw.resolve(member.type_id)?;
        if !matches!(ty.kind, Kind::Int | Kind::Enum | Kind::Enum64) {
            return Err(BtfError::NotAnInteger {
                strukt: strukt.into(),
                path: path.into(),
            });
        }
        let bits = match member.bits {
            Some(bits) => u64::from(bits),
            None => u64::from(ty.size_or_type) * 8,
        };
        let straddles = || BtfError::BitfieldStraddles {
            strukt: strukt.into(),
            path: path.into(),
        };
        if bits == 0 {
            return Err(corrupt("an integer has no bits"));
        }
        for load_size in [1u32, 2, 4, 8] {
            let word_bits = u64::from(load_size) * 8;
            let word = member.bit_offset / word_bits;
            let shift = member.bit_offset % word_bits;
            if shift + bits > word_bits {
                continue;
            }
            let byte_offset = word * u64::from(load_size);
            if byte_offset + u64::from(load_size) > u64::from(member.outer_size) {
                return Err(straddles());
            }
            // Both are below 64 here, and the byte offset is below the struct's size.
            let narrow = |value: u64| u32::try_from(value).map_err(|_| straddles());
            return Ok(BitField {
                byte_offset: narrow(byte_offset)?,
                load_size,
                shift: narrow(shift)?,
                bits: narrow(bits)?,
            });
        }
        Err(straddles())
    }

    /// The size of `struct strukt` in bytes.
    ///
    /// # Errors
    /// No such struct in this kernel.
    pub fn struct_size(&self, strukt: &str) -> Result<u32, BtfError> {
        self.raw
            .named(&self.raw.structs, strukt)
            .next()
            .map(|ty| ty.size_or_type)
            .ok_or_else(|| BtfError::NoStruct {
                strukt: strukt.into(),
            })
    }

    /// The number behind one name of an enum. Kernels older than 6.0 do not say whether an enum is signed; a negative
    /// value reads as its unsigned 32 bits there. An unsigned 64-bit value above `i64::MAX` keeps its bits.
    ///
    /// # Errors
    /// No such enum, or no such name in it, in this kernel.
    pub fn enum_value(&self, enum_name: &str, variant: &str) -> Result<i64, BtfError> {
        let Some(key) = raw::key(variant) else {
            return Err(BtfError::NoVariant {
                enum_name: enum_name.into(),
                variant: variant.into(),
            });
        };
        let mut seen = false;
        for ty in self.raw.named(&self.raw.enums, enum_name) {
            seen = true;
            for index in 0..ty.vlen {
                let (name, value) = self.raw.enumerator(&ty, index)?;
                if self.raw.is_named(name, &key) {
                    return Ok(value);
                }
            }
        }
        Err(match seen {
            true => BtfError::NoVariant {
                enum_name: enum_name.into(),
                variant: variant.into(),
            },
            false => BtfError::NoEnum {
                enum_name: enum_name.into(),
            },
        })
    }

    /// The names and numbers of an enum in the kernel's order; numbers as in [`Btf::enum_value`].
    ///
    /// # Errors
    /// No such enum in this kernel.
    pub fn enum_variants(&self, enum_name: &str) -> Result<Vec<(String, i64)>, BtfError> {
        // An enum without values is only a forward declaration.
        let Some(ty) = self
            .raw
            .named(&self.raw.enums, enum_name)
            .find(|ty| ty.vlen > 0)
        else {
            return Err(BtfError::NoEnum {
                enum_name: enum_name.into(),
            });
        };
        if ty.vlen > MAX_VARIANTS {
            return Err(corrupt("an enum has more than 16384 values"));
        }
        let mut variants = Vec::new();
        for index in 0..ty.vlen {
            let (name, value) = self.raw.enumerator(&ty, index)?;
            variants.push((self.raw.text(name)?.to_owned(), value));
        }
        Ok(variants)
    }

    /// What the tracepoint `name` hands to a raw or BTF-typed program, in order.
    ///
    /// # Errors
    /// No such tracepoint in this kernel.
    pub fn tracepoint(&self, name: &str) -> Result<Prototype, BtfError> {
        let Some(typedef) = self
            .raw
            .named(&self.raw.typedefs, &format!("btf_trace_{name}"))
            .next()
        else {
            return Err(BtfError::NoTracepoint { name: name.into() });
        };
        let pointer = self.raw.resolve(typedef.size_or_type)?;
        if pointer.kind != Kind::Ptr {
            return Err(corrupt("a tracepoint's typedef is not a pointer"));
        }
        let mut parameters = self.raw.parameters(pointer.size_or_type)?;
        // The kernel declares `void *__data` in front of what the tracepoint passes; a program does not see it.
        if parameters.first().map(String::as_str) != Some("void *") {
            return Err(corrupt("a tracepoint's first parameter is not void *"));
        }
        parameters.remove(0);
        Ok(Prototype { parameters })
    }

    /// What the kernel function `name` takes. That a function is known here does not say that it can be probed: it
    /// may be inlined at some of its callers.
    ///
    /// # Errors
    /// No such function in this kernel.
    pub fn function(&self, name: &str) -> Result<Prototype, BtfError> {
        match self.raw.named(&self.raw.functions, name).next() {
            Some(function) => Ok(Prototype {
                parameters: self.raw.parameters(function.size_or_type)?,
            }),
            None => Err(BtfError::NoFunction { name: name.into() }),
        }
    }
}
