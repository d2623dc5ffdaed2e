//! Whose account it is.

use std::fmt;

use orch_core::{AgentId, ChainId};
use serde::{Deserialize, Serialize};

/// Whose account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountName {
    /// The whole run's.
    Run,
    /// One agent's, without its children.
    Agent(AgentId),
    /// An agent's and all that it spawned, and they spawned.
    Subtree(AgentId),
    /// A chain's.
    Chain(ChainId),
    /// A part of a chain that was split off.
    Branch {
        /// The chain.
        chain: ChainId,
        /// The number of the branch, which no other branch of the ledger has.
        number: u64,
    },
}

impl AccountName {
    /// The chain that it belongs to.
    #[must_use]
    pub const fn chain(self) -> Option<ChainId> {
        match self {
            Self::Chain(chain) | Self::Branch { chain, .. } => Some(chain),
            _ => None,
        }
    }

    /// The key of the team file where its limits stand.
    pub(crate) const fn section(self) -> &'static str {
        match self {
            Self::Run => "budget.run",
            Self::Agent(_) => "budget.agent",
            Self::Subtree(_) => "budget.subtree",
            Self::Chain(_) | Self::Branch { .. } => "budget.chain",
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("the run"),
            Self::Agent(agent) => write!(f, "{agent}"),
            Self::Subtree(agent) => write!(f, "{agent} and what it spawned"),
            Self::Chain(chain) => write!(f, "{chain}"),
            Self::Branch { chain, number } => write!(f, "branch {number} of {chain}"),
        }
    }
}
