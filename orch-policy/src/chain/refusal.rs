//! Why a message of a chain is refused.

use orch_core::ChainId;

use super::{Loop, Trail};
use crate::budget::{AccountName, Refusal};

/// Why a message of a chain is refused, and on which path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainRefusal {
    /// The budget does not allow it.
    #[error("{refusal} (path: {trail})")]
    Budget {
        /// Which budget, and the figures.
        refusal: Refusal,
        /// The agents on the way.
        trail: Box<Trail>,
    },
    /// The chain goes round in circles. Its branch is stopped.
    #[error(
        "{account} makes no progress: {round} (path: {trail}); change what is said, or raise \
         `no_progress` in [guards]"
    )]
    NoProgress {
        /// The chain, or its branch.
        account: AccountName,
        /// How it goes round.
        round: Loop,
        /// The agents on the way.
        trail: Box<Trail>,
    },
}

impl ChainRefusal {
    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> Option<ChainId> {
        match self {
            Self::Budget { refusal, .. } => refusal.account.chain(),
            Self::NoProgress { account, .. } => account.chain(),
        }
    }

    /// The agents on the way.
    #[must_use]
    pub const fn trail(&self) -> &Trail {
        match self {
            Self::Budget { trail, .. } | Self::NoProgress { trail, .. } => trail,
        }
    }
}
