//! What `cargo metadata` says about our crates, reduced to what the commands need.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// This repository as cargo sees it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One of our crates. Paths are relative to the root and use `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) manifest: String,
    /// The first file of its library and of each of its programs.
    pub(crate) roots: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// All but `default`.
    pub(crate) features: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Used by tests, benches and examples only.
    pub(crate) dev: bool,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let arguments = ["metadata", "--no-deps", "--format-version=1"];
        let json = process::read(process::cargo().args(arguments))?;
        Self::parse(&json).context("failed to read what `cargo metadata` printed")
    }

    fn parse(json: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(json)?;
        let root = PathBuf::from(text(&json, "workspace_root"));
        let packages = list(&json, "packages").iter().map(|it| package(it, &root)).collect();
        Ok(Self { target_dir: PathBuf::from(text(&json, "target_directory")), root, packages })
    }
}

impl Package {
    /// The folder of the crate, with a `/` at its end unless it is the root.
    pub(crate) fn folder(&self) -> &str {
        self.manifest.strip_suffix("Cargo.toml").unwrap_or_default()
    }
}

fn package(json: &Value, root: &Path) -> Package {
    Package {
        name: text(json, "name"),
        description: text(json, "description"),
        manifest: relative(root, &text(json, "manifest_path")),
        roots: list(json, "targets").iter().filter_map(|it| crate_root(it, root)).collect(),
        dependencies: list(json, "dependencies").iter().map(dependency).collect(),
        features: features(json),
    }
}

fn dependency(json: &Value) -> Dependency {
    Dependency { name: text(json, "name"), dev: json["kind"] == "dev" }
}

fn crate_root(target: &Value, root: &Path) -> Option<String> {
    let ships = |kind: &Value| ["lib", "proc-macro", "bin"].iter().any(|it| kind == it);
    let path = relative(root, &text(target, "src_path"));
    list(target, "kind").iter().any(ships).then_some(path)
}

fn features(json: &Value) -> Vec<String> {
    let all = json["features"].as_object().into_iter().flatten();
    all.map(|(name, _)| name.clone()).filter(|name| name != "default").collect()
}

fn relative(root: &Path, path: &str) -> String {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

fn list<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    json[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_with_paths_relative_to_the_root() {
        let json = r#"{ "workspace_root": "/r", "target_directory": "/t", "packages": [{
            "name": "orch-bus", "description": null, "manifest_path": "/r/orch-bus/Cargo.toml",
            "targets": [
                { "kind": ["lib"], "src_path": "/r/orch-bus/src/lib.rs" },
                { "kind": ["test"], "src_path": "/r/orch-bus/tests/it/main.rs" }
            ],
            "dependencies": [
                { "name": "orch-core", "kind": null },
                { "name": "orch-testkit", "kind": "dev" }
            ],
            "features": { "default": [], "mpmc": [] } }] }"#;
        let workspace = Workspace::parse(json).expect("this is metadata");
        let package = &workspace.packages[0];
        assert_eq!(package.folder(), "orch-bus/");
        assert_eq!(package.roots, ["orch-bus/src/lib.rs"]);
        assert_eq!(package.features, ["mpmc"]);
        assert_eq!(package.dependencies.iter().map(|it| it.dev).collect::<Vec<_>>(), [false, true]);
    }
}
