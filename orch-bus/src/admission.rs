//! The one hook of a bus: who sets it decides what is accepted, and when acceptance counts.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use orch_core::{AgentMessage, DeadLetter, MessageId};

/// Why admission refused a message, in words for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A lower-case fragment that names the thing, the limit and the way out.
    pub reason: String,
}

impl Refusal {
    /// A refusal in these words.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// It is durable: the message enters its lane.
    Committed,
    /// A message of this id was accepted before: the send is answered well, and there is no second
    /// copy.
    Known,
    /// It is not to be accepted.
    Refused(Refusal),
    /// It cannot be made durable; nothing of it was.
    NotDurable {
        /// Why, in words for its sender.
        reason: String,
        /// Whether it may be possible later.
        transient: bool,
    },
    /// Nobody knows whether it is durable. The message does not enter its lane now; if it is durable
    /// after all, a restart finds it.
    Uncertain(String),
}

/// A commit under way. It outlives the send that began it: see [`Admission::go_on`].
pub type CommitFuture = Pin<Box<dyn Future<Output = Commit> + Send>>;

/// Decides about each message before it enters its lane: [`check`](Self::check) after the bus's own
/// checks (recipient, size, deadline), [`commit`](Self::commit) after a place in the lane was
/// reserved, so that what was committed always fits.
pub trait Admission: Send + Sync {
    /// A synchronous decision. Must not block.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with words for the sender.
    fn check(&self, message: &AgentMessage) -> Result<(), Refusal>;

    /// Whether acceptance must wait for [`commit`](Self::commit). While it answers true,
    /// `try_send` answers [`WouldWait`](crate::SendError::WouldWait).
    fn has_commit(&self) -> bool {
        false
    }

    /// Makes the acceptance durable. The message enters its lane only after this answered
    /// [`Commit::Committed`].
    fn commit(self: Arc<Self>, message: AgentMessage) -> CommitFuture {
        drop(message);
        Box::pin(ready(Commit::Committed))
    }

    /// As [`commit`](Self::commit), for the message of a dead letter that is sent again under its
    /// id.
    fn commit_again(self: Arc<Self>, message: AgentMessage) -> CommitFuture {
        self.commit(message)
    }

    /// As [`commit`](Self::commit), for a copy that is sent in the stead of a dead letter: in one with the
    /// end of the oldest letter of `former`.
    fn commit_afresh(self: Arc<Self>, message: AgentMessage, former: MessageId) -> CommitFuture {
        let _ = former;
        self.commit(message)
    }

    /// Polls the rest of a send to its end whose future was dropped while it committed. Without this
    /// a message could be durable and in no lane. The provided method drops it.
    fn go_on(&self, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(rest);
    }

    /// Hears of a dead letter that the bus makes by itself, before anybody sees it there: of a message
    /// whose mailbox was closed meanwhile, or a copy of a broadcast that was refused. Must not block.
    fn given_up(&self, letter: &DeadLetter) {
        let _ = letter;
    }
}
