//! Owns what /proc says about processes: name, cgroup, and which process holds a socket. It does not
//! remember, and it scans all processes only when asked to.
//!
//! Processes come and go while /proc is read: what is gone is left out, not an error.
#![forbid(unsafe_code)]

use std::{
    collections::{HashMap, HashSet},
    ffi::CStr,
    fs, io,
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat, readlinkat},
    io::Errno,
};

/// `/proc/PID/comm`: the name of a process, at most 15 bytes; `None` when it is gone.
///
/// # Errors
/// When /proc is there and refuses to tell, as with `hidepid`.
pub fn comm(pid: u32) -> io::Result<Option<String>> {
    let bytes = existing(fs::read(format!("/proc/{pid}/comm")))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()))
}

/// The cgroup that says most about a process: its path in the unified hierarchy, or, where that is the
/// root (cgroup v1 and hybrid hosts), in systemd's or in the deepest of the others. `None` when the
/// process is gone or the kernel has no cgroups.
///
/// # Errors
/// When /proc is there and refuses to tell.
pub fn cgroup_path(pid: u32) -> io::Result<Option<String>> {
    let bytes = existing(fs::read(format!("/proc/{pid}/cgroup")))?;
    Ok(bytes.and_then(|bytes| chosen_cgroup(&String::from_utf8_lossy(&bytes))))
}

/// Lines are `hierarchy:controllers:path`; only the path may contain further colons.
fn chosen_cgroup(text: &str) -> Option<String> {
    let lines = || {
        text.lines().filter_map(|line| {
            let (hierarchy, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            Some((hierarchy, controllers, path))
        })
    };
    let below_root = || lines().filter(|(_, _, path)| *path != "/");
    let unified = below_root().find(|(hierarchy, _, _)| *hierarchy == "0");
    let systemd = || below_root().find(|(_, controllers, _)| *controllers == "name=systemd");
    let deepest = || lines().max_by_key(|(_, _, path)| path.len());
    let (_, _, path) = unified.or_else(systemd).or_else(deepest)?;
    Some(path.to_owned())
}

/// `None` for a process that is gone: ENOENT before its file is opened, ESRCH while it is read.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOENT | Errno::SRCH)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its number, in the pid namespace of /proc.
    pub pid: u32,
    /// `/proc/PID/comm`; empty where it could not be read.
    pub comm: String,
}

/// What [`socket_owners`] found, and what it could not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOwners {
    /// The owner of each socket inode that was found. Of several processes that share a socket, it is
    /// the one that /proc lists first, usually the oldest.
    pub by_inode: HashMap<u64, Owner>,
    /// How many processes refused to be looked at: another user's, without CAP_SYS_PTRACE.
    pub denied: u32,
    /// How many were gone when their turn came.
    pub vanished: u32,
}

/// Which processes hold these sockets, found by reading the links of `/proc/*/fd`: about a microsecond
/// per open descriptor of the host, until all are found. Inode 0, which sockets without a file have, is
/// nobody's. A socket held only as `SCM_RIGHTS` in flight, or by the kernel, has no owner here.
///
/// # Errors
/// When /proc cannot be listed at all.
pub fn socket_owners(inodes: &HashSet<u64>) -> io::Result<SocketOwners> {
    let mut owners = SocketOwners::default();
    let mut wanted: HashSet<u64> = inodes.iter().copied().filter(|inode| *inode != 0).collect();
    if wanted.is_empty() {
        return Ok(owners);
    }
    for process in fs::read_dir("/proc")? {
        let Some(pid) = process?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let found = sockets_of(pid, &mut wanted);
        match found {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let comm = comm(pid).ok().flatten().unwrap_or_default();
                owners.by_inode.extend(found.into_iter().map(|inode| {
                    (
                        inode,
                        Owner {
                            pid,
                            comm: comm.clone(),
                        },
                    )
                }));
            }
            Err(Errno::NOENT | Errno::SRCH) => owners.vanished += 1,
            Err(_) => owners.denied += 1,
        }
        if wanted.is_empty() {
            break;
        }
    }
    Ok(owners)
}

/// The wanted sockets among the descriptors of a process; they are wanted no more.
fn sockets_of(pid: u32, wanted: &mut HashSet<u64>) -> Result<Vec<u64>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    let mut found = Vec::new();
    let mut target = Vec::new();
    for descriptor in Dir::read_from(&directory)? {
        let descriptor = descriptor?;
        let link = match readlinkat(&directory, descriptor.file_name(), target) {
            Ok(link) => link,
            // The directory may be another user's to list and not to follow.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(errno),
            // One that was closed meanwhile, `.` and `..` have no link to read.
            Err(_) => {
                target = Vec::new();
                continue;
            }
        };
        if let Some(inode) = socket_inode(&link)
            && wanted.remove(&inode)
        {
            found.push(inode);
            if wanted.is_empty() {
                break;
            }
        }
        target = link.into_bytes();
    }
    Ok(found)
}

/// The 81234 of `socket:[81234]`.
fn socket_inode(link: &CStr) -> Option<u64> {
    link.to_str()
        .ok()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process};

    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn the_cgroup_that_says_most_is_chosen() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(chosen_cgroup(text).as_deref(), expected, "{text}");
        };
        check(
            "0::/system.slice/app.service\n",
            Some("/system.slice/app.service"),
        );
        check("0::/\n", Some("/"));
        check(
            "12:cpu,cpuacct:/a\n1:name=systemd:/init.scope\n0::/\n",
            Some("/init.scope"),
        );
        check(
            "12:cpu:/docker/abc\n11:pids:/d\n1:name=systemd:/\n0::/\n",
            Some("/docker/abc"),
        );
        check("3:cpu:/deeper/still\n0::/unified\n", Some("/unified"));
        check("0::/with:colon/x\n", Some("/with:colon/x"));
        check("nonsense\n", None);
        check("", None);
    }

    #[test]
    fn only_socket_links_have_an_inode() {
        assert_eq!(socket_inode(c"socket:[81234]"), Some(81234));
        for link in [
            c"pipe:[81234]",
            c"socket:[x]",
            c"socket:[1",
            c"/tmp/socket:[1]",
            c"",
        ] {
            assert_eq!(socket_inode(link), None, "{link:?}");
        }
    }

    #[test]
    fn this_process_is_described() {
        let name = comm(process::id()).unwrap().unwrap();
        assert!(
            !name.is_empty() && name.len() <= 15 && !name.ends_with('\n'),
            "{name:?}"
        );
        assert_eq!(comm(u32::MAX).unwrap(), None);
        assert_eq!(cgroup_path(u32::MAX).unwrap(), None);
        assert!(
            cgroup_path(process::id())
                .unwrap()
                .is_none_or(|path| path.starts_with('/'))
        );
    }

    #[test]
    fn the_owner_of_a_socket_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = fstat(&listener).unwrap().st_ino;
        let owners = socket_owners(&HashSet::from([inode, 0])).unwrap();
        let owner = &owners.by_inode[&inode];
        assert_eq!(owner.pid, process::id());
        assert_eq!(Some(&owner.comm), comm(process::id()).unwrap().as_ref());
        assert_eq!(owners.by_inode.len(), 1);
    }

    #[test]
    fn nothing_is_scanned_for_nothing() {
        assert_eq!(
            socket_owners(&HashSet::from([0])).unwrap(),
            SocketOwners::default()
        );
    }
}
