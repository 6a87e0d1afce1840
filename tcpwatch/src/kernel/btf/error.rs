//! Why a question to the kernel's BTF has no answer, in sentences for the operator.

/// What went wrong, where, and what it would need.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The kernel was built without BTF.
    #[error(
        "this kernel has no BTF ({} is missing); it needs CONFIG_DEBUG_INFO_BTF=y",
        super::VMLINUX
    )]
    Missing,
    /// The file is there and cannot be read.
    #[error("cannot read {}: {source}", super::VMLINUX)]
    Unreadable {
        /// What the kernel answered.
        source: std::io::Error,
    },
    /// The bytes do not start with BTF's magic number.
    #[error("this is not BTF: it starts with the bytes {found:02x?}, BTF starts with [9f, eb]")]
    NotBtf {
        /// The first bytes, at most two.
        found: Vec<u8>,
    },
    /// BTF of a machine of the other byte order.
    #[error("this BTF is big-endian; only little-endian machines are supported")]
    BigEndian,
    /// A version of the format that came after this reader.
    #[error(
        "this BTF has format version {found}; only version 1 is known: a newer tcpwatch is needed"
    )]
    Version {
        /// The version in the header.
        found: u8,
    },
    /// A kind of type that came after this reader, and whose length the BTF itself does not tell.
    #[error(
        "type {id} of this kernel's BTF has the unknown kind {kind}: a newer tcpwatch is needed"
    )]
    UnknownKind {
        /// The number of the kind.
        kind: u32,
        /// The number of the type, from 1.
        id: usize,
    },
    /// Lengths or references that cannot be.
    #[error("this BTF is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: &'static str,
    },
    /// No struct of that name.
    #[error("there is no struct {strukt} in this kernel's BTF")]
    NoStruct {
        /// The name that was looked for.
        strukt: String,
    },
    /// The struct is there, the field is not.
    #[error("struct {strukt} has no field {path} in this kernel's BTF")]
    NoField {
        /// The struct.
        strukt: String,
        /// The path that was looked for.
        path: String,
    },
    /// The path goes on behind a member that has no members.
    #[error(
        "struct {strukt} has no field {path} in this kernel's BTF: {member} is not a struct or union"
    )]
    NotAStruct {
        /// The struct.
        strukt: String,
        /// The path that was looked for.
        path: String,
        /// The part of the path that cannot be entered.
        member: String,
    },
    /// A bitfield where a whole field was asked for.
    #[error(
        "field {path} of struct {strukt} is a bitfield in this kernel's BTF; a whole field was expected"
    )]
    IsBitfield {
        /// The struct.
        strukt: String,
        /// The path of the field.
        path: String,
    },
    /// A whole field of another size.
    #[error(
        "field {path} of struct {strukt} has {found} bytes in this kernel's BTF; {expected} were expected"
    )]
    FieldSize {
        /// The struct.
        strukt: String,
        /// The path of the field.
        path: String,
        /// Bytes the caller reads.
        expected: u32,
        /// Bytes the kernel has.
        found: u32,
    },
    /// A struct, array or pointer where a number was asked for.
    #[error("field {path} of struct {strukt} is not an integer in this kernel's BTF")]
    NotAnInteger {
        /// The struct.
        strukt: String,
        /// The path of the field.
        path: String,
    },
    /// A bitfield that one load cannot fetch.
    #[error(
        "bitfield {path} of struct {strukt} does not lie in one aligned word of 8 bytes or less"
    )]
    BitfieldStraddles {
        /// The struct.
        strukt: String,
        /// The path of the field.
        path: String,
    },
    /// No enum of that name.
    #[error("there is no enum {enum_name} in this kernel's BTF")]
    NoEnum {
        /// The name that was looked for.
        enum_name: String,
    },
    /// The enum is there, the value is not.
    #[error("enum {enum_name} has no value {variant} in this kernel's BTF")]
    NoVariant {
        /// The enum.
        enum_name: String,
        /// The name that was looked for.
        variant: String,
    },
    /// No tracepoint of that name.
    #[error("there is no tracepoint {name} in this kernel's BTF")]
    NoTracepoint {
        /// The name that was looked for.
        name: String,
    },
    /// No function of that name: absent, or inlined everywhere.
    #[error("there is no function {name} in this kernel's BTF: it is absent or inlined everywhere")]
    NoFunction {
        /// The name that was looked for.
        name: String,
    },
}
