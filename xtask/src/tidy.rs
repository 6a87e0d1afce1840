//! The rules of the house that no compiler checks: file headers, file sizes, links, and nothing of the machine that a
//! file was written on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::project;

/// Past this many lines a file has more than one subject.
const MOST_LINES: usize = 500;

/// Folders of the machines that the project is developed on; put together here, so that this file may name them.
const MACHINE_PATHS: &[&str] = &[concat!("/", "work/"), concat!("/", "root/")];

/// What a reader looks for beside the README.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
];

/// Checks every file of the project and prints what it finds.
///
/// # Errors
/// When there is a finding.
pub fn check() -> Result<()> {
    let root = project::root();
    let files = files()?;
    let mut findings = missing_documents(&files);
    for file in &files {
        // What is not text, such as a picture, has no lines to check.
        if let Ok(text) = fs::read_to_string(root.join(file)) {
            findings.extend(in_file(&root, file, &text));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("{} files, nothing to tidy", files.len());
            Ok(())
        }
        count => bail!("{count} findings"),
    }
}

/// The files that git tracks or would track, relative to the workspace.
fn files() -> Result<Vec<PathBuf>> {
    let list = project::output(project::command("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]));
    let list = list.context("tidy asks git for the files of the project")?;
    let names = list.split('\0').filter(|name| !name.is_empty());
    // A file that was just deleted is still in git's list.
    let root = project::root();
    let mut files: Vec<PathBuf> = names
        .map(PathBuf::from)
        .filter(|file| root.join(file).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn missing_documents(files: &[PathBuf]) -> Vec<String> {
    let has =
        |wanted: &dyn Fn(&str) -> bool| files.iter().any(|file| file.to_str().is_some_and(wanted));
    let mut findings: Vec<String> = DOCUMENTS
        .iter()
        .filter(|name| !has(&|file| file == **name))
        .map(|name| format!("{name}: is missing"))
        .collect();
    if !has(&|file| file.starts_with("LICENSE-")) {
        findings.push("LICENSE-*: is missing".into());
    }
    findings
}

/// All findings in one file, each with its line where it has one.
fn in_file(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let shown = file.display();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for path in MACHINE_PATHS.iter().filter(|path| line.contains(**path)) {
            findings.push(format!(
                "{shown}:{number}: names {path}, a folder of one machine"
            ));
        }
    }
    match file.extension().and_then(|end| end.to_str()) {
        Some("rs") => {
            if !text.starts_with("//!") {
                findings.push(format!(
                    "{shown}:1: does not begin with `//!` and what the file owns"
                ));
            }
            let lines = text.lines().count();
            if lines > MOST_LINES {
                findings.push(format!(
                    "{shown}: has {lines} lines, more than {MOST_LINES}: split it by subject"
                ));
            }
        }
        Some("md") => {
            let folder = root.join(file.parent().unwrap_or(Path::new("")));
            for (number, target) in relative_links(text) {
                if !folder.join(&target).exists() {
                    findings.push(format!(
                        "{shown}:{number}: links to {target}, which does not exist"
                    ));
                }
            }
        }
        _ => {}
    }
    findings
}

/// The links of a Markdown text that lead to another file, without their anchors, each with its line.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every other part between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        let definition = prose
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
            .and_then(|(_, target)| target.split_whitespace().next());
        for target in inline.chain(definition) {
            let target = target.trim_start_matches('<').trim_end_matches('>');
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains(':') {
                links.push((number, file.to_owned()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_in_prose_only() {
        let text = "See [a](docs/a.md#part), [b](https://example.org/b) and [c](#here).\n\
                    `[d](d.md)` is code, [`e`](e.md \"title\") is not.\n\
                    ```\n[f](f.md)\n```\n\
                    [g]: ../g.md\n";
        let links = relative_links(text);
        let expected = [(1, "docs/a.md"), (2, "e.md"), (6, "../g.md")];
        assert_eq!(
            links,
            expected.map(|(line, target)| (line, target.to_owned()))
        );
    }

    #[test]
    fn a_source_file_needs_its_header_and_a_bound() {
        let check = |name: &str, text: &str, expected: &[&str]| {
            let findings = in_file(Path::new("/"), Path::new(name), text);
            assert_eq!(findings.len(), expected.len(), "{findings:?}");
            for (finding, expected) in findings.iter().zip(expected) {
                assert!(finding.contains(expected), "{finding}");
            }
        };
        check("a.rs", "//! A.\nfn a() {}\n", &[]);
        check("a.rs", "fn a() {}\n", &["does not begin with"]);
        check(
            "a.rs",
            &format!("//! A.\n{}", "\n".repeat(500)),
            &["has 501 lines"],
        );
        check(
            "a.toml",
            concat!("path = \"/", "work/a\"\n"),
            &["a.toml:1: names /"],
        );
        check(
            "a.md",
            "[x](no-such-file-here.md)\n",
            &["links to no-such-file-here.md"],
        );
    }
}
