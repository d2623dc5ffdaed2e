//! A message that is being handled.

use std::ops::Deref;
use std::sync::Arc;

use orch_core::AgentMessage;

use crate::mailbox::Mailbox;

/// A message that was checked out of its mailbox, and its place there.
///
/// Dropping it puts the message back, so that a handler that is cut off loses nothing.
#[derive(Debug)]
#[must_use = "dropping a delivery puts its message back"]
pub struct Delivery {
    mailbox: Arc<Mailbox>,
    /// Invariant: `Some` until the delivery is consumed.
    message: Option<AgentMessage>,
    ticket: u64,
}

impl Delivery {
    pub(crate) fn new(mailbox: Arc<Mailbox>, message: AgentMessage, ticket: u64) -> Self {
        Self { mailbox, message: Some(message), ticket }
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
            self.mailbox.take_back(message, self.ticket);
        }
    }
}
