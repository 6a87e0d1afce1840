//! The eBPF programs of tcpwatch: maps, the way to kernel memory, and one file a probe family.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// core::sync::atomic has no read-modify-write on a target without compare-and-swap; the
// instruction set has the addition all the same. Inline assembly for BPF is unstable, too.
#![cfg_attr(
    target_arch = "bpf",
    feature(asm_experimental_arch, core_intrinsics),
    expect(internal_features)
)]

#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod handshakes;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod probes;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The host sees this crate only to format and document it; it is built for the BPF target.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
