//! Why a record cannot have happened.

use orch_core::{AgentId, IllegalTransition, MessageId, StepKey};

use crate::record::Seq;

/// A record that does not fit what was recorded before. Nothing of it, and nothing of the set that it
/// came in, was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// The numbers of events are dense.
    #[error("{found} stands where {expected} was expected")]
    OutOfOrder {
        /// The number that comes next.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// A run began while one was open, or under a number that was there before.
    #[error("run {0} cannot begin: {1}")]
    RunStart(u64, &'static str),
    /// A run ended that is not the open one.
    #[error("run {0} is not open")]
    RunNotOpen(u64),
    /// The agent is not registered.
    #[error("{0} is not registered")]
    UnknownAgent(AgentId),
    /// The message was accepted before, and is told so: see [`State::knows`](crate::State::knows).
    #[error("{0} was accepted before")]
    Duplicate(MessageId),
    /// No live delivery has this message.
    #[error("no live delivery has {0}")]
    UnknownDelivery(MessageId),
    /// It is another one's message.
    #[error("{message} is not a message to {agent}")]
    WrongAgent {
        /// The message.
        message: MessageId,
        /// Who was said to handle it.
        agent: AgentId,
    },
    /// The delivery is at another attempt.
    #[error("{message} is at attempt {expected}, not {found}")]
    WrongAttempt {
        /// The message.
        message: MessageId,
        /// The attempt that it is at.
        expected: u32,
        /// The attempt that was recorded.
        found: u32,
    },
    /// The delivery cannot go there from where it stands.
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    /// The step was recorded before.
    #[error("step {0} was recorded before")]
    KnownStep(StepKey),
    /// The step was never recorded.
    #[error("step {0} was not recorded")]
    UnknownStep(StepKey),
    /// The step cannot go there from where it stands.
    #[error("step {0} {1}")]
    WrongStep(StepKey, &'static str),
    /// No dead letter has this message.
    #[error("no dead letter has {0}")]
    UnknownLetter(MessageId),
    /// The question was asked before.
    #[error("question {0} was asked before")]
    KnownQuestion(MessageId),
    /// Nobody waits for an answer to this question.
    #[error("nobody waits for an answer to {0}")]
    UnknownQuestion(MessageId),
}
