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

/// What one policy of one agent granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) agent: AgentId,
    /// The name of the policy: a tool, or `*`.
    pub(crate) policy: String,
    pub(crate) granted_at: Vec<Timestamp>,
}
