//! Owns the framing of netlink: how a datagram is cut into messages, a message into attributes, and a
//! kernel struct into its members. It knows nothing of sockets. Nothing here panics, whatever the bytes.
#![forbid(unsafe_code)]

/// `sizeof(struct nlmsghdr)`.
pub(super) const HEADER: usize = 16;
/// `NLM_F_DUMP_INTR`: the tables changed under the dump.
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;

/// `NLA_TYPE_MASK`: the two bits above it are flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
/// Reads the members of a kernel struct one after another.
pub(super) struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        match self.0.split_first_chunk::<N>() {
            Some((member, rest)) => {
                self.0 = rest;
                Some(*member)
            }
            None => {
                // What is left is part of this member: a shorter one must not be read from it.
                self.0 = &[];
                None
            }
        }
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// What follows the members read so far.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The bytes are not what the kernel's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// The error number of an `NLMSG_ERROR` or `NLMSG_DONE`; 0 is success. A dump whose module is
    /// missing ends with an NLMSG_DONE that carries an error (`netlink_dump_done`).
    pub fn errno(&self) -> i32 {
        let code = Members::of(self.payload)
            .array()
            .map_or(0, i32::from_ne_bytes);
        code.checked_neg().unwrap_or(i32::MAX).max(0)
    }
}

/// The messages of one datagram. After a malformed one nothing follows: where it ends is unknown.
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let mut header = Members::of(bytes);
        let message = (|| {
            let length = usize::try_from(header.u32()?).ok()?;
            let (kind, flags, sequence) = (header.u16()?, header.u16()?, header.u32()?);
            let payload = bytes.get(HEADER..length)?;
            self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(Message {
                kind,
                flags,
                sequence,
                payload,
            })
        })();
        Some(message.ok_or(Malformed))
    }
}

/// The attributes (`struct nlattr`) behind the fixed part of a message.
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let mut header = Members::of(bytes);
        let attribute = (|| {
            let length = usize::from(header.u16()?);
            let kind = header.u16()? & ATTRIBUTE_TYPE;
            let value = bytes.get(4..length)?;
            self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })();
        Some(attribute.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + payload.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend([9_u32, 0].into_iter().flat_map(u32::to_ne_bytes));
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_datagram_is_cut_into_its_messages() {
        let mut datagram = message(20, &[1, 2, 3, 4, 5]);
        datagram.resize(24, 0);
        datagram.extend(message(NLMSG_DONE, &(-2_i32).to_ne_bytes()));
        let messages: Vec<_> = Messages::of(&datagram).map(Result::unwrap).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(
            (messages[0].kind, messages[0].flags, messages[0].sequence),
            (20, 2, 9)
        );
        assert_eq!(messages[0].payload, [1, 2, 3, 4, 5]);
        assert_eq!((messages[1].kind, messages[1].errno()), (NLMSG_DONE, 2));
    }

    #[test]
    fn a_cut_datagram_ends_with_what_is_malformed() {
        let mut datagram = message(20, &[0; 8]);
        datagram.extend(message(20, &[0; 12]));
        for length in 1..datagram.len() {
            let messages: Vec<_> = Messages::of(&datagram[..length]).collect();
            let whole = usize::from(length >= 24);
            assert_eq!(
                messages.iter().filter(|message| message.is_ok()).count(),
                whole
            );
            assert_eq!(
                messages.len(),
                whole + usize::from(length != 24),
                "{length} bytes"
            );
        }
        // A length of less than the header would never end.
        assert_eq!(Messages::of(&[0; 32]).collect::<Vec<_>>(), [Err(Malformed)]);
    }

    #[test]
    fn an_error_number_is_read_from_any_payload() {
        let errno = |payload: &[u8]| {
            Message {
                kind: 2,
                flags: 0,
                sequence: 0,
                payload,
            }
            .errno()
        };
        assert_eq!(errno(&(-13_i32).to_ne_bytes()), 13);
        assert_eq!(errno(&0_i32.to_ne_bytes()), 0);
        assert_eq!(errno(&5_i32.to_ne_bytes()), 0);
        assert_eq!(errno(&i32::MIN.to_ne_bytes()), i32::MAX);
        assert_eq!(errno(&[1, 2]), 0);
    }

    #[test]
    fn attributes_are_padded_and_flagged() {
        let mut bytes = [5_u16, 8].map(u16::to_ne_bytes).concat();
        bytes.extend([1, 0, 0, 0]);
        bytes.extend([4_u16, 21 | 0x8000].map(u16::to_ne_bytes).concat());
        let attributes: Vec<_> = Attributes::of(&bytes).collect();
        assert_eq!(attributes, [Ok((8, &[1_u8][..])), Ok((21, &[][..]))]);
        // Shorter than its own header, which would never end, or longer than what is there.
        for length in [0_u16, 3, 9] {
            bytes[8..10].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Attributes::of(&bytes).nth(1), Some(Err(Malformed)));
        }
    }

    #[test]
    fn a_member_is_not_read_from_the_rest_of_a_longer_one() {
        let mut members = Members::of(&[1, 0, 0, 0, 2]);
        assert_eq!(members.u8(), Some(1));
        assert_eq!((members.u64(), members.u8()), (None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages::of(&bytes).flatten() {
                let _ = message.errno();
            }
            let _ = Attributes::of(&bytes).count();
        }
    }
}
