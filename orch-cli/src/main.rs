//! `orch`: runs a team of agents from one file, and shows what a journal says.

#![forbid(unsafe_code)]

mod answer;
mod args;
mod check;
mod dead_letters;
mod drive;
mod exit;
mod given;
mod input;
mod journal;
mod left;
mod logging;
mod out;
#[cfg(feature = "planted")]
mod planted;
mod prune;
mod resume;
mod run;
mod screen;
mod signals;
mod summary;
mod table;
mod team;
mod when;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Stop};

/// Measured best: `docs/performance.md`. Libraries leave the choice to their users.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The keeper of a program is this same program under a hidden name; see `orch_connect::keeper`.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|arg| arg == team::KEEPER) {
        return orch_connect::keeper::main(std::env::args_os().skip(2));
    }
    #[cfg(feature = "planted")]
    planted::look();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ended = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Resume(args) => resume::resume(&args),
        Command::Check(args) => check::check(&args),
        Command::Journal(command) => journal::journal(&command),
        Command::DeadLetters(command) => dead_letters::dead_letters(&command),
        Command::Prune(args) => prune::prune(&args),
    };
    ended.unwrap_or_else(explain).into()
}

/// Help and version are answers; anything else is wrong input.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Completed.into(),
        _ => Exit::WrongInput.into(),
    }
}

fn explain(stop: Stop) -> Exit {
    out::tell(format_args!("orch: {}", stop.message.trim_end()));
    stop.exit
}
