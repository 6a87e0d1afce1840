//! Builds the eBPF object that the binary carries, and records which revision it was built from.

use anyhow::Context as _;

/// What rust-toolchain.toml pins, for a build that rustup did not start.
const PINNED: &str = "1.95.0";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=../tcpwatch-common/src");
    println!("cargo:rerun-if-changed=../tcpwatch-ebpf/src");
    println!("cargo:rerun-if-env-changed=TCPWATCH_REVISION");
    let revision = std::env::var("TCPWATCH_REVISION").unwrap_or_else(|_| "unknown".into());
    println!("cargo:rustc-env=TCPWATCH_REVISION={revision}");

    // rustc's BPF target needs -Zbuild-std=core, so the build of the eBPF crate, and no other, may
    // use unstable features.
    // SAFETY: nothing else runs in this build script, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var("RUSTC_BOOTSTRAP", "1");
        // aya-build shows every line of the inner build as a warning: only its errors are wanted.
        std::env::set_var("CARGO_TERM_QUIET", "true");
    }
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| PINNED.into());
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "tcpwatch-ebpf",
            root_dir: "../tcpwatch-ebpf",
            ..Default::default()
        }],
        aya_build::Toolchain::Custom(&toolchain),
    )
    .context("the eBPF object was not built; `cargo xtask build` installs what that needs")
}
