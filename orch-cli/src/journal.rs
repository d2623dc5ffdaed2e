//! `orch journal`: what a journal says, also while somebody writes it.

mod agent;
mod chain;
mod find;
mod json;
mod line;
mod names;
mod overview;
mod stats;
mod timeline;
mod verify;

use std::path::Path;

use orch_journal::{OpenError, SqliteOptions, SqliteReader, SqliteStore, StoreError};

use crate::args::JournalCommand;
use crate::exit::{Exit, Stop};
use crate::screen::{one_line, plain};

pub(crate) use find::{Letters, pick_agent};
pub(crate) use json::print as print_json;
pub(crate) use line::usage;
pub(crate) use names::Names;
pub(crate) use overview::deliveries;

/// Characters of a text that stand in a line of a table.
const WIDTH: usize = 90;
/// Characters of an error.
const ERROR_WIDTH: usize = 1_000;

pub(crate) fn journal(command: &JournalCommand) -> Result<Exit, Stop> {
    match command {
        JournalCommand::Show(args) => overview::show(args),
        JournalCommand::Timeline(args) => timeline::timeline(args),
        JournalCommand::Agent(args) => agent::agent(args),
        JournalCommand::Chain(args) => chain::chain(args),
        JournalCommand::Stats(args) => stats::stats(args),
        JournalCommand::Verify(args) => verify::verify(args),
    }
}

/// To ask it.
pub(crate) fn open(file: &Path) -> Result<SqliteReader, Stop> {
    SqliteReader::open(file).map_err(unopened)
}

/// To change it, alone. Makes none where there is none.
pub(crate) fn open_alone(file: &Path) -> Result<SqliteStore, Stop> {
    drop(open(file)?);
    SqliteStore::open(file, SqliteOptions::new()).map_err(|error| match error {
        OpenError::InUse { .. } => {
            let text = one_line(&error.to_string(), ERROR_WIDTH);
            Stop::wrong_input(format_args!("{text}: stop that first"))
        }
        error => unopened(error),
    })
}

pub(crate) fn unopened(error: OpenError) -> Stop {
    let text = one_line(&error.to_string(), ERROR_WIDTH);
    match error {
        OpenError::Damaged { .. } | OpenError::Store { error: StoreError::Damaged { .. }, .. } => {
            Stop::damaged(text)
        }
        OpenError::Store { .. } => Stop::internal(text),
        _ => Stop::wrong_input(text),
    }
}

/// A question that had no answer.
pub(crate) fn unread(error: StoreError) -> Stop {
    let text = one_line(&error.to_string(), ERROR_WIDTH);
    match error {
        StoreError::Damaged { .. } => Stop::damaged(format_args!("the journal has {text}")),
        _ => Stop::internal(format_args!("the journal cannot be used: {text}")),
    }
}

/// What somebody else wrote, on one line that moves no cursor.
pub(crate) fn clean(text: &str) -> String {
    one_line(text, WIDTH)
}

/// The same with all its lines.
pub(crate) fn whole(text: &str) -> String {
    plain(text)
}

/// A number of bytes as people read it.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", n as f64 / 1_024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// `1 event`, `2 events`.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
