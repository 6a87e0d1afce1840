//! The kernel modules that a VM loads, with what they depend on, in the order in which insmod takes them.
//!
//! A kernel package is only unpacked, so there is no modules.dep: depmod would write it at installation. What a module
//! depends on is therefore read off the module itself, where modinfo reads it as well.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::project;

/// What the kernel tests use: namespaces joined by veth, delay and loss by netem, packets refused by nftables, and the
/// diag interface.
pub const WANTED: &[&str] = &[
    "veth",
    "dummy",
    "sch_netem",
    "sch_fq",
    "nf_tables",
    "nft_counter",
    "nft_ct",
    "nft_limit",
    "nft_nat",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "inet_diag",
    "tcp_diag",
    "tcp_bbr",
];

/// A module, decompressed.
pub struct Module {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Returns the wanted modules of a kernel and their dependencies, dependencies first. A module that is not in the
/// folder is built in or unknown to that kernel, and left out.
pub fn in_load_order(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(folder, &mut files)?;
    let mut loaded = Vec::new();
    for name in wanted {
        add(name, &files, &mut loaded)?;
    }
    Ok(loaded)
}

/// Appends a module after its dependencies, unless it is there.
fn add(name: &str, files: &BTreeMap<String, PathBuf>, loaded: &mut Vec<Module>) -> Result<()> {
    if loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(file) = files.get(name) else {
        return Ok(());
    };
    let bytes = read(file)?;
    for dependency in dependencies(&bytes) {
        add(&dependency, files, loaded)?;
    }
    loaded.push(Module {
        name: name.to_owned(),
        bytes,
    });
    Ok(())
}

/// Maps the names of all modules below a folder, spelt with underscores, to their files.
fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(name.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}

/// Reads a module and unpacks it where it is compressed, as Debian's are since 6.12.
fn read(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|end| end.to_str()) {
        Some("ko") => {
            return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        }
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is compressed in an unknown way", file.display()),
    };
    let output = project::command(program)
        .arg("-dc")
        .arg(file)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", file.display());
    }
    Ok(output.stdout)
}

/// The names after `depends=` in a module's `.modinfo` section, whose strings end in NUL.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = &module[start + KEY.len()..];
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&value[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_off_modinfo() {
        let check = |module: &[u8], expected: &[&str]| assert_eq!(dependencies(module), expected);
        check(
            b"\x7fELF\0license=GPL\0depends=nf_tables,nf-reject_ipv4\0name=x\0",
            &["nf_tables", "nf_reject_ipv4"],
        );
        check(b"\x7fELF\0license=GPL\0depends=\0name=x\0", &[]);
        check(b"\x7fELF without a modinfo section", &[]);
    }

    #[test]
    fn dependencies_come_first_and_only_once() {
        let folder = std::env::temp_dir().join(format!("tcpwatch-modules-{}", std::process::id()));
        let net = folder.join("kernel/net");
        fs::create_dir_all(&net).expect("a folder");
        for (name, depends) in [("a", ""), ("b", "a"), ("c-d", "b,a")] {
            fs::write(
                net.join(format!("{name}.ko")),
                format!("\0depends={depends}\0"),
            )
            .expect("a file");
        }
        let modules = in_load_order(&folder, &["c_d", "a", "built_in"]).expect("modules");
        fs::remove_dir_all(&folder).expect("the folder can go");
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c_d"]);
    }
}
