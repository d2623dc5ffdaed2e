//! A delivery given up, kept for an operator.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AgentMessage, Timestamp};

/// A message that was not handled, and why. Nothing is lost: it can be sent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message as it was sent.
    pub message: AgentMessage,
    /// Why it was given up.
    pub reason: DeadLetterReason,
    /// Every attempt that failed, oldest first; empty if it never ran.
    pub attempts: Vec<AttemptError>,
    /// When it was given up.
    pub at: Timestamp,
}

impl DeadLetter {
    /// A dead letter that never ran.
    #[must_use]
    pub fn new(message: AgentMessage, reason: DeadLetterReason, at: Timestamp) -> Self {
        Self { message, reason, attempts: Vec::new(), at }
    }

    /// Adds the attempts that failed, oldest first.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<AttemptError>) -> Self {
        self.attempts = attempts;
        self
    }
}

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct AttemptError {
    /// Its number, counted from 1.
    pub attempt: u32,
    /// What went wrong, in words.
    pub error: String,
    /// When it ended.
    pub at: Timestamp,
}

impl AttemptError {
    /// Attempt number `attempt` ended at `at` with `error`.
    #[must_use]
    pub fn new(attempt: u32, error: impl Into<String>, at: Timestamp) -> Self {
        Self { attempt, error: error.into(), at }
    }
}

/// Why a delivery was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// Every allowed attempt failed.
    AttemptsExhausted,
    /// An attempt failed in a way that no other attempt would change.
    FinalFailure,
    /// The provider asked for a wait that nobody wants to sit out.
    RetryAfterTooLong {
        /// The wait that was asked for, in milliseconds.
        retry_after_ms: u64,
    },
    /// Its deadline came.
    Expired,
    /// A mailbox refused it and its sender was not there to hear so (a broadcast, a flow).
    Refused {
        /// What the mailbox said.
        error: String,
    },
    /// Its agent was retired.
    Retired,
    /// Its agent cannot run.
    CannotRun {
        /// What is missing.
        error: String,
    },
    /// An attempt took another step than an earlier one. Nothing of it was done; a person decides
    /// whether it is sent again with the steps that were taken, or afresh.
    StepMismatch {
        /// The number of the step, counted from 1.
        step: u32,
        /// Both steps.
        error: String,
    },
    /// An earlier attempt began a tool call that is not idempotent, and nobody knows how it ended. A
    /// person finds out, and says so.
    ToolUnfinished {
        /// The number of the step, counted from 1.
        step: u32,
        /// The tool.
        tool: String,
    },
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AttemptsExhausted => f.write_str("every allowed attempt failed"),
            Self::FinalFailure => {
                f.write_str("it failed in a way that another attempt would not change")
            }
            Self::RetryAfterTooLong { retry_after_ms } => {
                write!(f, "the provider asked to wait {retry_after_ms} ms, which is too long")
            }
            Self::Expired => f.write_str("its deadline came"),
            Self::Refused { error } => write!(f, "it was refused: {error}"),
            Self::Retired => f.write_str("its agent was retired"),
            Self::CannotRun { error } => write!(f, "its agent cannot run: {error}"),
            Self::StepMismatch { step, error } => {
                write!(f, "step {step} needs a decision: {error}")
            }
            Self::ToolUnfinished { step, tool } => write!(
                f,
                "step {step} needs a decision: a call of `{tool}` began, and nobody knows how it ended"
            ),
        }
    }
}
