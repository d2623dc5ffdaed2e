//! The seam for flows: macros over mailboxes, not a second engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use orch_bus::SendError;
use orch_core::{AgentId, AgentMessage, Content, DeadLetter, DeadLetterReason, Timestamp};

use crate::turn::text_of;

/// Says where an answer goes that nobody asked for.
///
/// Called once for each message that is settled or given up, before the message's agent takes its
/// next one; what it answers is sent as if the handler had sent it: same chain, one hop further, a
/// round later, waiting for room (but not for what was left to an agent that is retired: that is
/// tried once). A message that is not accepted becomes a dead letter, of which the router hears in
/// turn, 1,000 times in a row at most. It does not hear of dead letters that the bus makes by
/// itself: copies of a broadcast that a mailbox refused. Must not block.
pub trait Router: Send + Sync {
    /// `agent` handled `message`, with this output.
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        output: Option<&Content>,
    ) -> Vec<AgentMessage>;

    /// A message was given up.
    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage>;
}

/// Refused messages in a row of which the router hears: one that answers each of them with another
/// that is refused would go on for ever.
pub(crate) const REFUSALS_MAX: u32 = 1_000;

/// Calls the router, which is not ours: a panic in it loses what it wanted to send, no more.
pub(crate) fn routed(route: impl FnOnce() -> Vec<AgentMessage>) -> Vec<AgentMessage> {
    catch_unwind(AssertUnwindSafe(route)).unwrap_or_else(|panic| {
        let error = text_of(panic);
        tracing::error!(target: "orch", error, "the router panicked");
        Vec::new()
    })
}

/// The dead letter of a message that the router sent and no mailbox took.
pub(crate) fn refused(error: SendError, now: Timestamp) -> DeadLetter {
    let reason = DeadLetterReason::Refused { error: error.to_string() };
    DeadLetter::new(error.into_message(), reason, now)
}
