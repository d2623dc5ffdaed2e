//! The three counts that stop a run, and the reasons for which a run ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::AgentId;

/// Prevents runaway execution. Guards count from a `start` to its end; the maximum of a field's
/// type means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct LoopGuard {
    /// Rounds of hand-outs: the length of the longest chain of work. Default 100.
    pub max_iterations: u32,
    /// Messages that one agent handles; a retry is not another message. Default 50.
    pub max_messages_per_agent: u32,
    /// Milliseconds that a run may take, handlers in flight included. Default 600,000.
    pub max_execution_time_ms: u64,
}

impl LoopGuard {
    /// No limit at all; an explicit choice, because nothing else stops a runaway loop.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            max_iterations: u32::MAX,
            max_messages_per_agent: u32::MAX,
            max_execution_time_ms: u64::MAX,
        }
    }
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self { max_iterations: 100, max_messages_per_agent: 50, max_execution_time_ms: 600_000 }
    }
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum StopReason {
    /// All messages were processed, and no agent is failed.
    Completed,
    /// What is left would be handed out above [`LoopGuard::max_iterations`].
    MaxIterations,
    /// An agent handled [`LoopGuard::max_messages_per_agent`] messages and had another one.
    MaxMessagesPerAgent {
        /// Which agent.
        agent_id: AgentId,
        /// How many messages it handled.
        count: u32,
    },
    /// [`LoopGuard::max_execution_time_ms`] went by.
    MaxExecutionTime,
    /// Nothing is left to do, and an agent is failed; the first one, if several are.
    AgentError {
        /// Which agent.
        agent_id: AgentId,
        /// Why it failed.
        error: String,
    },
    /// Somebody stopped the run.
    ManualStop,
    /// The journal does not take what happens any more. Nothing that was not recorded counts as done.
    JournalFailed {
        /// What is wrong with it.
        error: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::MaxIterations => f.write_str("the limit of iterations was reached"),
            Self::MaxMessagesPerAgent { agent_id, count } => {
                write!(f, "{agent_id} reached its limit of {count} messages")
            }
            Self::MaxExecutionTime => f.write_str("the time limit was reached"),
            Self::AgentError { agent_id, error } => write!(f, "{agent_id} failed: {error}"),
            Self::ManualStop => f.write_str("stopped by hand"),
            Self::JournalFailed { error } => write!(f, "the journal failed: {error}"),
        }
    }
}
