//! Builds what is shipped and what runs in the VMs: static binaries, the same bytes from the same sources.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    project::{self, MUSL},
    setup,
};

/// One line of `cargo --message-format=json`, as far as it is read here.
#[derive(Deserialize)]
struct Message {
    target: Target,
    /// Only artifacts that can be started have one.
    executable: Option<PathBuf>,
}

/// What an artifact was built from.
#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds `target/dist/tcpwatch` and returns its path.
///
/// # Errors
/// When cargo fails, which has then said why on standard error.
pub fn tcpwatch() -> Result<PathBuf> {
    let mut cargo = cargo("build");
    cargo.args(["--release", "--locked", "--package", "tcpwatch"]);
    let built = static_executable(&mut cargo, "tcpwatch")?;
    install(&built, &project::dist_binary())
}

/// Builds the kernel tests as one static binary, `target/dist/kernel-tests`, for this kernel and for those of the VMs.
///
/// # Errors
/// As for [`tcpwatch`].
pub fn kernel_tests() -> Result<PathBuf> {
    let mut cargo = cargo("test");
    cargo.args(["--release", "--locked", "--package", "tcpwatch"]);
    cargo.args(["--features", "kernel-tests", "--test", "kernel", "--no-run"]);
    let built = static_executable(&mut cargo, "kernel")?;
    install(&built, &project::target("dist/kernel-tests"))
}

/// A cargo command of this project.
///
/// The eBPF object is built by a cargo that the build script of tcpwatch starts with flags of its own, so what it has
/// to know goes through the build script's environment: to print only warnings and errors, which cargo would otherwise
/// repeat line by line as warnings of this crate, and to keep this machine's paths out of its debug information.
/// trim-paths is unstable, and the cargo in the build script the only one that may use unstable features.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = project::command("cargo");
    for (name, value) in [
        ("CARGO_TERM_QUIET", "true"),
        ("CARGO_UNSTABLE_TRIM_PATHS", "true"),
        ("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all"),
    ] {
        cargo.arg("--config").arg(format!("env.{name}=\"{value}\""));
    }
    cargo.arg(subcommand);
    cargo
}

/// Builds the binary and says where it is and how large.
pub fn report() -> Result<PathBuf> {
    let binary = tcpwatch()?;
    let size = fs::metadata(&binary)?.len();
    println!(
        "{} ({:.1} MiB, {})",
        project::shown(&binary),
        size as f64 / (1024.0 * 1024.0),
        revision()
    );
    Ok(binary)
}

/// Runs a cargo command for the musl target and returns the executable that it made of a target.
fn static_executable(cargo: &mut Command, name: &str) -> Result<PathBuf> {
    cargo
        .args(["--target", MUSL])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags()?)
        .env("TCPWATCH_REVISION", revision())
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let mut executable = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            // Messages of other kinds have other fields.
            if let Ok(message) = serde_json::from_str::<Message>(&line?)
                && message.target.name == name
            {
                executable = message.executable.or(executable);
            }
        }
    }
    if !child.wait()?.success() {
        bail!("the build failed; cargo has said why above");
    }
    executable.with_context(|| format!("cargo made no executable of {name}"))
}

/// The user's own flags and those that keep this machine's paths out of the binary, separated as
/// `CARGO_ENCODED_RUSTFLAGS` wants it, so that a path may contain spaces.
fn rustflags() -> Result<OsString> {
    const SEPARATOR: &str = "\x1f";
    let mut flags = match (
        env::var_os("CARGO_ENCODED_RUSTFLAGS"),
        env::var("RUSTFLAGS"),
    ) {
        (Some(encoded), _) => encoded,
        (None, Ok(flags)) => flags
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(SEPARATOR)
            .into(),
        (None, Err(_)) => OsString::new(),
    };
    // rustc applies the last prefix that fits, so the workspace, which may lie inside another, is last.
    for (from, to) in [
        (cargo_home()?, "/cargo"),
        (setup::sysroot()?.join("lib/rustlib/src/rust"), "/rustc"),
        (project::root(), "/tcpwatch"),
    ] {
        if !flags.is_empty() {
            flags.push(SEPARATOR);
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    Ok(flags)
}

/// Where cargo keeps the sources of the dependencies.
fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// What the binary says that it was built from: the commit, `-dirty` where files differ from it.
/// A build outside git keeps the caller's `TCPWATCH_REVISION`.
pub fn revision() -> String {
    let git = |args: &[&str]| project::output(project::command("git").args(args));
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return env::var("TCPWATCH_REVISION").unwrap_or_else(|_| "unknown".into());
    };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|status| !status.is_empty());
    let dirty = if changed { "-dirty" } else { "" };
    format!("{}{dirty}", commit.trim_end())
}

/// Copies a finished file to where users look for it. The rename lets a running daemon keep the file
/// that it was started from.
fn install(built: &Path, to: &Path) -> Result<PathBuf> {
    let folder = to.parent().context("a file in no folder")?;
    fs::create_dir_all(folder)?;
    let new = to.with_extension("new");
    fs::copy(built, &new)
        .and_then(|_| fs::rename(&new, to))
        .with_context(|| format!("cannot copy {} to {}", built.display(), to.display()))?;
    Ok(to.to_path_buf())
}
