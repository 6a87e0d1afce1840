//! Installs what a build or a test run lacks, and says nothing where nothing is lacking.
//!
//! rust-toolchain.toml names the components, but rustup ignores them silently where
//! `RUSTUP_AUTO_INSTALL=0` is set, so what is there is read off the toolchain's own folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::project::{self, MUSL};

/// The version that covers the LLVM of the pinned Rust; see rust-toolchain.toml.
const BPF_LINKER: &str = "0.10.3";

/// Components of the toolchain, each with a file that only it installs.
const COMPONENTS: &[(&str, &str)] = &[
    ("rust-src", "lib/rustlib/src/rust/library/core/Cargo.toml"),
    ("rustfmt", "bin/rustfmt"),
    ("clippy", "bin/cargo-clippy"),
];

/// Something a test run starts or reads, with the Debian package that carries it.
struct Tool {
    package: &'static str,
    program: &'static str,
    /// Only the VM matrix needs it.
    vms_only: bool,
}

const TOOLS: &[Tool] = &[
    tool("iproute2", "ip", false),
    tool("iproute2", "tc", false),
    tool("nftables", "nft", false),
    tool("qemu-system-x86", "qemu-system-x86_64", true),
    tool("busybox-static", "busybox", true),
    tool("xz-utils", "xz", true),
];

const fn tool(package: &'static str, program: &'static str, vms_only: bool) -> Tool {
    Tool {
        package,
        program,
        vms_only,
    }
}

/// Makes the toolchain complete: components, the musl target and the BPF linker.
pub fn build() -> Result<()> {
    let sysroot = sysroot()?;
    for (component, proof) in COMPONENTS {
        if !sysroot.join(proof).exists() {
            rustup("component", component)?;
        }
    }
    if !sysroot.join("lib/rustlib").join(MUSL).exists() {
        rustup("target", MUSL)?;
    }
    bpf_linker()
}

/// Makes the machine ready for the tests: the programs that kernel tests start and, with `vms`,
/// those that boot other kernels.
pub fn tests(vms: bool) -> Result<()> {
    build()?;
    let mut missing: Vec<&str> = TOOLS
        .iter()
        .filter(|tool| vms || !tool.vms_only)
        .filter(|tool| project::find_program(tool.program).is_none())
        .map(|tool| tool.package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !project::is_root() {
        bail!("the tests need these Debian packages, which only root can install: {names}");
    }
    println!("setup: installing the Debian packages {names}");
    debian_packages(&missing)
}

/// Installs Debian packages, with fresh lists where the ones at hand do not do.
fn debian_packages(packages: &[&str]) -> Result<()> {
    let install = || {
        project::output(
            project::command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["install", "--yes", "--no-install-recommends", "-qq"])
                .args(packages),
        )
    };
    if install().is_ok() {
        return Ok(());
    }
    project::output(project::command("apt-get").args(["update", "-qq"]))
        .and_then(|_| install())
        .map(drop)
        .with_context(|| format!("cannot install the Debian packages {}", packages.join(" ")))
}

/// The folder of the toolchain that this project builds with.
pub fn sysroot() -> Result<PathBuf> {
    let printed = project::output(project::command("rustc").args(["--print", "sysroot"]))?;
    Ok(Path::new(printed.trim_end()).to_path_buf())
}

/// Adds a component or a target to the pinned toolchain.
fn rustup(kind: &str, name: &str) -> Result<()> {
    println!("setup: installing {name} (rustup {kind} add {name})");
    project::output(project::command("rustup").args([kind, "add", name]))
        .map(drop)
        .with_context(|| format!("this toolchain lacks {name} and rustup cannot add it"))
}

/// Installs the BPF linker under target/tools, where .cargo/config.toml looks for it.
fn bpf_linker() -> Result<()> {
    let program = project::target("tools/bin/bpf-linker");
    let wanted = format!("bpf-linker {BPF_LINKER}");
    let installed = project::output(project::command(&program).arg("--version"));
    if installed.is_ok_and(|version| version.trim_end() == wanted) {
        return Ok(());
    }
    println!("setup: installing {wanted} into target/tools (cargo install, about a minute)");
    project::run(
        project::command("cargo")
            .args(["install", "--quiet", "--locked", "--force", "--root"])
            .arg(project::target("tools"))
            .arg(format!("bpf-linker@{BPF_LINKER}")),
    )
}
