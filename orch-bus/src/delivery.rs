//! A message that is being handled.

use std::ops::Deref;
use std::sync::Arc;

use orch_core::{AgentMessage, AttemptError};

use crate::lane::Taken;
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
    parcel: Option<Taken<Parcel>>,
}

/// What lies in a lane.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) message: AgentMessage,
    /// Those that failed before it was put back.
    pub(crate) attempts: Attempts,
}

impl Parcel {
    /// A message that was just sent.
    pub(crate) fn new(message: AgentMessage) -> Self {
        Self { message, attempts: Attempts::default() }
    }
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
    pub(crate) fn new(mailbox: Arc<Mailbox>, parcel: Taken<Parcel>) -> Self {
        Self { mailbox, parcel: Some(parcel) }
    }

    /// The attempts at it that failed, oldest first, those before it was put back included.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptError] {
        self.parcel().attempts.as_slice()
    }

    /// Notes an attempt that failed.
    pub fn note_attempt(&mut self, attempt: AttemptError) {
        let parcel = self.parcel.as_mut().expect(HAS_PARCEL);
        parcel.attempts.0.get_or_insert_default().0.push(attempt);
    }

    /// The mailbox that it came from.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Frees its place, and hands the message over: it was handled, or goes elsewhere.
    pub fn settle(self) -> AgentMessage {
        self.end().into_value().message
    }

    /// Frees its place; it was handled, and nobody needs the message any more.
    pub fn finish(self) {
        drop(self.end());
    }

    /// Puts the message back to where it was: in front of what was never checked out, in the order
    /// of checking out. Always fits. If the mailbox was closed meanwhile, the message becomes a
    /// dead letter of the bus.
    pub fn put_back(self) {
        drop(self);
    }

    fn end(mut self) -> Taken<Parcel> {
        let parcel = self.parcel.take().expect(HAS_PARCEL);
        self.mailbox.settle(parcel.message.priority());
        parcel
    }

    fn parcel(&self) -> &Parcel {
        self.parcel.as_ref().expect(HAS_PARCEL)
    }
}

const HAS_PARCEL: &str = "a delivery has its message until it is consumed";

impl Deref for Delivery {
    type Target = AgentMessage;

    fn deref(&self) -> &AgentMessage {
        &self.parcel().message
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel.take() {
            self.mailbox.take_back(parcel);
        }
    }
}
