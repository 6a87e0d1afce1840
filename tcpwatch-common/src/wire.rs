//! The only place that promises plain old data: sizes pinned, no padding left unnamed.

use crate::{
    Meta,
    counters::Counters,
    event::{
        Header,
        connect::{ConnectEnded, ConnectStalled},
        transition::Transition,
    },
    flow::Flow,
    handshake::Handshake,
    offsets::Offsets,
};

const _: () = assert!(size_of::<Flow>() == 48);
const _: () = assert!(size_of::<Header>() == 16);
const _: () = assert!(size_of::<Handshake>() == 48 + 4 * 8 + 4 * 4 + 8 + 16);
const _: () = assert!(size_of::<ConnectStalled>() == 24 + size_of::<Handshake>());
const _: () = assert!(size_of::<ConnectEnded>() == 24 + size_of::<Handshake>() + 16);
const _: () = assert!(size_of::<Transition>() == 80);
const _: () = assert!(size_of::<Meta>() == 16);
// PCPU_MIN_UNIT_SIZE: the kernel refuses a per-CPU value above 32 KiB.
const _: () = assert!(size_of::<Counters>() <= 32 * 1024);
const _: () = assert!(size_of::<Counters>().is_multiple_of(8));

macro_rules! plain_old_data {
    ($($name:ty),* $(,)?) => {$(
        // SAFETY: #[repr(C)], integers and arrays of them only, and no padding (the sizes above
        // are the sums of the fields), so every bit pattern is valid and no byte is uninitialised.
        #[cfg(not(target_arch = "bpf"))]
        unsafe impl aya::Pod for $name {}

        impl sealed::Sealed for $name {}
        impl Record for $name {}
    )*};
}

mod sealed {
    pub trait Sealed {}
}

/// A type of this crate whose bytes may be copied from a ring or a map.
pub trait Record: sealed::Sealed + Copy {}

plain_old_data!(
    Flow,
    Header,
    Handshake,
    ConnectStalled,
    ConnectEnded,
    Transition,
    Meta,
    Counters,
    Offsets
);

/// Reads a record from the front of `bytes`; `None` where they are too few.
#[must_use]
pub fn read<T: Record>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, `T` is plain old data (`Record` is sealed to the list above),
    // and read_unaligned asks for no alignment.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a record, for tests that replay one.
#[must_use]
pub fn bytes<T: Record>(record: &T) -> &[u8] {
    // SAFETY: `T` is plain old data without padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(record).cast(), size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        let record = Header {
            time_ns: 7,
            kind: 2,
            length: 16,
        };
        assert_eq!(read::<Header>(bytes(&record)), Some(record));
        assert_eq!(read::<Header>(&bytes(&record)[..15]), None);
    }
}
