//! The maps, and the only way to add to a counter.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use tcpwatch_common::{
    Meta, counters::Counters, handshake::Handshake, offsets::Offsets, switches::EXPORT_TRANSITIONS,
};

/// Read-only data that the daemon fills in before load.
#[unsafe(no_mangle)]
pub static OFFSETS: Global<Offsets> = Global::new(NO_OFFSETS);

const NO_OFFSETS: Offsets = Offsets::ZERO;

#[map]
pub static META: Array<Meta> = Array::with_max_entries(1, 0);

#[map]
pub static SWITCHES: Array<u32> = Array::with_max_entries(1, 0);

#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Keyed by the address of the `struct sock`: addresses are used again at once, so an entry goes
/// when its handshake ends and, should that have been missed, with the socket.
#[map]
pub static HANDSHAKES: HashMap<u64, Handshake> =
    HashMap::with_max_entries(tcpwatch_common::handshake::DEFAULT_CAPACITY, 0);

/// Rare records; 1 MiB holds some 5,000 of them.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Transitions, while somebody wants them.
#[map]
pub static TRANSITIONS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Whose SYN this CPU is looking at, for the functions that tcp_conn_request calls without its
/// socket: 0 for one that is not watched, else 1 more than the listener's family.
///
/// A SYN is handled from its beginning to its end with softirqs off, so no other comes between.
#[map]
pub static SYN_LISTENER: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's counters.
#[inline(always)]
pub fn counters() -> Option<&'static Counters> {
    COUNTERS.get(0)
}

/// Adds to a cell of [`counters`].
///
/// The addition is one atomic instruction: before 6.2 nothing keeps a softirq from running the
/// same tracing program on this CPU in the middle of it, and a plain load-add-store would lose one.
#[inline(always)]
pub fn add(cell: &u64, by: u64) {
    // SAFETY: the cell lies in a map value, which is 8-byte aligned and lives as long as the map;
    // the other writers are these programs, which all come through here.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
            core::ptr::from_ref(cell).cast_mut(),
            by,
        );
    }
}

/// The cell at `index` of a table whose length is a power of two; the index wraps round.
///
/// The mask is an instruction of its own, so that the verifier sees the bound: the compiler drops a
/// mask that it knows to change nothing, and the verifier of 6.1 loses the bound where two masked
/// parts are put together by OR.
#[inline(always)]
pub fn cell<const N: usize>(table: &[u64; N], mut index: usize) -> &u64 {
    const { assert!(N.is_power_of_two()) };
    // SAFETY: one AND between a register and a constant.
    unsafe {
        core::arch::asm!(
            "{index} &= {mask}",
            index = inout(reg) index,
            mask = const N - 1,
            options(pure, nomem, nostack)
        );
    }
    // SAFETY: the mask leaves an index below N.
    unsafe { table.get_unchecked(index) }
}

/// Whether somebody wants each transition as a record.
#[inline(always)]
pub fn export_transitions() -> bool {
    SWITCHES
        .get(0)
        .is_some_and(|switches| switches & EXPORT_TRANSITIONS != 0)
}
