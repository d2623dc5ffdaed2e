//! A tool call as a handler makes it: decided, begun, ended; and what is known of an earlier one.
//!
//! ```text
//! begin ──▶ Call(key) ──▶ the tool ──▶ end(Done | NotDone)
//!   │                        │
//!   ├──▶ Denied              └── nothing is told: nobody knows how it ended
//!   ├──▶ Done: an earlier attempt made it
//!   └──▶ Unfinished: an earlier attempt began it; repeated only if it is idempotent
//! ```

use orch_core::{Content, Failure, StepKey, Timestamp};

use crate::HostError;

/// Whether a tool call may be repeated if nobody knows how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idempotent {
    /// Twice is as good as once: it only looks, or the tool heeds the key of the step.
    Yes,
    /// It is never repeated blindly: the message becomes a dead letter, and a person decides.
    No,
}

/// What a handler does that wants to make a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolBegun {
    /// Make it, with this as its idempotency key, and tell how it ended.
    Call(StepKey),
    /// Do not make it: an earlier attempt did, and this came of it.
    Done(Content),
    /// Do not make it: the policy, or a person, denies it.
    Denied {
        /// Why.
        reason: String,
        /// When it may be allowed, if a rate is all that is in the way.
        possible_at: Option<Timestamp>,
    },
    /// Do not make it: an earlier attempt began it, and nobody knows how it ended. Whatever the handler
    /// makes of that, this attempt fails for good, and a person decides.
    Unfinished(StepKey),
}

/// How a tool call ended that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolEnd {
    /// This came of it.
    Done(Content),
    /// It had no effect: another attempt makes it again.
    NotDone {
        /// What went wrong.
        error: String,
    },
}

/// How a tool failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolFailure {
    /// The tool says that it had no effect: another attempt makes the call again.
    NotDone(Failure),
    /// Nobody knows whether it had an effect, as after a request that was not answered. Another attempt
    /// makes the call again if it is idempotent; else a person decides.
    Unknown(Failure),
}

/// Without a word about its effect, nobody knows it.
impl From<Failure> for ToolFailure {
    fn from(failure: Failure) -> Self {
        Self::Unknown(failure)
    }
}

/// Why a tool call gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It may not be made.
    #[error("the call is denied: {reason}")]
    Denied {
        /// Why.
        reason: String,
        /// When it may be allowed, if a rate is all that is in the way.
        possible_at: Option<Timestamp>,
    },
    /// An earlier attempt began it, and nobody knows how it ended; a person decides.
    #[error("step {} began in an earlier attempt, and nobody knows how it ended", .0.n)]
    Unfinished(StepKey),
    /// The tool failed.
    #[error("{}", .0.error)]
    Failed(Failure),
    /// The host refused it.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A tool call that gave no output fails the attempt, for good unless doing it again may help.
impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Failed(failure) => failure,
            ToolError::Host(error) => error.into(),
            // A retry would come too early; `possible_at` is for handlers that know what to do with it.
            error => Self::last(error.to_string()),
        }
    }
}
