//! What an agent is: its role, its configuration, and what the registry tells about it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AgentId, AgentStatus, MessagePriority, Timestamp, ToolPolicy};

/// What an agent is in its team. It changes nothing in how the agent is dispatched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum AgentRole {
    /// Manages other agents.
    Coordinator,
    /// Performs tasks.
    Worker,
    /// Validates outputs.
    Reviewer,
    /// Whatever its user says.
    Custom(String),
}

impl fmt::Display for AgentRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("Coordinator"),
            Self::Worker => f.write_str("Worker"),
            Self::Reviewer => f.write_str("Reviewer"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

/// What a supervisor does after a message of an agent became a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestartPolicy {
    /// The agent is `Failed`; its waiting messages stay in its mailbox.
    #[default]
    Never,
    /// Its session is reopened and it goes on with the next message, up to the restart intensity.
    OnFailure,
    /// As `OnFailure`; a session that ended by itself without a failure is reopened as well, and
    /// counts as a restart.
    Always,
}

/// How an agent is made: who it is, what drives it, and the limits on it.
///
/// In JSON only `name`, `role` and `connector_type` are needed; the rest has defaults.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct AgentConfig {
    /// The name that people use. Two agents may have the same; ids tell them apart.
    pub name: String,
    /// What the agent is in its team.
    pub role: AgentRole,
    /// Which connector drives the agent, such as `subprocess`.
    pub connector_type: String,
    /// Attempts after the first: 3 means at most four attempts. Default 3.
    #[serde(default = "default_max_retries")]
    pub max_retries: u32,
    /// Milliseconds that one attempt may take; the maximum of the type means no limit. Default
    /// 300,000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// What the agent may call. A call without a policy is denied.
    #[serde(default)]
    pub tool_policies: Vec<ToolPolicy>,
    /// What the connector needs: command, model, folder … The connector documents and checks it.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Messages that the agent handles at once, at least 1. Default 1.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// What happens after one of its messages became a dead letter. Default `never`.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// The priority of what it sends, unless a message says otherwise. Default `Normal`.
    #[serde(default)]
    pub send_priority: MessagePriority,
}

const fn default_max_retries() -> u32 {
    3
}

const fn default_timeout_ms() -> u64 {
    300_000
}

const fn default_concurrency() -> u32 {
    1
}

impl AgentConfig {
    /// An agent with the defaults of each field.
    #[must_use]
    pub fn new(name: String, role: AgentRole, connector_type: String) -> Self {
        Self {
            name,
            role,
            connector_type,
            max_retries: default_max_retries(),
            timeout_ms: default_timeout_ms(),
            tool_policies: Vec::new(),
            settings: Map::new(),
            concurrency: default_concurrency(),
            restart: RestartPolicy::default(),
            send_priority: MessagePriority::default(),
        }
    }

    /// Sets the attempts after the first.
    #[must_use]
    pub fn with_max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
        self
    }

    /// Sets the milliseconds that one attempt may take; `u64::MAX` for no limit.
    #[must_use]
    pub fn with_timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// Adds a policy on one tool.
    #[must_use]
    pub fn with_tool_policy(mut self, policy: ToolPolicy) -> Self {
        self.tool_policies.push(policy);
        self
    }

    /// Sets one of the connector's settings.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// Sets how many messages the agent handles at once; 0 is taken as 1.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Sets what happens after one of the agent's messages became a dead letter.
    #[must_use]
    pub fn with_restart(mut self, restart: RestartPolicy) -> Self {
        self.restart = restart;
        self
    }

    /// Sets the priority of what the agent sends.
    #[must_use]
    pub fn with_send_priority(mut self, priority: MessagePriority) -> Self {
        self.send_priority = priority;
        self
    }
}

/// Shows the names of the settings but not their values, which may be secrets.
impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("connector_type", &self.connector_type)
            .field("max_retries", &self.max_retries)
            .field("timeout_ms", &self.timeout_ms)
            .field("tool_policies", &self.tool_policies)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .field("concurrency", &self.concurrency)
            .field("restart", &self.restart)
            .field("send_priority", &self.send_priority)
            .finish()
    }
}

/// What the registry tells about an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct AgentMetadata {
    /// The agent's id.
    pub id: AgentId,
    /// How it was made.
    pub config: AgentConfig,
    /// Where it stands; may be stale by the time it is read.
    pub status: AgentStatus,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Which agent spawned it; `None` for one that was registered from outside.
    #[serde(default)]
    pub parent: Option<AgentId>,
    /// How many parents lie above it.
    #[serde(default)]
    pub depth: u32,
}

impl AgentMetadata {
    /// An idle agent without a parent, registered at `created_at`.
    #[must_use]
    pub fn new(id: AgentId, config: AgentConfig, created_at: Timestamp) -> Self {
        Self { id, config, status: AgentStatus::Idle, created_at, parent: None, depth: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value_of_a_setting() {
        let config = AgentConfig::new("a".into(), AgentRole::Worker, "x".into())
            .with_setting("api_key", "s3cret");
        let shown = format!("{config:?}");
        assert!(shown.contains("api_key") && !shown.contains("s3cret"), "{shown}");
    }
}
