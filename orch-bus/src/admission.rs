//! The one hook of a bus: who sets it decides what is accepted, and when acceptance counts.

use std::future::Future;
use std::pin::Pin;

use orch_core::AgentMessage;

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

    /// Makes the acceptance durable. The message enters its lane only after this returned well.
    ///
    /// # Cancel safety
    ///
    /// A send that is dropped drops this future: the commit may or may not have happened, and the
    /// sender has no answer. Sending the same id again is the way out.
    fn commit<'a>(
        &'a self,
        message: &'a AgentMessage,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        let _ = message;
        Box::pin(std::future::ready(Ok(())))
    }
}
