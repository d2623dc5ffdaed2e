//! Automation of this repository: `cargo xtask test`, `ci`, `deep`, `bench`, `instructions`,
//! `tauri-deps`, `tidy`.
//!
//! One file for each command. Uses nothing of ours, so that it runs when the rest does not compile.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod deep;
mod features;
mod instructions;
mod models;
mod process;
mod setup;
mod steps;
mod tauri;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((command, rest)) = args.split_first() else {
        print!("{}", help());
        return Ok(());
    };
    let workspace = Workspace::load()?;
    std::env::set_current_dir(&workspace.root).context("failed to enter the workspace")?;
    match command.as_str() {
        "test" => no_arguments(rest).and_then(|()| test::run(&workspace)),
        "ci" => steps::run(ci::STEPS, rest, &workspace),
        "deep" => steps::run(deep::STEPS, rest, &workspace),
        "bench" => bench::run(rest),
        "instructions" => instructions::run(rest, &workspace),
        "tauri-deps" => no_arguments(rest).and_then(|()| tauri::install()),
        "tidy" => no_arguments(rest).and_then(|()| tidy::run(&workspace)),
        "help" | "--help" | "-h" => {
            print!("{}", help());
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`\n\n{}", help()),
    }
}

fn no_arguments(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(argument) => bail!("unexpected argument `{argument}`"),
    }
}

fn help() -> String {
    format!(
        "cargo xtask COMMAND\n\n  \
         test           build `orch` and pass every test of the workspace\n  \
         ci [STEP…]     all other checks, or only these steps:\n{}  \
         deep [STEP…]   the slow checks, or only these steps:\n{}  \
         bench [ARG…]   how fast orch is, beside its peers; --help says more\n  \
         instructions   how many instructions the hot paths cost; --accept keeps them so\n  \
         tauri-deps     install the Debian packages that orch-tauri needs\n  \
         tidy           the rules of the repository itself\n",
        steps::list(ci::STEPS),
        steps::list(deep::STEPS),
    )
}
