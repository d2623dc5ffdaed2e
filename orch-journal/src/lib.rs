//! The append-only truth of `orch`: what was accepted survives anything, and can be asked about.
//!
//! A [`Journal`] owns a [`Store`] on a thread of its own and commits in groups: whoever commits waits
//! until the disk has it. What happened is a [`Record`]; what follows from all of them is a
//! [`State`], a pure fold, from which a runtime recovers. [`SqliteStore`] keeps events in one file,
//! [`MemoryStore`] in memory; [`conformance`] tests any other.
//!
//! `docs/durability.md` says what is promised, and what is not.
//!
//! This crate must never know the runtime, the bus, or when anything is scheduled.
//!
//! ```
//! use orch_core::{AgentId, AgentMessage, Timestamp};
//! use orch_journal::{Journal, MemoryStore, Record, Redactor};
//!
//! let at = Timestamp::now();
//! let journal = Journal::start(MemoryStore::new(), Redactor::new(), at)?;
//! let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "write the parser");
//! let accepted =
//!     Record::Accepted { message: message.clone(), origin_run: 0, origin_round: 0, step: None };
//! journal.commit_blocking(at, vec![accepted])?;
//!
//! let state = journal.ask_blocking(|store| store.state().clone())?;
//! assert_eq!(state.mailboxes()[0].message, message);
//! journal.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod conformance;
mod delta;
mod hash;
mod health;
mod memory;
#[cfg(feature = "planted")]
pub mod planted;
mod prepared;
mod record;
mod redact;
mod sqlite;
mod state;
mod store;
mod writer;

pub use hash::{ContentHash, ParseHashError};
pub use memory::MemoryStore;
pub use orch_core::StepKey;
pub use prepared::{PrepareError, Prepared, SET_BYTES_MAX};
pub use record::{Entry, Record, Seq, StepKind};
pub use redact::Redactor;
pub use sqlite::{
    Durability, FORMAT_VERSION, OpenError, SqliteOptions, SqliteReader, SqliteStore, Verified,
    WalReport, Writer,
};
pub use state::{
    Agent, Conversation, Counts, DEDUP_WINDOW, Delivery, Grant, Illegal, Letter, Question, Run,
    Spent, State, Step, StepMismatch, ToolProgress, sent_afresh,
};
pub use store::{Of, Pruned, Stats, Store, StoreError};
pub use writer::{CommitError, Journal, Pending, StartError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
