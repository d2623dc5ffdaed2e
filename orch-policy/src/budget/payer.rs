//! Who pays for an agent: itself, each family that it belongs to, and the run.

use std::sync::Arc;

use orch_core::{AgentId, Timestamp};

use super::{Account, AccountName, Ledger, Limits, Purse};

/// The accounts of one agent. A child's are made from its parent's, so that whatever a family spends,
/// however deep, is charged to everybody above as well.
#[derive(Clone, Debug)]
pub struct Payer {
    /// The run, and the subtrees that the agent belongs to.
    family: Vec<Arc<Account>>,
    /// The agent's own.
    own: Option<Arc<Account>>,
}

/// The limits of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    /// On what it spends itself.
    pub agent: Limits,
    /// On what it and all that it spawned spend together.
    pub subtree: Limits,
}

impl Payer {
    /// The run alone.
    #[must_use]
    pub fn run(ledger: &Ledger, limits: Limits, now: Timestamp) -> Self {
        Self { family: vec![ledger.open(AccountName::Run, limits, now)], own: None }
    }

    /// An agent below this one: a team's agent below the run, or a child below its parent.
    #[must_use]
    pub fn child(&self, ledger: &Ledger, id: AgentId, limits: OwnLimits, now: Timestamp) -> Self {
        let mut family = self.family.clone();
        // An account that limits nothing would only be locked.
        if !limits.subtree.is_none() {
            family.push(ledger.open(AccountName::Subtree(id), limits.subtree, now));
        }
        Self { family, own: Some(ledger.open(AccountName::Agent(id), limits.agent, now)) }
    }

    /// The accounts that a spend of this agent is charged to, with the chain that it works for.
    #[must_use]
    pub fn purse(&self, chain: Option<&Arc<Account>>) -> Purse {
        Purse::of(self.family.iter().chain(&self.own).chain(chain).cloned())
    }
}
