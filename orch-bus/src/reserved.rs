//! A message with a place in its lane, which enters once its acceptance is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use orch_core::{
    AgentMessage, DeadLetter, DeadLetterReason, EventKind, MessageId, Severity, Timestamp,
};

use crate::admission::{Admission, Commit, CommitFuture};
use crate::error::SendError;
use crate::mailbox::Mailbox;

/// A message that was checked and has a reserved place in its lane. It is not there yet, and nobody
/// receives it: [`enter`](Self::enter) puts it in. Dropping it gives the place back.
///
/// For whoever accepts several messages in one commit, or one as a part of something else: reserve,
/// commit, enter.
#[derive(Debug)]
#[must_use = "dropping it gives the place back, and the message is not sent"]
pub struct Reserved {
    mailbox: Arc<Mailbox>,
    /// Invariant: `Some` until it is consumed.
    message: Option<AgentMessage>,
}

const HAS_MESSAGE: &str = "it has its message until it is consumed";

impl Reserved {
    /// Of a place that was reserved for this message.
    pub(crate) fn new(mailbox: Arc<Mailbox>, message: AgentMessage) -> Self {
        Self { mailbox, message: Some(message) }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &AgentMessage {
        self.message.as_ref().expect(HAS_MESSAGE)
    }

    /// Gives the place back, and the message.
    #[must_use]
    pub fn into_message(mut self) -> AgentMessage {
        let message = self.message.take().expect(HAS_MESSAGE);
        self.mailbox.free_place(message.priority());
        message
    }

    /// Puts a message into its lane whose acceptance is durable. If the mailbox was closed since the
    /// place was reserved, the message becomes a dead letter of the bus: it was accepted, and must end
    /// somewhere.
    pub fn enter(mut self) -> MessageId {
        let message = self.message.take().expect(HAS_MESSAGE);
        let id = message.id();
        if let Err(message) = self.mailbox.put_in(message) {
            let letter = DeadLetter::new(message, DeadLetterReason::Retired, Timestamp::now());
            self.mailbox.home.give_up(self.mailbox.agent(), letter);
        }
        id
    }

    /// Waits for the commit, then enters.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, the rest of it goes on if the future is dropped: see
    /// [`Admission::go_on`].
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it, for what the commit says.
    pub fn enter_after(
        self,
        commit: CommitFuture,
    ) -> impl Future<Output = Result<MessageId, SendError>> + Send + use<> {
        let admission = self.mailbox.home.admission.get().cloned();
        EnterAfter { rest: Some(Box::pin(self.committed(commit))), is_begun: false, admission }
    }

    async fn committed(self, commit: CommitFuture) -> Result<MessageId, SendError> {
        match commit.await {
            Commit::Committed => Ok(self.enter()),
            Commit::Known => Ok(self.into_message().id()),
            Commit::Refused(refusal) => {
                let message = Box::new(self.into_message());
                Err(SendError::Refused { message, reason: refusal.reason })
            }
            Commit::NotDurable { reason, transient } => {
                let message = Box::new(self.into_message());
                Err(SendError::NotDurable { message, reason, transient })
            }
            Commit::Uncertain(reason) => {
                let message = Box::new(self.into_message());
                Err(SendError::Uncertain { message, reason })
            }
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(message) = &self.message {
            self.mailbox.free_place(message.priority());
        }
    }
}

impl Mailbox {
    /// Puts a message into the place that was reserved for it, and tells so.
    #[inline(always)] // A call moves the message once more: 6 % of a send.
    pub(crate) fn put_in(self: &Arc<Self>, message: AgentMessage) -> Result<(), AgentMessage> {
        let priority = message.priority();
        let events = &self.home.events;
        let copy = events.wants(Severity::Debug).then(|| message.clone());
        self.push_reserved(message)?;
        // After the push, since only that decides; before anybody is woken, so that what they tell of
        // the message comes later. A receiver that is awake may still be first.
        if let Some(message) = copy {
            events.emit(Severity::Debug, || EventKind::Accepted { message });
        }
        self.signal_arrival(priority);
        Ok(())
    }
}

type Rest = Pin<Box<dyn Future<Output = Result<MessageId, SendError>> + Send>>;

/// A send that commits.
struct EnterAfter {
    /// `None` once it is done.
    rest: Option<Rest>,
    /// Whether the commit may have happened.
    is_begun: bool,
    admission: Option<Arc<dyn Admission>>,
}

impl Future for EnterAfter {
    type Output = Result<MessageId, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.is_begun = true;
        let rest = self.rest.as_mut().expect("it is not polled after its end");
        let polled = rest.as_mut().poll(cx);
        if polled.is_ready() {
            self.rest = None;
        }
        polled
    }
}

impl Drop for EnterAfter {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && self.is_begun
            && let Some(admission) = &self.admission
        {
            // Whoever sent it is gone, and hears nothing of how it ended.
            admission.go_on(Box::pin(async move { drop(rest.await) }));
        }
    }
}
