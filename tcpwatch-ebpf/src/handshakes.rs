//! The handshake table: claim, find and release an entry.
//!
//! Adding a key and deleting it again costs more than all else a connect costs. A socket's memory is
//! used again within moments where connections come and go, so the last few entries of each CPU
//! stay in the table, marked free, and the next socket at that address takes its entry over.

use tcpwatch_common::{
    counters::Counters,
    handshake::{FREE, Handshake},
};

use crate::{
    kernel::{self, Sock},
    maps::{HANDSHAKES, add},
};

/// What a new entry starts as: in read-only data, since the stack has no room for it.
pub static EMPTY: Handshake = Handshake::EMPTY;

/// An entry for this socket, to be filled by the caller, `state` last; `None` when the table is
/// full, which is counted.
#[inline(always)]
pub fn claim(counters: &Counters, sk: Sock) -> Option<&'static mut Handshake> {
    let key = sk.key();
    if let Some(entry) = HANDSHAKES.get_ptr_mut(key) {
        // SAFETY: a pointer to a map value from a look-up that succeeded. The socket is locked while
        // it connects, so no other program writes its entry; user space only reads.
        let entry = unsafe { &mut *entry };
        if entry.state == FREE {
            kept_free(counters, -1);
        } else {
            add(&counters.handshakes_unended, 1);
        }
        return Some(entry);
    }
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value it would be copied to the stack first"
    )]
    let inserted = HANDSHAKES.insert(key, &EMPTY, 0).is_ok();
    let entry = HANDSHAKES.get_ptr_mut(key).filter(|_| inserted);
    if entry.is_none() {
        add(&counters.handshakes_full, 1);
    }
    // SAFETY: as above.
    entry.map(|entry| unsafe { &mut *entry })
}

/// The entry of a handshake that is under way.
#[inline(always)]
pub fn find(sk: Sock) -> Option<&'static mut Handshake> {
    let entry = HANDSHAKES.get_ptr_mut(sk.key())?;
    // SAFETY: as in `claim`; timers and incoming segments hold the socket's lock, too.
    let entry = unsafe { &mut *entry };
    (entry.state != FREE).then_some(entry)
}

/// How many free entries this CPU keeps: a plain addition, since being off by a few does no harm.
#[inline(always)]
fn kept_free(counters: &Counters, by: i64) {
    let kept = core::ptr::from_ref(&counters.handshakes_kept_free).cast_mut();
    // SAFETY: the cell lies in this CPU's map value; nobody but these programs writes it.
    unsafe { kept.write_volatile(kept.read_volatile().wrapping_add_signed(by)) };
}

/// Gives an entry up.
#[inline(always)]
pub fn release(counters: &Counters, sk: Sock, entry: &mut Handshake) {
    // An entry that is claimed on another CPU than it was released on makes this negative.
    if counters.handshakes_kept_free.cast_signed() < kernel::kept_free() {
        entry.state = FREE;
        kept_free(counters, 1);
    } else {
        let _ = HANDSHAKES.remove(sk.key());
    }
}
