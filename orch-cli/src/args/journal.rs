//! The arguments of the commands that read and change a journal.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use orch_runtime::Timestamp;

use crate::when;

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Shows the runs, the agents, and what waits
    Show(FileArgs),
    /// Shows what happened, in its order
    Timeline(TimelineArgs),
    /// Shows an agent, and what happened to it
    Agent(AgentArgs),
    /// Shows a message with all that followed from it
    Chain(ChainArgs),
    /// Counts what is in it
    Stats(FileArgs),
    /// Checks every event, every text, and what was derived from them
    Verify(FileArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Prints JSON, with whole ids and texts; one object a line where there are several
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// How many are shown at most: the last ones
    #[arg(long, value_name = "N|all", default_value = "100")]
    pub(crate) limit: Limit,
    /// Leaves out what is older: `30m`, `2h`, `7d` ago, or a local date and time such as
    /// `2026-11-22` or `"2026-11-22 14:30"`
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(usize::MAX));
        }
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| "expected a number from 1 on, or `all`".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// Only what happened in a run, counted from 1
    #[arg(long, value_name = "N", conflicts_with = "message")]
    pub(crate) run: Option<u64>,
    /// Only what happened to a message: the number of an event of it, its id, or a part of that
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// Its name, its id, or a part of that
    #[arg(value_name = "AGENT")]
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ChainArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// A message of it: the number of an event of it, its id, or a part of that. Or the chain's id
    #[arg(value_name = "MESSAGE|CHAIN")]
    pub(crate) chain: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Lists them, the oldest first
    List(LettersArgs),
    /// Shows one of them, with its attempts and its whole text
    Show(LetterArgs),
    /// Sends one again: the next `orch resume` handles it. Nobody may be writing the journal
    Resend(ResendArgs),
    /// Drops them for good. Nobody may be writing the journal
    Drop(DropArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LettersArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// Only those to this agent: its name, its id, or a part of that
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LetterArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// The number of an event of it, the id of its message, or a part of that
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct ResendArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The number of an event of it, the id of its message, or a part of that
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["messages", "all"])))]
pub(crate) struct DropArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which ones: numbers of events of them, ids of their messages, or parts of those
    #[arg(value_name = "MESSAGE")]
    pub(crate) messages: Vec<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// The journal. Nobody may be writing it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Runs that ended before this are removed: `7d` ago, or a local date and time such as
    /// `2026-11-22` or `"2026-11-22 14:30"`. What still waits and dead letters stay
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    pub(crate) before: Timestamp,
}
