//! Sees that the programs which tests call are there, and installs them on Debian where we may.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// A program, and the Debian package that has it.
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
}

/// What the tests of the workspace call. Builds need `cc`, scripted agents the others.
pub(crate) const FOR_TESTS: &[Need] = &[
    Need { program: "cc", package: "build-essential" },
    Need { program: "git", package: "git" },
    Need { program: "python3", package: "python3" },
    Need { program: "sh", package: "dash" },
    Need { program: "awk", package: "gawk" },
    Need { program: "sort", package: "coreutils" },
    Need { program: "setsid", package: "util-linux" },
    Need { program: "strace", package: "strace" },
];

pub(crate) const PYTHON: &[Need] = &[Need { program: "python3", package: "python3" }];

/// What the window test of orch-tauri calls, besides what `tauri-deps` installs.
pub(crate) const FOR_PAGES: &[Need] =
    &[Need { program: "node", package: "nodejs" }, Need { program: "npm", package: "npm" }];

/// What counts instructions.
pub(crate) const FOR_COUNTS: &[Need] = &[Need { program: "valgrind", package: "valgrind" }];

/// Returns once all programs are there; an error says which are not, and how to get them.
pub(crate) fn provide(needs: &[Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    apt_install(&packages).with_context(|| explain(&missing))?;
    ensure!(self::missing(needs).is_empty(), explain(&missing));
    Ok(())
}

/// Installs Debian packages, if this is Debian and we may.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    ensure!(Path::new("/etc/debian_version").exists(), "this is not Debian, install them by hand");
    let prefix = root_prefix()?;
    process::run(as_root(prefix).args(["apt-get", "update", "--quiet"]))?;
    process::run(as_root(prefix).args(["apt-get", "install", "--quiet", "--yes"]).args(packages))
}

/// The words that make a command run as root.
fn root_prefix() -> Result<&'static [&'static str]> {
    if process::read(Command::new("id").arg("-u"))?.trim() == "0" {
        return Ok(&["env"]);
    }
    if process::read(Command::new("sudo").args(["-n", "true"])).is_ok() {
        return Ok(&["sudo", "-n", "env"]);
    }
    bail!("only root can install packages, and `sudo -n` does not work")
}

fn as_root(prefix: &[&str]) -> Command {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg("DEBIAN_FRONTEND=noninteractive");
    command
}

fn missing(needs: &[Need]) -> Vec<&Need> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    needs.iter().filter(|need| !is_on(&path, need.program)).collect()
}

fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

fn explain(missing: &[&Need]) -> String {
    let words = |word: fn(&Need) -> &str| {
        missing.iter().map(|need| word(need)).collect::<Vec<_>>().join(" ")
    };
    let (programs, packages) = (words(|need| need.program), words(|need| need.package));
    format!("missing programs: {programs}; on Debian: apt-get install {packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_each_folder_of_the_path() {
        let path = std::env::join_paths(["/nowhere", "/bin"]).expect("no folder has a colon");
        assert!(is_on(&path, "sh"));
        assert!(!is_on(&path, "no-such-program"));
        assert!(!is_on(OsStr::new("/nowhere"), "sh"));
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_installs_it() {
        let missing: Vec<&Need> = FOR_TESTS.iter().take(2).collect();
        let said = explain(&missing);
        assert_eq!(
            said,
            "missing programs: cc git; on Debian: apt-get install build-essential git"
        );
    }
}
