//! The kernels of the VM matrix: which series there are, where their Debian packages come from, and the
//! cache that they are unpacked into.
//!
//! The packages are fetched with apt's own options and folders, through the mirror that this machine's apt
//! configuration names. The machine's sources, lists and packages stay as they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt_sources, project};

/// One row of the matrix.
#[derive(Debug)]
pub struct Series {
    /// What `--kernel` calls it, and the folder of its cache.
    pub name: &'static str,
    /// The Debian suite whose cloud kernel is of this series.
    suite: &'static str,
    /// The suite of its security updates, where it has one.
    security: Option<&'static str>,
}

/// Oldest first. The last one moves on with Debian's unstable suite.
pub const MATRIX: &[Series] = &[
    Series {
        name: "5.10",
        suite: "bullseye",
        security: Some("bullseye-security"),
    },
    Series {
        name: "6.1",
        suite: "bookworm",
        security: Some("bookworm-security"),
    },
    Series {
        name: "6.12",
        suite: "trixie",
        security: Some("trixie-security"),
    },
    Series {
        name: "7",
        suite: "sid",
        security: None,
    },
];

/// Always depends on the newest kernel image of its suite.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel that is unpacked and can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// The version of its package, such as `6.1.176-1`: more exact than its release.
    pub version: String,
    /// What `uname -r` says there.
    pub release: String,
    pub image: PathBuf,
    /// The folder of its modules, `.../lib/modules/RELEASE`.
    pub modules: PathBuf,
}

impl Series {
    /// Looks a series up by the name that `--kernel` takes.
    pub fn named(name: &str) -> Option<&'static Self> {
        MATRIX.iter().find(|series| series.name == name)
    }

    /// Returns a kernel of this series: any that the cache holds, else the newest of its suite.
    ///
    /// # Errors
    /// One line that says why none can be had.
    pub fn kernel(&self) -> Result<Kernel> {
        let cache = cache_folder()?.join(self.name);
        if let Some(kernel) = cached(&cache) {
            return Ok(kernel);
        }
        self.fetch(&cache)
            .with_context(|| format!("kernel {} cannot be fetched", self.name))?;
        cached(&cache).with_context(|| {
            let cache = cache.display();
            format!(
                "the packages of kernel {} hold no kernel: {cache}",
                self.name
            )
        })
    }

    /// Downloads and unpacks the newest kernel of the suite. The rename at the end lets two runs do this
    /// at the same time.
    fn fetch(&self, cache: &Path) -> Result<()> {
        let work = cache.join(format!(".fetch-{}", std::process::id()));
        let result = self.fetch_into(cache, &work);
        // What is left over is only a download; the next run starts afresh.
        let _ = fs::remove_dir_all(&work);
        result
    }

    fn fetch_into(&self, cache: &Path, work: &Path) -> Result<()> {
        let apt = Apt::new(work.join("apt"), &self.sources()?)?;
        // A suite without its security part still has a kernel; what counts is what can be resolved.
        let updated = apt.run("apt-get", &["update", "--error-on=any"]);
        let image = match apt.depends(META_PACKAGE, &["linux-image-"]) {
            Ok(images) if !images.is_empty() => images[0].clone(),
            resolved => {
                updated?;
                resolved?;
                bail!("{META_PACKAGE} of {} names no kernel", self.suite);
            }
        };
        // Since 7.x the image package is empty and depends on the two that hold the files.
        let mut packages = apt.depends(&image, &["linux-binary-", "linux-modules-"])?;
        if packages.is_empty() {
            packages.push(image);
        }
        let debs = work.join("debs");
        fs::create_dir_all(&debs)?;
        let mut download = apt.command("apt-get", &["download"]);
        project::output(download.args(&packages).current_dir(&debs))?;

        let unpacked = work.join("unpacked");
        let mut version = None;
        for deb in fs::read_dir(&debs)? {
            let deb = deb?.path();
            let name = deb.file_name().unwrap_or_default().to_string_lossy();
            version = name
                .split('_')
                .nth(1)
                .map(|version| version.replace("%3a", ":"));
            project::output(project::command("dpkg").arg("-x").arg(&deb).arg(&unpacked))?;
        }
        let version = version.context("nothing was downloaded")?;
        if !self.covers(&version) {
            bail!(
                "{} has kernel {version}, which is of another series",
                self.suite
            );
        }
        let place = cache.join(&version);
        fs::rename(&unpacked, &place)
            .or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) })
            .with_context(|| format!("cannot write {}", place.display()))
    }

    /// Whether a kernel version belongs to this series; the last one takes anything newer, too.
    fn covers(&self, version: &str) -> bool {
        match self.name.parse::<u32>() {
            Ok(oldest) => version
                .split('.')
                .next()
                .and_then(|major| major.parse::<u32>().ok())
                .is_some_and(|major| major >= oldest),
            Err(_) => version
                .strip_prefix(self.name)
                .is_some_and(|rest| rest.starts_with('.')),
        }
    }

    /// The sources.list of this series.
    fn sources(&self) -> Result<String> {
        let mirrors = apt_sources::mirrors()?;
        let keyring = ["gpg", "pgp"]
            .map(|end| format!("/usr/share/keyrings/debian-archive-keyring.{end}"))
            .into_iter()
            .find(|file| Path::new(file).exists())
            .context("the package debian-archive-keyring is not installed")?;
        let mut sources = format!(
            "deb [signed-by={keyring}] {} {} main\n",
            mirrors.archive, self.suite
        );
        if let Some(security) = self.security {
            sources += &format!(
                "deb [signed-by={keyring}] {} {security} main\n",
                mirrors.security
            );
        }
        Ok(sources)
    }
}

/// `tcpwatch/kernels` in the user's cache.
fn cache_folder() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(cache.join("tcpwatch/kernels"))
}

/// The kernel in a series' cache with the greatest name, if any is complete.
fn cached(cache: &Path) -> Option<Kernel> {
    let mut folders: Vec<PathBuf> = fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            !path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
        .collect();
    folders.sort();
    folders
        .iter()
        .rev()
        .find_map(|folder| unpacked_kernel(folder))
}

/// Finds the image and the modules in unpacked packages: `boot/vmlinuz-RELEASE` beside `lib/modules` up to 6.x,
/// `usr/lib/modules/RELEASE/vmlinuz` since.
fn unpacked_kernel(folder: &Path) -> Option<Kernel> {
    let version = folder.file_name()?.to_string_lossy().into_owned();
    let modules = ["lib/modules", "usr/lib/modules"]
        .iter()
        .find_map(|place| fs::read_dir(folder.join(place)).ok()?.next()?.ok())?
        .path();
    let release = modules.file_name()?.to_string_lossy().into_owned();
    let image = [
        folder.join("boot").join(format!("vmlinuz-{release}")),
        modules.join("vmlinuz"),
    ]
    .into_iter()
    .find(|image| image.is_file())?;
    Some(Kernel {
        version,
        release,
        image,
        modules,
    })
}

/// apt with a sources list, lists and a cache of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(folder: PathBuf, sources: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot write {}", folder.display()))?;
        }
        let list = folder.join("sources.list");
        fs::write(&list, sources)?;
        let options = [
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=-".into(),
            format!("Dir::State::Lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "Dir::State::status=/dev/null".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            // The index of a suite that is no longer maintained stays as old as it is.
            "Acquire::Check-Valid-Until=false".into(),
        ];
        Ok(Self {
            options: options
                .into_iter()
                .flat_map(|option| ["-o".into(), option])
                .collect(),
        })
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = project::command(program);
        command
            .env("LC_ALL", "C")
            .args(&self.options)
            .arg("-qq")
            .args(args);
        command
    }

    /// Runs apt; of what it says in a failure, the first error is enough.
    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self.command(program, args).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| line.starts_with("E:"));
            bail!(
                "{program}: {}",
                first.unwrap_or("failed without an error").trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The packages that a package depends on and whose names begin with one of `prefixes`.
    fn depends(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let printed = self.run("apt-cache", &["depends", package])?;
        Ok(printed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_covers_its_own_versions_and_the_last_one_all_newer_ones() {
        let check = |series: &str, version: &str, expected: bool| {
            let series = Series::named(series).expect("a series of the matrix");
            assert_eq!(
                series.covers(version),
                expected,
                "{} {version}",
                series.name
            );
        };
        check("5.10", "5.10.262-1", true);
        check("6.1", "6.1.176-1", true);
        check("6.1", "6.12.107-1", false);
        check("6.12", "6.12.107-1", true);
        check("7", "7.2.13-1", true);
        check("7", "8.0.1-1", true);
        check("7", "6.12.107-1", false);
    }
}
