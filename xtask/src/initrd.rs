//! The root file system of a VM: a cpio archive in the kernel's own `newc` format, written in memory, so that it
//! takes no root, no device nodes and no folder to collect the files in.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{modules::Module, project};

/// Types of inodes as `st_mode` has them.
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// Programs of this machine that go along with the libraries that they load, and what they are called there. busybox
/// is the rest, but its shell would take its own `ip` for the one on PATH, so another is `sh`.
const PROGRAMS: &[(&str, &str)] = &[
    ("busybox", "busybox"),
    ("dash", "sh"),
    ("ip", "ip"),
    ("tc", "tc"),
    ("nft", "nft"),
    ("ss", "ss"),
];

/// Tables that those programs look names up in, where this machine has them.
const TABLES: &[&str] = &[
    "/etc/protocols",
    "/etc/services",
    "/usr/lib/tc",
    "/usr/lib/x86_64-linux-gnu/tc",
    "/usr/share/iproute2",
    "/etc/iproute2",
];

/// What the first process of a VM does with the rest.
pub struct Contents<'a> {
    /// The script that the kernel starts.
    pub init: &'a str,
    /// The shell script that init starts once the machine is up.
    pub command: &'a str,
    /// The project's own static binaries, which go to /bin.
    pub binaries: &'a [PathBuf],
    /// Kernel modules in the order in which they are loaded.
    pub modules: &'a [Module],
}

/// Builds the archive.
///
/// # Errors
/// When a program is not installed or a file cannot be read.
pub fn build(contents: &Contents<'_>) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "var"] {
        archive.folder(Path::new(folder));
    }
    archive.file(Path::new("init"), 0o755, contents.init.as_bytes());
    archive.file(Path::new("command"), 0o755, contents.command.as_bytes());
    archive.file(
        Path::new("etc/passwd"),
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\n",
    );
    archive.file(Path::new("etc/group"), 0o644, b"root:x:0:\n");
    archive.file(
        Path::new("etc/hosts"),
        0o644,
        b"127.0.0.1 localhost\n::1 localhost\n",
    );
    for binary in contents.binaries {
        let name = binary.file_name().context("a binary without a name")?;
        archive.copy(binary, &Path::new("bin").join(name), 0o755)?;
    }
    for (name, there) in PROGRAMS {
        let program =
            project::find_program(name).with_context(|| format!("{name} is not installed"))?;
        for library in libraries(&program)? {
            archive.copy(&library, &library, 0o755)?;
        }
        archive.copy(&program, &Path::new("bin").join(there), 0o755)?;
    }
    for table in TABLES {
        archive.tree(Path::new(table))?;
    }
    for (number, module) in contents.modules.iter().enumerate() {
        let name = format!("modules/{number:03}-{}.ko", module.name);
        archive.file(Path::new(&name), 0o644, &module.bytes);
    }
    Ok(archive.finish())
}

/// The shared libraries of a program and its loader, as `ldd` names them; none of a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = project::command("ldd")
        .env("LC_ALL", "C")
        .arg(program)
        .output()
        .context("cannot start ldd")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        !printed.contains("not found"),
        "{} lacks a library: {printed}",
        program.display()
    );
    Ok(library_paths(&printed))
}

/// The absolute paths in the output of `ldd`.
fn library_paths(printed: &str) -> Vec<PathBuf> {
    let words = printed.split_whitespace();
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

/// A `newc` archive, as Documentation/driver-api/early-userspace/buffer-format.rst of the kernel has it.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    /// Names that are in it, without a leading slash.
    names: BTreeSet<PathBuf>,
}

impl Archive {
    /// Adds a folder and those that it lies in.
    fn folder(&mut self, path: &Path) {
        let folders: Vec<&Path> = path
            .ancestors()
            .filter(|path| path.parent().is_some())
            .collect();
        for folder in folders.into_iter().rev() {
            if self.names.insert(folder.to_path_buf()) {
                self.entry(folder, S_IFDIR | 0o755, b"");
            }
        }
    }

    /// Adds a file, unless there is one of that name.
    fn file(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let path = path.strip_prefix("/").unwrap_or(path);
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        if self.names.insert(path.to_path_buf()) {
            self.entry(path, S_IFREG | mode, content);
        }
    }

    /// Adds a file of this machine; a symbolic link becomes the file that it leads to.
    fn copy(&mut self, from: &Path, to: &Path, mode: u32) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(to, mode, &content);
        Ok(())
    }

    /// Adds a file or a folder of this machine with all that is in it, under the same name, if it is there.
    fn tree(&mut self, path: &Path) -> Result<()> {
        if path.is_file() {
            return self.copy(path, path, 0o644);
        }
        let Ok(entries) = fs::read_dir(path) else {
            return Ok(());
        };
        for entry in entries {
            self.tree(&entry?.path())?;
        }
        Ok(())
    }

    /// Writes one header of thirteen hexadecimal fields, the name and the content, each padded to four bytes.
    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_string_lossy();
        let inode = self.names.len();
        let links = 1;
        let size = content.len();
        let name_size = name.len() + 1;
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}\
             {0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, b"");
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: name, mode and content of each entry.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text =
                    std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).expect("text");
                u32::from_str_radix(text, 16).expect("a hexadecimal number") as usize
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = String::from_utf8_lossy(&bytes[110..109 + name_size]).into_owned();
            if name == "TRAILER!!!" {
                return entries;
            }
            let start = (110 + name_size).next_multiple_of(4);
            entries.push((name, mode as u32, bytes[start..start + size].to_vec()));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn folders_come_before_their_files_and_once() {
        let mut archive = Archive::default();
        archive.file(Path::new("/lib/x/libc.so"), 0o755, b"abcde");
        archive.file(Path::new("lib/x/libm.so"), 0o644, b"");
        archive.file(Path::new("lib/x/libc.so"), 0o755, b"another");
        let expected = [
            ("lib", 0o040_755, ""),
            ("lib/x", 0o040_755, ""),
            ("lib/x/libc.so", 0o100_755, "abcde"),
            ("lib/x/libm.so", 0o100_644, ""),
        ];
        let expected = expected
            .map(|(name, mode, content)| (name.to_owned(), mode, content.as_bytes().to_vec()));
        assert_eq!(entries(&archive.finish()), expected);
    }

    #[test]
    fn libraries_are_the_absolute_paths_of_ldd() {
        let printed = "\tlinux-vdso.so.1 (0x00007f)\n\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libmnl.so.0",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(library_paths(printed), expected.map(PathBuf::from));
        assert!(library_paths("\tnot a dynamic executable\n").is_empty());
    }
}
