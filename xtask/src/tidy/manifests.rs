//! What the `Cargo.toml` of each crate has to say, and what it must leave to the workspace.

use super::{Finding, Tree};
use crate::workspace::Package;

/// Keys of `[package]` that all crates share.
const SHARED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.packages.iter().flat_map(|package| check_package(tree, package)).collect()
}

/// The line of a key, or the first line.
pub(super) fn line_of(manifest: &str, key: &str) -> usize {
    let named = |entry: &Entry<'_>| entry.key.trim_end_matches(".workspace") == key;
    entries(manifest).iter().find(|entry| named(entry)).map_or(1, |entry| entry.line)
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Finding> {
    let entries = entries(tree.text(&package.manifest));
    let wrong = entries.iter().filter_map(|entry| Some((entry.line, objection(entry)?)));
    let lacks = missing(tree, package, &entries).into_iter().map(|message| (1, message.to_owned()));
    let all = wrong.chain(lacks);
    all.map(|(line, message)| Finding::mistake(&package.manifest, line, message)).collect()
}

fn missing(tree: &Tree, package: &Package, entries: &[Entry<'_>]) -> Vec<&'static str> {
    let has_readme = tree.files.contains_key(&format!("{}README.md", package.folder()));
    let has_lints = entries.iter().any(|it| it.section == "lints" && it.is_inherited());
    let demands = [
        (has_readme, "the crate has no README.md"),
        (has_lints, "the crate does not say `[lints] workspace = true`"),
        (!package.description.is_empty(), "the crate has no description"),
    ];
    demands.into_iter().filter(|(met, _)| !met).map(|(_, message)| message).collect()
}

fn objection(entry: &Entry<'_>) -> Option<String> {
    let Entry { section, key, .. } = *entry;
    if is_dependencies(section) && !entry.is_inherited() {
        return Some(format!("`{key}` must say `workspace = true`"));
    }
    if section == "package" && SHARED.contains(&key) {
        return Some(format!("`{key}` must be `{key}.workspace = true`"));
    }
    None
}

/// `[dependencies]` and its kin, with or without a platform, and the section of a single one.
fn is_dependencies(section: &str) -> bool {
    section.split('.').any(|word| word.ends_with("dependencies"))
}

/// One `key = value`, which may go over several lines.
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    value: String,
    /// The line of the key.
    line: usize,
}

impl Entry<'_> {
    /// Whether the value is left to the workspace: `x.workspace = true`, `x = { workspace = true }`.
    fn is_inherited(&self) -> bool {
        let value: String = self.value.split_whitespace().collect();
        let (is_plain, key) = (value == "true", self.key);
        let has_key = value.contains("{workspace=true") || value.contains(",workspace=true");
        has_key || (is_plain && (key == "workspace" || key.ends_with(".workspace")))
    }
}

/// Reads as much TOML as a manifest needs: sections, keys, values that brackets spread over lines.
fn entries(manifest: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut section = "";
    let mut depth = 0;
    for (line, text) in (1..).zip(manifest.lines()) {
        let text = without_comment(text).trim();
        if 0 < depth {
            let open = entries.last_mut().expect("a value that is open has begun");
            open.value.push_str(text);
            depth += nesting(text);
        } else if text.starts_with('[') {
            section = text.trim_matches(['[', ']', ' ']);
        } else if let Some((key, value)) = text.split_once('=') {
            entries.push(Entry { section, key: key.trim(), value: value.to_owned(), line });
            depth = nesting(value);
        }
    }
    entries
}

fn without_comment(line: &str) -> &str {
    let in_string = |at: usize| line[..at].matches('"').count() % 2 == 1;
    let comment = line.match_indices('#').map(|(at, _)| at).find(|&at| !in_string(at));
    comment.map_or(line, |at| &line[..at])
}

fn nesting(text: &str) -> i32 {
    text.chars().map(|it| i32::from("[{".contains(it)) - i32::from("]}".contains(it))).sum()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MANIFEST, clean, finds};

    #[test]
    fn a_version_in_a_crate_is_found() {
        let mut tree = clean();
        let lines = "serde = \"1\"\ntokio = { version = \"1\", features = [\"sync\"] }\n\
            [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n\
            [dev-dependencies.rand]\nversion = \"0.9\"\n";
        tree.put("orch-core/Cargo.toml", &format!("{MANIFEST}{lines}"));
        finds(
            &tree,
            &[
                "orch-core/Cargo.toml:9: `serde` must say `workspace = true`",
                "orch-core/Cargo.toml:10: `tokio` must say `workspace = true`",
                "orch-core/Cargo.toml:12: `libc` must say `workspace = true`",
                "orch-core/Cargo.toml:14: `version` must say `workspace = true`",
            ],
        );
    }

    #[test]
    fn each_way_to_inherit_a_version_is_allowed() {
        let mut tree = clean();
        let lines = "serde.workspace = true\nuuid = { workspace = true } # Ids.\n\
            tokio = { features = [\n    \"sync\", # Only this.\n], workspace = true }\n";
        tree.put("orch-core/Cargo.toml", &format!("{MANIFEST}{lines}"));
        finds(&tree, &[]);
    }

    #[test]
    fn a_key_of_the_package_that_all_crates_share_is_found() {
        let mut tree = clean();
        let own = MANIFEST.replace("version.workspace = true", "version = \"0.2.0\"");
        tree.put("orch-core/Cargo.toml", &own);
        finds(&tree, &["orch-core/Cargo.toml:3: `version` must be `version.workspace = true`"]);
    }

    #[test]
    fn a_crate_without_a_readme_is_found() {
        let mut tree = clean();
        tree.files.remove("orch-core/README.md");
        finds(&tree, &["orch-core/Cargo.toml:1: the crate has no README.md"]);
    }

    #[test]
    fn a_crate_without_the_lints_of_the_workspace_is_found() {
        let mut tree = clean();
        tree.put("orch-core/Cargo.toml", &MANIFEST.replace("[lints]", "[other]"));
        finds(
            &tree,
            &["orch-core/Cargo.toml:1: the crate does not say `[lints] workspace = true`"],
        );
    }

    #[test]
    fn a_crate_without_a_description_is_found() {
        let mut tree = clean();
        tree.packages[0].description.clear();
        finds(&tree, &["orch-core/Cargo.toml:1: the crate has no description"]);
    }
}
