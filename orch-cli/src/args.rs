//! The command line.

mod journal;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use journal::{
    AgentArgs, ChainArgs, DeadLettersCommand, DropArgs, FileArgs, JournalCommand, LetterArgs,
    LettersArgs, PruneArgs, RangeArgs, ResendArgs, TimelineArgs,
};

/// Runs teams of agents: programs, models and functions that pass messages to each other, inside
/// limits that they cannot break.
#[derive(Debug, Parser)]
#[command(name = "orch", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    completed
  1    internal error
  2    wrong input: a team file, a journal, an argument, or an agent that cannot run
  3    stopped by the limit of iterations, or a loop that was not approved
  4    stopped by the limit of messages of an agent
  5    stopped by the time limit
  6    an agent failed, or the answer lacks something that an agent gave up
  7    a journal is damaged, or failed during the run
  130  stopped by hand";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a team, and prints its answer
    Run(RunArgs),
    /// Goes on with a run that was cut off or stopped, from its journal
    Resume(ResumeArgs),
    /// Checks a team without running it, and shows it with all defaults
    Check(CheckArgs),
    /// Shows what a journal says, also while it is written
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Shows, sends again and drops the messages that were given up
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Removes what a journal says of runs that ended long ago
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) team: TeamArgs,
    /// What the team works on: a file, `-` for standard input, or a text (`text:…` if it could be
    /// taken for a file). Several are worked on in their order
    #[arg(long = "input", short = 'i', value_name = "FILE|-|TEXT")]
    pub(crate) inputs: Vec<String>,
    /// Keeps what happens in this file, so that `orch resume` can go on after a crash or a stop. It
    /// must not hold another run
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The journal that `orch run --journal` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Goes on although the team file is not as it was when the run began. What was done stays done
    #[arg(long)]
    pub(crate) accept_changes: bool,
    /// The team file, if it is not where it was
    #[arg(long, value_name = "TEAM")]
    pub(crate) team: Option<PathBuf>,
    /// Sets a variable of the team file: one whose value was a secret and so was not recorded, or
    /// another value than before
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Does not ask before it goes on. Without a terminal it never does
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    /// When something counts as kept: once the disk says so (`sync`), once the operating system has it
    /// (`os`: survives a kill, not the loss of power), or as `os` with the whole file at risk (`off`)
    #[arg(long, value_enum, value_name = "WHEN", default_value = "sync")]
    pub(crate) durability: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kept {
    Sync,
    Os,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// Prints one JSON event a line on standard output, the answer last
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints nothing but the answer and errors
    #[arg(long, short = 'q', conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) team: TeamArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TeamArgs {
    /// The team file
    #[arg(value_name = "TEAM")]
    pub(crate) file: PathBuf,
    /// Sets a variable of the team file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Logs to standard error at this level, in place of the live view
    #[arg(id = "log", long = "log", value_name = "LEVEL", value_enum)]
    pub(crate) level: Option<Level>,
    /// Logs one JSON object a line
    #[arg(id = "log-json", long = "log-json", requires = "log")]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
