//! From a cgroup's id, as the programs record it, to its path: the id is the inode number of its
//! directory in the unified hierarchy.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The tree is walked again for an unknown id, but not more often than this.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// The paths of the unified hierarchy by id.
#[derive(Debug)]
pub struct Cgroups {
    root: Option<PathBuf>,
    paths: HashMap<u64, String>,
    walked: Option<Instant>,
}

impl Cgroups {
    /// Finds the mount of the unified hierarchy; without one every id is unknown.
    #[must_use]
    pub fn new() -> Self {
        let root = fs::read_to_string("/proc/self/mountinfo")
            .ok()
            .and_then(|mounts| unified_mount(&mounts));
        Self {
            root,
            paths: HashMap::new(),
            walked: None,
        }
    }

    /// The path of the cgroup with that id, as /proc/PID/cgroup writes it.
    pub fn path(&mut self, id: u64) -> Option<String> {
        if let Some(path) = self.paths.get(&id) {
            return Some(path.clone());
        }
        let recently = self
            .walked
            .is_some_and(|walked| walked.elapsed() < AT_MOST_EVERY);
        if !recently {
            self.walk();
        }
        self.paths.get(&id).cloned()
    }

    fn walk(&mut self) {
        self.walked = Some(Instant::now());
        self.paths.clear();
        let Some(root) = self.root.clone() else {
            return;
        };
        let mut waiting = vec![root.clone()];
        while let Some(folder) = waiting.pop() {
            // A cgroup may be removed while the tree is walked.
            let Ok(inode) = fs::metadata(&folder).map(|folder| folder.ino()) else {
                continue;
            };
            self.paths.insert(inode, shown(&root, &folder));
            waiting.extend(children(&folder).unwrap_or_default());
        }
    }
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::new()
    }
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn shown(root: &Path, folder: &Path) -> String {
    let below = folder.strip_prefix(root).unwrap_or(folder);
    format!("/{}", below.display())
}

fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next() == Some("cgroup2"))
            .then(|| before.split(' ').nth(4).map(PathBuf::from))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_beside_the_old_ones() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(unified_mount(line), expected.map(PathBuf::from), "{line}");
        };
        check(
            "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            Some("/sys/fs/cgroup"),
        );
        check(
            "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
            None,
        );
        check("", None);
    }

    #[test]
    fn paths_are_shown_from_the_root_on() {
        let root = Path::new("/sys/fs/cgroup");
        assert_eq!(shown(root, root), "/");
        assert_eq!(
            shown(root, &root.join("a.slice/b.service")),
            "/a.slice/b.service"
        );
    }
}
