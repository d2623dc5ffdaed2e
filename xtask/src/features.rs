//! The `features` step: every crate compiles alone, without default features and with each one.
//!
//! Alone matters even without features: a build of the whole workspace joins what all crates ask of
//! a dependency, and hides what one of them forgot to ask for.

use anyhow::{Context, Result};

use crate::process::{cargo, run as run_command};
use crate::tauri;
use crate::workspace::{Package, Workspace};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    // Those of the window have a step of their own, which installs what they need.
    let all = workspace.packages.iter();
    for package in all.filter(|package| !tauri::PACKAGES.contains(&package.name.as_str())) {
        for arguments in builds(package) {
            let about = || format!("{} does not compile alone", package.name);
            run_command(cargo().arg("check").args(arguments)).with_context(about)?;
        }
    }
    Ok(())
}

fn builds(package: &Package) -> Vec<Vec<&str>> {
    let bare = ["-p", package.name.as_str(), "--no-default-features"];
    let mut builds = vec![bare.to_vec()];
    builds.extend(package.features.iter().map(|it| [&bare[..], &["--features", it]].concat()));
    builds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_built_alone_and_so_is_none() {
        let features = vec!["json".to_owned(), "mpmc".to_owned()];
        let package = Package { name: "orch-bus".to_owned(), features, ..Package::default() };
        let builds: Vec<String> = builds(&package).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            builds,
            [
                "-p orch-bus --no-default-features",
                "-p orch-bus --no-default-features --features json",
                "-p orch-bus --no-default-features --features mpmc",
            ]
        );
    }
}
