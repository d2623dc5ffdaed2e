//! The command line.

mod journal;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use journal::{
    AgentArgs, ChainArgs, DeadLettersCommand, DropArgs, FileArgs, JournalCommand, LetterArgs,
    LettersArgs, PruneArgs, RangeArgs, TimelineArgs,
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
    /// Checks a team without running it, and shows it with all defaults
    Check(CheckArgs),
    /// Shows what a journal says, also while it is written
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Shows and drops the messages that were given up
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
