//! Dead letters, kept until an operator sends them again or drops them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use orch_core::{DeadLetter, MessageId};

use crate::counter::Counter;
use crate::error::SendError;

/// Messages that were given up. Nothing leaves but on purpose, so memory grows with what fails;
/// the guards of a run bound that.
#[derive(Debug, Default)]
pub struct DeadLetters {
    /// Oldest first. The number tells letters apart whose messages were sent under one id.
    kept: Mutex<Kept>,
    made: Counter,
}

type Kept = (u64, BTreeMap<(u64, MessageId), DeadLetter>);

/// Why a dead letter was not sent again. It is still kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResendError {
    /// No dead letter has that message.
    #[error("no dead letter has {0}")]
    Unknown(MessageId),
    /// Its mailbox refused it.
    #[error("failed to send it again: {0}")]
    NotAccepted(#[source] SendError),
}

impl DeadLetters {
    /// Keeps a dead letter.
    pub fn add(&self, letter: DeadLetter) {
        self.made.bump();
        let (next, kept) = &mut *self.lock();
        kept.insert((*next, letter.message.id()), letter);
        *next += 1;
    }

    /// Keeps a letter again that was taken out and did not get away: where it was.
    pub(crate) fn put_back(&self, number: u64, letter: DeadLetter) {
        self.lock().1.insert((number, letter.message.id()), letter);
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<DeadLetter> {
        self.lock().1.values().cloned().collect()
    }

    /// The oldest one of this message.
    #[must_use]
    pub fn get(&self, message: MessageId) -> Option<DeadLetter> {
        self.lock().1.values().find(|letter| letter.message.id() == message).cloned()
    }

    /// Takes the oldest one of this message out: it is the caller's now.
    pub fn take(&self, message: MessageId) -> Option<DeadLetter> {
        self.take_numbered(message).map(|(_, letter)| letter)
    }

    pub(crate) fn take_numbered(&self, message: MessageId) -> Option<(u64, DeadLetter)> {
        let kept = &mut self.lock().1;
        let key = *kept.keys().find(|(_, id)| *id == message)?;
        kept.remove(&key).map(|letter| (key.0, letter))
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().1.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were ever made.
    #[must_use]
    pub fn total_made(&self) -> u64 {
        self.made.get()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
