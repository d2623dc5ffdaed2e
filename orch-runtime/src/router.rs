//! The seam for flows: macros over mailboxes, not a second engine.

use orch_core::{AgentId, AgentMessage, Content, DeadLetter};

/// Says where an answer goes that nobody asked for.
///
/// Called once for each message that is settled or given up, before the message's agent takes its
/// next one; what it answers is sent as if the handler had sent it: same chain, one hop further, a
/// round later, waiting for room. A message that is not accepted becomes a dead letter, of which the
/// router hears in turn. Must not block.
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
