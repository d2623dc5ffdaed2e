//! What orch-tauri needs beyond the other crates: system libraries, a display, npm.
//!
//! Its crates are no default members, so that nobody else needs any of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cargo, read, run};
use crate::workspace::Workspace;
use crate::{setup, test, tools};

/// The crates that need the packages below.
pub(crate) const PACKAGES: &[&str] = &["orch-tauri", "orch-desktop"];

/// The first is an option: recommended packages would triple what is downloaded.
const DEBIAN: &[&str] = &[
    "--no-install-recommends",
    "libwebkit2gtk-4.1-dev",
    "pkg-config",
    "webkit2gtk-driver",
    "xvfb",
];

/// The npm package; its client and the page of the example are made from it and committed.
const NPM: &str = "orch-tauri";
const MADE: &[&str] = &["orch-tauri/dist-js", "orch-tauri/examples/desktop/ui"];

/// Installs the Debian packages, unless all of them are there.
pub(crate) fn install() -> Result<()> {
    if is_installed() {
        return Ok(());
    }
    let by_hand = || format!("on Debian: apt-get install {}", DEBIAN.join(" "));
    setup::apt_install(DEBIAN).with_context(by_hand)
}

fn is_installed() -> bool {
    let library = read(Command::new("pkg-config").args(["--exists", "webkit2gtk-4.1"]));
    library.is_ok() && ["WebKitWebDriver", "Xvfb"].into_iter().all(has_program)
}

fn has_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Lints, documentation, tests without a display, the types for TypeScript, licences.
pub(crate) fn rust(workspace: &Workspace) -> Result<()> {
    install()?;
    run(with_packages("clippy").args(["--all-targets", "--", "-Dwarnings"]))?;
    run(cargo().env("RUSTDOCFLAGS", "-Dwarnings").args(["doc", "-p", "orch-tauri", "--no-deps"]))?;
    test::counted(with_packages("test").arg("--no-fail-fast"))?;
    let manifest = "orch-tauri/examples/desktop/Cargo.toml";
    let mut deny = tools::cargo_deny(workspace)?;
    let config = ["--config", "orch-tauri/deny.toml"];
    deny.args(["--offline", "--manifest-path", manifest]).args(config);
    run(deny.args(["check", "bans", "licenses", "sources"]))
}

/// The client and the page are what is committed, pass their tests, and work in a real window.
pub(crate) fn window(workspace: &Workspace) -> Result<()> {
    install()?;
    setup::provide(setup::FOR_PAGES)?;
    run(&mut npm(&["ci", "--no-audit", "--no-fund"]))?;
    run(&mut npm(&["run", "check"]))?;
    run(&mut npm(&["run", "build"]))?;
    run(Command::new("git").args(["diff", "--exit-code", "--"]).args(MADE))
        .context("what is committed was not made from its sources: run `npm run build`")?;
    run(&mut npm(&["test"]))?;
    run(npm(&["run", "window"]).env("ORCH_DESKTOP", desktop(workspace)?))
}

/// The program of the example. Built like the tests, so that nothing is compiled twice.
fn desktop(workspace: &Workspace) -> Result<PathBuf> {
    run(with_packages("test").arg("--no-run"))?;
    Ok(workspace.target_dir.join("debug").join("orch-desktop"))
}

fn with_packages(command: &str) -> Command {
    let mut cargo = cargo();
    cargo.arg(command).args(PACKAGES.iter().flat_map(|name| ["-p", name]));
    cargo.args(["--features", "orch-tauri/ts"]);
    cargo
}

fn npm(arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(Path::new(NPM)).args(arguments);
    npm
}
