//! Names what a handler does, so that it can be told from doing the same again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{MessageId, ParseIdError};

/// Names one step of one delivery: stable over attempts and restarts, so that tools and connectors
/// can use it as an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    /// The message that is handled.
    pub delivery: MessageId,
    /// Which step of its handling, counted from 1.
    pub n: u32,
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.delivery, self.n)
    }
}

/// A text that names no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseStepKeyError {
    /// It has no number.
    #[error("`{0}` names no step (expected a message's id, `/` and a number)")]
    NoNumber(String),
    /// What stands before the number is no message's id.
    #[error(transparent)]
    Delivery(#[from] ParseIdError),
}

impl FromStr for StepKey {
    type Err = ParseStepKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once('/').and_then(|(id, n)| Some((id, n.parse().ok()?)));
        let (delivery, n) = parts.ok_or_else(|| ParseStepKeyError::NoNumber(text.to_owned()))?;
        Ok(Self { delivery: delivery.parse()?, n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_is_shown() {
        let key = StepKey { delivery: MessageId::new(), n: 3 };
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "3", "message-/3", "message-00000000-0000-0000-0000-000000000000/x"] {
            assert!(wrong.parse::<StepKey>().is_err(), "{wrong}");
        }
    }
}
