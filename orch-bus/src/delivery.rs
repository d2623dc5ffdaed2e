//! A message that is being handled.

use std::ops::Deref;
use std::sync::Arc;

use orch_core::{AgentMessage, AttemptError};

use crate::mailbox::Mailbox;

/// A message that was checked out of its mailbox, and its place there.
///
/// Dropping it puts the message back, so that a handler that is cut off loses nothing. The attempts
/// that were [noted](Self::note_attempt) go back with it, so that a limit on them holds however often
/// a message is put back.
#[derive(Debug)]
#[must_use = "dropping a delivery puts its message back"]
pub struct Delivery {
    mailbox: Arc<Mailbox>,
    /// Invariant: `Some` until the delivery is consumed.
    message: Option<AgentMessage>,
    ticket: u64,
    attempts: Attempts,
}

/// Failed attempts, oldest first. Most messages have none, so there is nothing to point to.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Option<Box<Failed>>);

#[derive(Debug, Default)]
struct Failed(Vec<AttemptError>);

impl Attempts {
    pub(crate) fn as_slice(&self) -> &[AttemptError] {
        self.0.as_ref().map_or(&[], |failed| &failed.0)
    }
}

impl Delivery {
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        message: AgentMessage,
        ticket: u64,
        attempts: Attempts,
    ) -> Self {
        Self { mailbox, message: Some(message), ticket, attempts }
    }

    /// The attempts at it that failed, oldest first, those before it was put back included.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptError] {
        self.attempts.as_slice()
    }

    /// Notes an attempt that failed.
    pub fn note_attempt(&mut self, attempt: AttemptError) {
        self.attempts.0.get_or_insert_default().0.push(attempt);
    }

    /// The mailbox that it came from.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Frees its place, and hands the message over: it was handled, or goes elsewhere.
    pub fn settle(mut self) -> AgentMessage {
        let message = self.message.take().expect("a delivery has its message until it is consumed");
        self.mailbox.settle(message.priority());
        message
    }

    /// Puts the message back to where it was: in front of what was never checked out, in the order
    /// of checking out. Always fits. If the mailbox was closed meanwhile, the message becomes a
    /// dead letter of the bus.
    pub fn put_back(self) {
        drop(self);
    }
}

impl Deref for Delivery {
    type Target = AgentMessage;

    fn deref(&self) -> &AgentMessage {
        self.message.as_ref().expect("a delivery has its message until it is consumed")
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.mailbox.take_back(message, self.ticket, std::mem::take(&mut self.attempts));
        }
    }
}
