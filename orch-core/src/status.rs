//! Where an agent stands, and the changes that are legal.

use serde::{Deserialize, Serialize};

/// Where an agent stands.
///
/// ```text
///   ┌──────▶ Idle ◀──────┐
///   │         │          │ done
///   │         ▼          │
/// start   Processing ────┤
/// again    │      ▲      │
///   │      ▼      │      │
///   │     Waiting ┘      │
///   │         any of them│
///   └────── Failed ◀─────┘
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum AgentStatus {
    /// Ready for work.
    #[default]
    Idle,
    /// Executing.
    Processing,
    /// Waiting for an answer, for room in a mailbox, or for a person.
    Waiting,
    /// Given up until the next start.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// A change of status that cannot happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent cannot go from {from:?} to {to:?}")]
pub struct IllegalStatusChange {
    /// Where the agent stood.
    pub from: AgentStatus,
    /// Where it was to go.
    pub to: AgentStatus,
}

impl AgentStatus {
    /// The status after a change to `next`. Staying where it is always is legal.
    ///
    /// # Errors
    ///
    /// [`IllegalStatusChange`] for `Idle → Waiting`, `Failed → Processing` and
    /// `Failed → Waiting`: who waits was processing, and who failed is idle before it works again.
    pub fn change(self, next: Self) -> Result<Self, IllegalStatusChange> {
        match (&self, &next) {
            (Self::Idle, Self::Waiting)
            | (Self::Failed { .. }, Self::Processing | Self::Waiting) => {
                Err(IllegalStatusChange { from: self, to: next })
            }
            _ => Ok(next),
        }
    }

    /// Whether the agent has failed.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::AgentStatus::{self, *};

    #[test]
    fn exactly_three_changes_are_illegal() {
        let failed = || Failed { reason: "x".into() };
        let all = || [Idle, Processing, Waiting, failed()];
        let mut illegal: Vec<(AgentStatus, AgentStatus)> = Vec::new();
        for from in all() {
            for to in all() {
                if from.clone().change(to.clone()).is_err() {
                    illegal.push((from.clone(), to));
                }
            }
        }
        let expected = vec![(Idle, Waiting), (failed(), Processing), (failed(), Waiting)];
        assert_eq!(illegal, expected);
    }
}
