//! `cargo xtask tidy`: the rules of the repository itself, as `file:line: message`.
//!
//! Reads the files that git knows or would add, so that it finds the same in a clean clone. Each
//! rule is a function from the tree to its findings, with a test that plants the mistake.

mod code;
mod layers;
mod manifests;
mod sources;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::workspace::{Package, Workspace};

/// All that the rules look at.
struct Tree {
    packages: Vec<Package>,
    /// Text by path from the root. Files that are not text are left out.
    files: BTreeMap<String, String>,
}

/// One mistake, or a warning.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
    is_warning: bool,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(workspace)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    let mistakes = findings.iter().filter(|finding| !finding.is_warning).count();
    ensure!(mistakes == 0, "tidy: {mistakes} mistakes");
    println!("tidy: {} files, no mistake", tree.files.len());
    Ok(())
}

fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [layers::check, manifests::check, sources::check, words::check];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort();
    findings
}

impl Tree {
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(&workspace.root);
        let paths = process::read(git.args(["ls-files", "-co", "--exclude-standard", "-z"]))?;
        let mut files = BTreeMap::new();
        for path in paths.split_terminator('\0') {
            if let Some(text) = read_text(&workspace.root.join(path))? {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Self { packages: workspace.packages.clone(), files })
    }

    /// The text of a file, or nothing.
    fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// The sources in Rust, by path.
    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(|(path, _)| path.ends_with(".rs"))
    }
}

/// `None` if the file is gone, is no file (a link to a folder), or is not text.
fn read_text(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(String::from_utf8(bytes).ok())
}

impl Finding {
    fn mistake(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), is_warning: false }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::mistake(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, message, is_warning } = self;
        write!(f, "{path}:{line}: {}{message}", if *is_warning { "warning: " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    pub(super) const MANIFEST: &str = "[package]\nname = \"orch-core\"\nversion.workspace = true\n\
        \n[lints]\nworkspace = true\n\n[dependencies]\n";

    /// A tree with one crate, in which no rule finds anything.
    pub(super) fn clean() -> Tree {
        let package = Package {
            name: "orch-core".to_owned(),
            description: "Types".to_owned(),
            manifest: "orch-core/Cargo.toml".to_owned(),
            roots: vec!["orch-core/src/lib.rs".to_owned()],
            ..Package::default()
        };
        let mut tree = Tree { packages: vec![package], files: BTreeMap::new() };
        tree.put("orch-core/Cargo.toml", MANIFEST);
        tree.put("orch-core/README.md", "# orch-core\n");
        tree.put("orch-core/src/lib.rs", "//! Types.\n\n#![forbid(unsafe_code)]\n");
        tree
    }

    impl Tree {
        pub(super) fn put(&mut self, path: &str, text: &str) {
            self.files.insert(path.to_owned(), text.to_owned());
        }

        /// Adds a dependency to the only crate.
        pub(super) fn depend(&mut self, name: &str, dev: bool) {
            self.packages[0].dependencies.push(Dependency { name: name.to_owned(), dev });
            let section = if dev { "[dev-dependencies]\n" } else { "" };
            let manifest = &self.packages[0].manifest;
            let text = format!("{}{section}{name}.workspace = true\n", self.text(manifest));
            self.files.insert(manifest.clone(), text);
        }
    }

    /// Checks that a tree has these findings and no others.
    pub(super) fn finds(tree: &Tree, expected: &[&str]) {
        let found: Vec<String> = check(tree).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_clean_tree_has_no_findings() {
        finds(&clean(), &[]);
    }

    #[test]
    fn a_mistake_fails_and_a_warning_does_not() {
        assert_eq!(Finding::mistake("a.rs", 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Finding::warning("a.rs", 3, "long").to_string(), "a.rs:3: warning: long");
        assert!(Finding::warning("a.rs", 3, "long").is_warning);
    }
}
