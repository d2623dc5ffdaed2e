//! The arrows between crates: who may use whom, and which foreign crates a layer must never know.
//!
//! The table is the one of the design, row by row. A new arrow is a design decision: it gets its own
//! commit and a line in ARCHITECTURE.md.

use super::{Finding, Tree, manifests};
use crate::workspace::{Dependency, Package};

/// One row of the table.
struct Layer {
    name: &'static str,
    /// What it may use of ours, besides `orch-testkit` in its tests.
    ours: Ours,
    /// Foreign crates that it must never know, with all whose name begins with theirs and a `-`.
    never: &'static [&'static str],
}

enum Ours {
    Only(&'static [&'static str]),
    /// Whatever is not there for tests alone.
    All,
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "orch-core",
        ours: Ours::Only(&[]),
        never: &["tokio", "async-std", "mio", "rand", "fastrand", "chrono", "time", "rusqlite"],
    },
    Layer { name: "orch-bus", ours: Ours::Only(&["orch-core"]), never: &["rusqlite"] },
    Layer {
        name: "orch-policy",
        ours: Ours::Only(&["orch-core"]),
        never: &["tokio", "async-std", "mio", "chrono", "time", "rusqlite"],
    },
    Layer { name: "orch-connect", ours: Ours::Only(&["orch-core"]), never: &["rusqlite"] },
    // Of tokio it takes the channels between whoever commits and its writer, and nothing that runs.
    Layer { name: "orch-journal", ours: Ours::Only(&["orch-core"]), never: &["tokio-util", "mio"] },
    Layer {
        name: "orch-runtime",
        ours: Ours::Only(&["orch-core", "orch-bus", "orch-policy", "orch-connect", "orch-journal"]),
        never: &["rusqlite", "axum", "hyper", "reqwest"],
    },
    Layer {
        name: "orch-team",
        ours: Ours::Only(&["orch-runtime"]),
        never: &["clap", "indicatif", "crossterm", "axum", "hyper", "reqwest"],
    },
    Layer {
        name: "orch-serve",
        ours: Ours::Only(&["orch-runtime", "orch-team"]),
        never: &["tauri"],
    },
    Layer { name: "orch-cluster", ours: Ours::Only(&["orch-core", "orch-bus"]), never: &[] },
    Layer {
        name: "orch-tauri",
        ours: Ours::Only(&["orch-runtime", "orch-team"]),
        never: &["axum", "hyper", "reqwest"],
    },
    Layer {
        name: "orch-desktop",
        ours: Ours::Only(&["orch-runtime", "orch-tauri"]),
        never: &["axum", "hyper", "reqwest"],
    },
    Layer { name: "orch-cli", ours: Ours::All, never: &[] },
    Layer { name: TESTKIT, ours: Ours::All, never: &[] },
    // The others' frameworks are known to it alone.
    Layer { name: "orch-bench", ours: Ours::All, never: &[] },
    Layer { name: "xtask", ours: Ours::Only(&[]), never: &["tokio"] },
];

const TESTKIT: &str = "orch-testkit";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.packages.iter().flat_map(|package| check_package(tree, package)).collect()
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Finding> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == package.name) else {
        let message = "this crate has no row in the table of layers (xtask/src/tidy/layers.rs)";
        return vec![Finding::mistake(&package.manifest, 1, message)];
    };
    let wrong = |it: &Dependency| {
        let line = manifests::line_of(tree.text(&package.manifest), &it.name);
        layer.objection(it).map(|message| Finding::mistake(&package.manifest, line, message))
    };
    package.dependencies.iter().filter_map(wrong).collect()
}

impl Layer {
    fn objection(&self, dependency: &Dependency) -> Option<String> {
        let (Self { name, .. }, Dependency { name: other, dev }) = (self, dependency);
        if is_ours(other) {
            let allowed = self.may_use(other) || (*dev && other == TESTKIT);
            return (!allowed).then(|| format!("{name} must not use {other}"));
        }
        let knows = !dev && self.never.iter().any(|it| is_or_extends(other, it));
        knows.then(|| format!("{name} must never know {other}"))
    }

    fn may_use(&self, other: &str) -> bool {
        match self.ours {
            Ours::Only(names) => names.contains(&other),
            Ours::All => other != TESTKIT && other != "xtask",
        }
    }
}

fn is_ours(name: &str) -> bool {
    LAYERS.iter().any(|layer| layer.name == name) || name.starts_with("orch-")
}

/// Whether a crate is this one or belongs to it, as `tokio-util` belongs to `tokio`.
fn is_or_extends(name: &str, family: &str) -> bool {
    let rest = name.strip_prefix(family);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clean, finds};
    use super::*;

    fn objection(name: &str, other: &str, dev: bool) -> Option<String> {
        let layer = LAYERS.iter().find(|layer| layer.name == name).expect("it has a row");
        layer.objection(&Dependency { name: other.to_owned(), dev })
    }

    #[test]
    fn an_arrow_that_the_table_lacks_is_found_with_its_line() {
        let mut tree = clean();
        tree.depend("orch-bus", false);
        finds(&tree, &["orch-core/Cargo.toml:9: orch-core must not use orch-bus"]);
    }

    #[test]
    fn an_arrow_in_tests_alone_is_found_too() {
        assert!(objection("orch-bus", "orch-policy", true).is_some());
        assert!(objection("orch-bus", "orch-runtime", false).is_some());
        assert!(objection("orch-team", "orch-core", false).is_some());
        assert!(objection("xtask", "orch-core", true).is_some());
    }

    #[test]
    fn the_arrows_of_the_table_are_allowed() {
        assert_eq!(objection("orch-bus", "orch-core", false), None);
        assert_eq!(objection("orch-runtime", "orch-journal", false), None);
        assert_eq!(objection("orch-cli", "orch-serve", false), None);
        assert_eq!(objection("orch-testkit", "orch-runtime", false), None);
    }

    #[test]
    fn the_testkit_is_for_tests_alone() {
        assert_eq!(objection("orch-core", TESTKIT, true), None);
        assert!(objection("orch-core", TESTKIT, false).is_some());
        assert!(objection("orch-cli", TESTKIT, false).is_some());
    }

    #[test]
    fn a_foreign_crate_that_a_layer_must_never_know_is_found() {
        let mut tree = clean();
        tree.depend("tokio-util", false);
        finds(&tree, &["orch-core/Cargo.toml:9: orch-core must never know tokio-util"]);
        assert!(objection("orch-core", "rand", false).is_some());
        assert!(objection("orch-core", "chrono", false).is_some());
        assert!(objection("orch-policy", "tokio", false).is_some());
    }

    #[test]
    fn a_foreign_crate_that_only_sounds_alike_is_allowed() {
        assert_eq!(objection("orch-core", "timelike", false), None);
        assert_eq!(objection("orch-policy", "tokio", true), None);
        assert_eq!(objection("orch-bus", "tokio", false), None);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let mut tree = clean();
        tree.packages[0].name = "orch-extra".to_owned();
        finds(
            &tree,
            &["orch-core/Cargo.toml:1: this crate has no row in the table of layers \
               (xtask/src/tidy/layers.rs)"],
        );
    }
}
