//! The counted grants of an engine as a value, so that a journal can keep them across a restart.

use orch_core::{AgentId, Timestamp};
use serde::{Deserialize, Serialize};

/// The grants that rates are judged by; see [`PolicyEngine::counters`](crate::PolicyEngine::counters).
///
/// In JSON a list, ordered by agent and policy, of `{ agent, policy, granted_at }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RateCounters {
    pub(crate) counters: Vec<Counter>,
}

impl RateCounters {
    /// What was granted: to which agent, by the policy of which name, and when; in order of time.
    #[must_use]
    pub fn from_grants(grants: impl IntoIterator<Item = (AgentId, String, Timestamp)>) -> Self {
        let counter = |(agent, policy, at)| Counter { agent, policy, granted_at: vec![at] };
        Self { counters: grants.into_iter().map(counter).collect() }
    }
}

/// What one policy of one agent granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) agent: AgentId,
    /// The name of the policy: a tool, or `*`.
    pub(crate) policy: String,
    pub(crate) granted_at: Vec<Timestamp>,
}
