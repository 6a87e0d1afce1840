//! Owns finding the network namespaces of the host, and whether they can be entered. Going there is
//! [`NamespaceThread`]'s.
//!
//! A namespace lives as long as a process is in it, a file in /run/netns names it, or a socket or a
//! descriptor of it is open. So nothing here keeps a handle: tcpwatch must not be why one lives on. One
//! that only descriptors, sockets or single threads (not their process) hold is not found.
#![forbid(unsafe_code)]

mod thread;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

pub use self::thread::{NamespaceThread, NetnsError, Target};
use super::capabilities::{self, CapabilitySet};

/// The name of the namespace that the host itself is in.
pub const HOST: &str = "host";

/// Where iproute2 keeps names; usually both are one directory.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The inode of its file in nsfs: the number in `net:[4026531840]`. It is unique while the namespace
    /// lives; the kernel gives it to a new one afterwards.
    pub inode: u32,
    /// [`HOST`], or the name under /run/netns.
    pub name: Option<String>,
    /// A file that leads to it: the one with its name, or `/proc/PID/ns/net` of a process in it.
    pub path: PathBuf,
}

impl Namespace {
    /// How to run a job there.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::Path(self.path.clone(), self.inode)
    }
}

/// What [`discover`] found, and what it could not look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Each namespace once, the host's first, then by inode.
    pub list: Vec<Namespace>,
    /// How many processes did not tell theirs: another user's, without CAP_SYS_PTRACE. A namespace that
    /// only such processes are in is missing from the list.
    pub unreadable: u32,
}

/// Finds every network namespace that a process is in or that has a name. It opens none of them and
/// enters none: it costs one stat() per process.
///
/// # Errors
/// When /proc is not there.
pub fn discover() -> io::Result<Namespaces> {
    let own = Path::new("/proc/self/ns/net");
    let own_file = fs::metadata(own)?;
    // /proc/1 is the host's only where the agent is in the host's pid namespace, which it should be.
    let init = Path::new("/proc/1/ns/net");
    let host = match inode_of(init) {
        Ok(inode) => Namespace {
            inode,
            name: Some(HOST.to_owned()),
            path: init.to_owned(),
        },
        Err(_) => Namespace {
            inode: inode(&own_file),
            name: Some(HOST.to_owned()),
            path: own.to_owned(),
        },
    };

    let mut others = BTreeMap::new();
    for name in names() {
        // What `ip netns add` leaves behind after a reboot is an ordinary file, not one of nsfs.
        let file = fs::metadata(&name.1)
            .ok()
            .filter(|file| file.dev() == own_file.dev());
        if let Some(inode) = file.as_ref().map(inode) {
            others.entry(inode).or_insert(Namespace {
                inode,
                name: Some(name.0),
                path: name.1,
            });
        }
    }

    let mut unreadable = 0;
    for pid in pids()? {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        match inode_of(&path) {
            Ok(inode) => {
                others.entry(inode).or_insert(Namespace {
                    inode,
                    name: None,
                    path,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unreadable += 1,
            // It is gone.
            Err(_) => {}
        }
    }

    others.remove(&host.inode);
    let list = std::iter::once(host).chain(others.into_values()).collect();
    Ok(Namespaces { list, unreadable })
}

/// The inode of the network namespace that this process (its first thread) is in.
///
/// # Errors
/// When /proc is not there.
pub fn own_inode() -> io::Result<u32> {
    inode_of(Path::new("/proc/self/ns/net"))
}

fn inode_of(path: &Path) -> io::Result<u32> {
    fs::metadata(path).map(|file| inode(&file))
}

/// The kernel numbers namespaces with 32 bits (`struct ns_common`, `inum`).
fn inode(file: &fs::Metadata) -> u32 {
    file.ino() as u32
}

/// The named files, sorted, so that of two names the same one is always chosen.
fn names() -> Vec<(String, PathBuf)> {
    let mut names: Vec<_> = NAMED
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .flatten()
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect();
    names.sort();
    names
}

/// The lowest first: the first process of a container lives longest.
fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok()),
        );
    }
    pids.sort_unstable();
    Ok(pids)
}

/// What the calling thread may enter, and so a [`NamespaceThread`] that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryPermission {
    /// Every namespace.
    All,
    /// Those with a name in /run/netns and those of processes of its own user.
    NamedOnly {
        /// What is missing for the others.
        reason: String,
    },
    /// Only the one that it is in.
    OwnOnly {
        /// What is missing.
        reason: String,
    },
}

/// Whether the calling thread can enter other network namespaces at all. setns() demands
/// CAP_SYS_ADMIN (`netns_install`), and opening another user's `/proc/PID/ns/net` CAP_SYS_PTRACE.
#[must_use]
pub fn entry_permission() -> EntryPermission {
    let missing = |capability| match capabilities::missing(capability) {
        Ok(names) if names.is_empty() => None,
        Ok(names) => Some(format!("this thread has no {}", names.join(", "))),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = missing(CapabilitySet::SYS_ADMIN) {
        let reason = format!(
            "cannot enter other network namespaces: {reason}; grant it, or only the agent's own namespace is watched in full"
        );
        return EntryPermission::OwnOnly { reason };
    }
    match missing(CapabilitySet::SYS_PTRACE) {
        None => EntryPermission::All,
        Some(reason) => EntryPermission::NamedOnly {
            reason: format!(
                "cannot enter the network namespaces of other users' processes unless they have a name in /run/netns: {reason}; grant it to see them all"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_found() {
        let found = discover().unwrap();
        let own = own_inode().unwrap();
        assert!(found.list.iter().any(|namespace| namespace.inode == own));
        assert_eq!(found.list[0].name.as_deref(), Some(HOST));
        let mut inodes: Vec<_> = found.list.iter().map(|namespace| namespace.inode).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), found.list.len(), "each namespace once");
    }

    #[test]
    fn a_thread_without_capabilities_is_told_what_it_lacks() {
        std::thread::spawn(|| {
            capabilities::keep_only(CapabilitySet::empty()).unwrap();
            let EntryPermission::OwnOnly { reason } = entry_permission() else {
                panic!("it has no capability")
            };
            assert!(reason.contains("CAP_SYS_ADMIN"), "{reason}");
        })
        .join()
        .unwrap();
    }
}
