//! Where the project's files are and how a command is started; what is started is the other files' business.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The target of the binary that is shipped: static, so that it runs on any Linux.
pub const MUSL: &str = "x86_64-unknown-linux-musl";

/// The folder that holds the workspace's Cargo.toml.
///
/// Cargo names it at run time, so that a moved checkout works; the path of the build is the fallback.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// A file below the workspace's own `target`, whatever `CARGO_TARGET_DIR` says: .cargo/config.toml
/// names the BPF linker there.
pub fn target(path: &str) -> PathBuf {
    root().join("target").join(path)
}

/// The binary that `cargo xtask build` leaves behind.
pub fn dist_binary() -> PathBuf {
    target("dist/tcpwatch")
}

/// A path as a reader wants it: relative to the workspace where it lies inside.
pub fn shown(path: &Path) -> String {
    let root = root();
    path.strip_prefix(&root)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// A command that starts in the workspace, without a terminal to read from.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end and turns a failure into an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; its standard error goes into the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line of a command, for messages; the settings that all cargo commands share are left out.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    let mut args = command.get_args().map(OsStr::to_string_lossy);
    while let Some(word) = args.next() {
        if word == "--config" {
            args.next();
        } else {
            words.push(word);
        }
    }
    format!("`{}`", words.join(" "))
}

/// Finds a program on PATH or in the folders of system programs, which a user's PATH may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether this process runs as root: the owner of /proc/self is its effective user.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
