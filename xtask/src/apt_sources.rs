//! Reads which Debian mirror this machine's apt configuration names, in both formats that apt knows.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};

/// Overrides the mirror that apt's configuration names; its security suites are then looked for beside it.
const MIRROR_VARIABLE: &str = "TCPWATCH_DEBIAN_MIRROR";

/// Debian's suites, by which a Debian source is told from another distribution's.
const SUITES: &[&str] = &[
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// Where packages come from.
#[derive(Debug, PartialEq)]
pub struct Mirrors {
    pub archive: String,
    pub security: String,
}

/// One source: a place and the suites read from there.
#[derive(Debug, PartialEq)]
struct Source {
    uri: String,
    suites: Vec<String>,
}

/// Reads the mirrors off the environment or off apt's configuration.
///
/// # Errors
/// When neither names a Debian archive.
pub fn mirrors() -> Result<Mirrors> {
    if let Ok(archive) = env::var(MIRROR_VARIABLE) {
        let archive = archive.trim_end_matches('/').to_owned();
        let security = format!("{archive}-security");
        return Ok(Mirrors { archive, security });
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|end| end.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => {}
        }
    }
    choose(&sources).with_context(|| {
        format!("apt's configuration names no Debian mirror; {MIRROR_VARIABLE} can name one")
    })
}

/// The first source of a plain Debian suite, and the first of a security suite.
fn choose(sources: &[Source]) -> Option<Mirrors> {
    let with = |wanted: &dyn Fn(&str) -> bool| {
        let found = sources
            .iter()
            .find(|source| source.suites.iter().any(|suite| wanted(suite)));
        found.map(|source| source.uri.trim_end_matches('/').to_owned())
    };
    let archive = with(&|suite| SUITES.contains(&suite))?;
    let security = with(&|suite| {
        let suite = suite
            .strip_suffix("-security")
            .or(suite.strip_suffix("/updates"));
        suite.is_some_and(|suite| SUITES.contains(&suite))
    });
    let security = security.unwrap_or_else(|| format!("{archive}-security"));
    Some(Mirrors { archive, security })
}

/// Reads `deb [options] URI SUITE COMPONENT...`.
fn one_line(line: &str) -> Option<Source> {
    let mut rest = line.trim().strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    rest = rest.trim_start();
    if let Some(options) = rest.strip_prefix('[') {
        rest = options.split_once(']')?.1;
    }
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
    })
}

/// Reads the stanzas of the deb822 format, one source for each of their URIs.
fn stanzas(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut sources = Vec::new();
    for stanza in without_comments.split(|line| line.trim().is_empty()) {
        let field = |name: &str| -> Vec<String> {
            let mut values = Vec::new();
            let mut inside = false;
            for line in stanza {
                let value = if line.starts_with([' ', '\t']) {
                    inside.then_some(*line)
                } else {
                    let (key, value) = line.split_once(':').unwrap_or((line, ""));
                    inside = key.eq_ignore_ascii_case(name);
                    inside.then_some(value)
                };
                values.extend(
                    value
                        .into_iter()
                        .flat_map(str::split_whitespace)
                        .map(str::to_owned),
                );
            }
            values
        };
        let off = field("Enabled")
            .iter()
            .any(|value| value.eq_ignore_ascii_case("no"));
        if off || !field("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        let suites = field("Suites");
        sources.extend(field("URIs").into_iter().map(|uri| Source {
            uri,
            suites: suites.clone(),
        }));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(archive: &str, security: &str) -> Option<Mirrors> {
        Some(Mirrors {
            archive: archive.into(),
            security: security.into(),
        })
    }

    #[test]
    fn one_line_sources_give_the_archive_and_its_security_part() {
        let text = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://src.example/debian bookworm main\n\
                    deb https://other.example/tools stable-tools main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main contrib\n\
                    deb http://mirror.example/debian-security bookworm-security main\n";
        let sources: Vec<Source> = text.lines().filter_map(one_line).collect();
        assert_eq!(
            choose(&sources),
            mirrors(
                "http://mirror.example/debian",
                "http://mirror.example/debian-security"
            )
        );
    }

    #[test]
    fn stanzas_give_the_same() {
        let text = "Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nEnabled: no\n\n\
                    Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian\nSuites: trixie\n trixie-updates\n\
                    Components: main\n\n\
                    Types: deb\nURIs: http://sec.example/debian-security\nSuites: trixie-security\n";
        assert_eq!(
            choose(&stanzas(text)),
            mirrors(
                "http://mirror.example/debian",
                "http://sec.example/debian-security"
            )
        );
    }

    #[test]
    fn a_machine_of_another_distribution_has_no_debian_mirror() {
        let source = one_line("deb http://archive.example/ubuntu noble main").expect("a source");
        assert_eq!(choose(&[source]), None);
    }

    #[test]
    fn without_a_security_source_it_is_looked_for_beside_the_archive() {
        let source = one_line("deb http://mirror.example/debian sid main").expect("a source");
        assert_eq!(
            choose(&[source]),
            mirrors(
                "http://mirror.example/debian",
                "http://mirror.example/debian-security"
            )
        );
    }
}
