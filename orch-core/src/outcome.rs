//! How an attempt ended, and what it used.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Content, LimitReached};

/// What a connector reports of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The message was handled.
    Ack {
        /// What answers the message; `None` if nothing does.
        output: Option<Content>,
    },
    /// The message was not handled.
    Nack(Failure),
}

impl Outcome {
    /// Handled, with an answer.
    #[must_use]
    pub fn output(output: impl Into<Content>) -> Self {
        Self::Ack { output: Some(output.into()) }
    }

    /// Handled, without an answer.
    #[must_use]
    pub const fn done() -> Self {
        Self::Ack { output: None }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Nack(failure)
    }
}

/// Whether another attempt can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Another attempt may succeed.
    Transient,
    /// Another attempt would fail in the same way.
    Final,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct Failure {
    /// Whether another attempt can help.
    pub kind: FailureKind,
    /// What went wrong, in words: a lower-case fragment without a full stop.
    pub error: String,
    /// Milliseconds before which the agent's provider does not want to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The limit on the agent's processes that stopped them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitReached>,
}

impl Failure {
    /// A failure that may be tried again.
    #[must_use]
    pub fn transient(error: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, error.into())
    }

    /// A failure that would happen again.
    #[must_use]
    pub fn last(error: impl Into<String>) -> Self {
        Self::new(FailureKind::Final, error.into())
    }

    const fn new(kind: FailureKind, error: String) -> Self {
        Self { kind, error, retry_after_ms: None, limit: None }
    }

    /// Names the limit that stopped the agent's processes.
    #[must_use]
    pub const fn with_limit(mut self, limit: LimitReached) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says how long the provider wants to be left alone. Rounded up to a millisecond.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        self.retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        self
    }

    /// How long the provider wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }

    /// Whether another attempt can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, FailureKind::Transient)
    }
}

/// What handling used. Sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Usage {
    /// Tokens read by a model, the cached ones included.
    pub input_tokens: u64,
    /// Those of `input_tokens` that came from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens written by a model.
    pub output_tokens: u64,
    /// Money in millionths of a US dollar.
    pub cost_micro_usd: u64,
}

impl Usage {
    /// Input and output tokens together.
    #[must_use]
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens =
            self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(other.cost_micro_usd);
    }
}
