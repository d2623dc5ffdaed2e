//! What pages call the commands with: one struct a command, spelled as in JSON.
//!
//! A key that is not here is refused, so that a slip (`runId`) is told and not ignored.

use std::collections::BTreeMap;

use orch_runtime::{
    AgentConfig, AgentId, AgentRole, LoopGuard, MessageId, MessagePriority, Timestamp,
};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;

use crate::text::UNLIMITED;

/// The arguments of one command.
pub trait Args: DeserializeOwned {
    /// The keys that there are.
    const KEYS: &'static [&'static str];
}

macro_rules! args {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Which orchestrator; `default` if none is named.
            #[serde(default)]
            pub run_id: Option<String>,
        }

        impl Args for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field),)* "run_id"];
        }
    )*};
}

args! {
    /// Of `register_agent`.
    RegisterAgentArgs {
        /// What to register.
        request: RegisterAgentRequest,
    }
    /// Of commands about one agent.
    AgentArgs {
        /// Which agent.
        agent_id: AgentId,
    }
    /// Of commands about one orchestrator.
    RunArgs {}
    /// Of `create_orchestrator`.
    CreateOrchestratorArgs {
        /// How to make it.
        request: CreateOrchestratorRequest,
    }
    /// Of `start_orchestrator`.
    StartOrchestratorArgs {
        /// What a team's flow starts with. Only where the host opened a team under this `run_id`.
        #[serde(default)]
        inputs: Option<Vec<String>>,
    }
    /// Of `send_message`.
    SendMessageArgs {
        /// What to send.
        request: SendMessageRequest,
    }
    /// Of `broadcast_message`.
    BroadcastMessageArgs {
        /// What to send.
        request: BroadcastMessageRequest,
    }
    /// Of `resend_dead_letter`.
    ResendDeadLetterArgs {
        /// The message of the dead letter.
        message_id: MessageId,
    }
    /// Of `subscribe_events`, besides its channel.
    SubscribeEventsArgs {
        /// The channel, as `Channel` of `@tauri-apps/api/core` writes itself.
        #[cfg_attr(feature = "ts", ts(type = "import(\"@tauri-apps/api/core\").Channel<EventFrame>"))]
        on_event: ChannelId,
        /// The number after which to begin: 0 for all that are kept. By default that of the answer.
        #[serde(default)]
        after: Option<u64>,
    }
}

/// The text by which a page names a channel.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub String);

/// An agent to register.
#[derive(Clone, Debug, serde::Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct RegisterAgentRequest {
    /// How it is made; what is left out has its default.
    #[serde(deserialize_with = "agent_config")]
    #[cfg_attr(
        feature = "ts",
        ts(
            type = "Pick<AgentConfig, \"name\" | \"role\" | \"connector_type\"> & Partial<AgentConfig>"
        )
    )]
    pub config: AgentConfig,
}

/// The counts that stop a run; what is left out has its default.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(deny_unknown_fields)]
pub struct CreateOrchestratorRequest {
    /// Rounds of hand-outs. Default 100; `UNLIMITED` for no limit.
    #[serde(default, deserialize_with = "count")]
    pub max_iterations: Option<u32>,
    /// Messages that one agent handles. Default 50; `UNLIMITED` for no limit.
    #[serde(default, deserialize_with = "count")]
    pub max_messages_per_agent: Option<u32>,
    /// Milliseconds that a run may take. Default 600,000; `UNLIMITED` for no limit.
    #[serde(default, deserialize_with = "millis")]
    pub max_execution_time_ms: Option<u64>,
}

/// A message to one agent.
#[derive(Clone, Debug, serde::Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(deny_unknown_fields)]
pub struct SendMessageRequest {
    /// Who is to handle it.
    pub to: AgentId,
    /// What it says.
    pub content: String,
    /// How urgent it is. Default `Normal`.
    #[serde(default)]
    pub priority: Option<MessagePriority>,
    /// Lines of metadata.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// When nobody wants it handled any more.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
}

/// A message to all agents.
#[derive(Clone, Debug, serde::Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(deny_unknown_fields)]
pub struct BroadcastMessageRequest {
    /// What it says.
    pub content: String,
    /// How urgent it is. Default `Normal`.
    #[serde(default)]
    pub priority: Option<MessagePriority>,
    /// Lines of metadata.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl CreateOrchestratorRequest {
    pub(crate) fn guard(self) -> LoopGuard {
        let default = LoopGuard::default();
        LoopGuard {
            max_iterations: self.max_iterations.unwrap_or(default.max_iterations),
            max_messages_per_agent: self
                .max_messages_per_agent
                .unwrap_or(default.max_messages_per_agent),
            max_execution_time_ms: self
                .max_execution_time_ms
                .unwrap_or(default.max_execution_time_ms),
        }
    }
}

/// An agent's configuration, whose unknown keys are refused and whose limits may be `UNLIMITED`.
fn agent_config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AgentConfig, D::Error> {
    let mut config = Value::deserialize(deserializer)?;
    let Some(entries) = config.as_object_mut() else {
        return Err(D::Error::custom("the configuration of an agent is an object"));
    };
    let known = known_keys();
    if let Some(key) = entries.keys().find(|key| !known.contains(key)) {
        return Err(D::Error::custom(format!(
            "unknown field `{key}`; known are {}",
            known.join(", ")
        )));
    }
    for (key, most) in [("timeout_ms", u64::MAX), ("max_retries", u64::from(u32::MAX))] {
        if let Some(value) = entries.get_mut(key).filter(|value| is_unlimited(value)) {
            *value = most.into();
        }
    }
    AgentConfig::deserialize(config).map_err(D::Error::custom)
}

/// The fields of a configuration: those that one has in JSON.
fn known_keys() -> Vec<String> {
    let config = AgentConfig::new(String::new(), AgentRole::Worker, String::new());
    match serde_json::to_value(config) {
        Ok(Value::Object(entries)) => entries.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    limit(deserializer, u32::MAX)
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    limit(deserializer, u64::MAX)
}

fn limit<'de, D, T>(deserializer: D, most: T) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    if is_unlimited(&value) {
        return Ok(Some(most));
    }
    Option::<T>::deserialize(value).map_err(D::Error::custom)
}

/// Whether this is a whole number beyond what JavaScript holds exactly. It writes large ones as
/// floating-point numbers, and the 64-bit maximum rounded up.
fn is_unlimited(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number >= UNLIMITED as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn register(config: Value) -> Result<AgentConfig, String> {
        let args = RegisterAgentArgs::deserialize(json!({ "request": { "config": config } }));
        args.map(|args| args.request.config).map_err(|error| error.to_string())
    }

    #[test]
    fn what_javascript_makes_of_the_largest_number_means_no_limit() {
        for text in ["18446744073709552000", "9007199254740991", "1.8446744073709552e19"] {
            let timeout: Value = serde_json::from_str(text).unwrap();
            let config = json!({ "name": "a", "role": "Worker", "connector_type": "x",
                "timeout_ms": timeout, "max_retries": timeout });
            let config = register(config).unwrap();
            assert_eq!((config.timeout_ms, config.max_retries), (u64::MAX, u32::MAX), "{text}");
        }
        let request = json!({ "max_iterations": UNLIMITED, "max_execution_time_ms": UNLIMITED });
        let guard = CreateOrchestratorRequest::deserialize(request).unwrap().guard();
        assert_eq!(guard, LoopGuard { max_messages_per_agent: 50, ..LoopGuard::unlimited() });
    }

    #[test]
    fn a_slip_in_a_configuration_is_refused_by_name() {
        let error = register(json!({ "name": "a", "role": "Worker", "connectorType": "x" }));
        assert!(error.unwrap_err().contains("unknown field `connectorType`; known are"));
        let error = register(json!({ "name": "a", "role": "Boss", "connector_type": "x" }));
        assert!(error.unwrap_err().contains("unknown variant `Boss`"));
        assert!(register(json!("text")).unwrap_err().contains("is an object"));
    }

    #[test]
    fn the_keys_of_a_command_are_those_of_its_struct() {
        assert_eq!(AgentArgs::KEYS, ["agent_id", "run_id"]);
        assert_eq!(SubscribeEventsArgs::KEYS, ["on_event", "after", "run_id"]);
    }
}
