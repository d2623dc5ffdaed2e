//! A message that is being handled.

use std::borrow::Borrow;
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
///
/// `M` is how it knows its mailbox: it has it itself, or borrows it from whoever handles messages in
/// place, which spares two steps on a counter that all senders share.
#[derive(Debug)]
#[must_use = "dropping a delivery puts its message back"]
pub struct Delivery<M: Borrow<Arc<Mailbox>> = Arc<Mailbox>> {
    mailbox: M,
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

    /// With the attempts that failed before.
    pub(crate) fn with_attempts(mut self, failed: Vec<AttemptError>) -> Self {
        self.attempts = Attempts((!failed.is_empty()).then(|| Box::new(Failed(failed))));
        self
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

impl<M: Borrow<Arc<Mailbox>>> Delivery<M> {
    pub(crate) fn new(mailbox: M, parcel: Taken<Parcel>) -> Self {
        Self { mailbox, parcel: Some(parcel) }
    }

    /// The same delivery, which has its mailbox itself.
    pub fn into_owned(self) -> Delivery {
        let mailbox = self.mailbox().clone();
        self.with(mailbox)
    }

    /// The same delivery, which borrows its mailbox.
    ///
    /// # Panics
    ///
    /// If `mailbox` is another one.
    pub fn borrowed(self, mailbox: &Arc<Mailbox>) -> Delivery<&Arc<Mailbox>> {
        assert!(Arc::ptr_eq(self.mailbox(), mailbox), "a delivery stays with its mailbox");
        self.with(mailbox)
    }

    fn with<N: Borrow<Arc<Mailbox>>>(mut self, mailbox: N) -> Delivery<N> {
        Delivery { mailbox, parcel: self.parcel.take() }
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
        self.mailbox.borrow()
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
        self.mailbox().settle(parcel.message.priority());
        parcel
    }

    fn parcel(&self) -> &Parcel {
        self.parcel.as_ref().expect(HAS_PARCEL)
    }
}

const HAS_PARCEL: &str = "a delivery has its message until it is consumed";

impl<M: Borrow<Arc<Mailbox>>> Deref for Delivery<M> {
    type Target = AgentMessage;

    fn deref(&self) -> &AgentMessage {
        &self.parcel().message
    }
}

impl<M: Borrow<Arc<Mailbox>>> Drop for Delivery<M> {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel.take() {
            self.mailbox().take_back(parcel);
        }
    }
}
