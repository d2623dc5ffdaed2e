//! What keeps events: the trait, its errors, and what can be asked.

use std::collections::BTreeMap;

use orch_core::{AgentId, ChainId, MessageId, Timestamp, Usage};

use crate::prepared::Prepared;
use crate::record::{Entry, Seq};
use crate::state::{Illegal, State};

/// Keeps events, and the state after the last of them.
///
/// A store belongs to one thread at a time; [`Journal`](crate::Journal) gives it one. The suite in
/// [`conformance`](crate::conformance) says exactly what it must do.
pub trait Store: Send {
    /// Appends these sets in one transaction, each whole or not at all. The answers are in their
    /// order: the number of a set's last event, or why that set was refused, which hinders no other.
    /// Once it returns, what it accepted is as durable as this store makes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if nothing of it was written, or, for [`StoreError::Uncertain`], perhaps all of
    /// it. After any error the store takes nothing more until [`reopen`](Self::reopen).
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError>;

    /// What is live after the last event.
    fn state(&self) -> &State;

    /// At most `n_max` events, oldest first, from this number on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if one of them is not what was written.
    fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError>;

    /// The last `n_max` events of somebody or something, oldest first.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError>;

    /// What is in it, in figures.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    fn stats(&self) -> Result<Stats, StoreError>;

    /// Removes at most `n_max` events of runs that ended before `before`, but none that something
    /// live refers to. Call it again while it says that there are more.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError>;

    /// Reads everything back as it is kept, after an error.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if that is not possible now.
    fn reopen(&mut self) -> Result<(), StoreError>;

    /// Does what is due now and then, after those who wait were answered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Uncertain`] if the store must not be used further.
    fn maintain(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whose events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Of {
    /// All of them.
    All,
    /// An agent's: what it handled, and what went to it.
    Agent(AgentId),
    /// A run's, from its first to its last.
    Run(u64),
    /// A chain's: what happened to its messages. Looks at every event.
    Chain(ChainId),
    /// A message's. Looks at every event since its acceptance.
    Message(MessageId),
}

/// What is in a store, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that are kept.
    pub n_events: u64,
    /// Events by kind: the names of [`Record`](crate::Record)'s variants in snake case.
    pub n_by_kind: BTreeMap<&'static str, u64>,
    /// The number of the last event.
    pub last: Seq,
    /// Messages that wait or are handled.
    pub n_live: usize,
    /// Dead letters.
    pub n_letters: usize,
    /// Registered agents.
    pub n_agents: usize,
    /// Runs, the open one included.
    pub n_runs: usize,
    /// All that was used.
    pub spent: Usage,
    /// What it takes on disk; 0 in memory.
    pub file_bytes: u64,
}

/// What a prune did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events that were removed.
    pub n_removed: usize,
    /// Whether the limit ended it before everything was looked at.
    pub more: bool,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full. Nothing of it was written.
    #[error("no space is left: {0}")]
    Full(String),
    /// The disk did not say whether it was written. It may be found after a restart.
    #[error("nobody knows whether it was written: {0}")]
    Uncertain(String),
    /// What is kept is not what was written.
    #[error("damage at {place}: {what}")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// Something else. Nothing of it was written.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    pub(crate) fn damaged(place: impl ToString, what: impl ToString) -> Self {
        Self::Damaged { place: place.to_string(), what: what.to_string() }
    }
}

impl Stats {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            last: state.last(),
            n_live: state.n_deliveries(),
            n_letters: state.letters.len(),
            n_agents: state.agents.len(),
            n_runs: state.runs.len(),
            spent: state.spent(),
            ..Self::default()
        }
    }
}
