//! A ring of waits.

use std::fmt;

use super::Party;

/// How many parties are shown.
const SHOWN_MAX: usize = 16;

/// Parties each of which waits for the next one, and the last one for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    parties: Vec<Party>,
}

impl Ring {
    pub(super) const fn new(parties: Vec<Party>) -> Self {
        Self { parties }
    }

    /// The parties, from the one whose wait closed the ring. A party that waits for itself is alone.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ring of waits that nothing would end: ")?;
        for party in self.parties.iter().take(SHOWN_MAX) {
            write!(f, "{party} → ")?;
        }
        let left_out = self.parties.len().saturating_sub(SHOWN_MAX);
        if left_out > 0 {
            write!(f, "{left_out} more → ")?;
        }
        self.parties.first().map_or(Ok(()), |first| write!(f, "{first}"))
    }
}

impl std::error::Error for Ring {}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "{agent}"),
            Self::Turn { agent, number } => write!(f, "turn {number} of {agent}"),
            Self::Approval(approval) => write!(f, "{approval}"),
            Self::Rate(agent) => write!(f, "the rate of {agent}"),
            Self::Budget(account) => write!(f, "the budget of {account}"),
            Self::Slots => f.write_str("a slot"),
        }
    }
}
