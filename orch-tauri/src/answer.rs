//! What the commands answer, and how an answer becomes JSON that JavaScript can hold.

use orch_runtime::{AgentId, AgentMetadata, Event, MessageId, OrchestratorMetrics, StopReason};
use serde::Serialize;
use tauri::ipc::{InvokeResponseBody, IpcResponse};

use crate::text;

/// An answer of a command: the JSON of `T`, with numbers that JavaScript holds exactly.
#[derive(Clone, Debug)]
pub struct Answer<T>(pub T);

impl<T: Serialize> IpcResponse for Answer<T> {
    fn body(self) -> tauri::Result<InvokeResponseBody> {
        let mut value = serde_json::to_value(self.0)?;
        text::clamp_numbers(&mut value);
        Ok(InvokeResponseBody::Json(value.to_string()))
    }
}

/// Of `register_agent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
pub struct RegisterAgentResponse {
    /// The agent's id.
    pub agent_id: AgentId,
    /// Why the agent cannot run on this machine as it is: its kind is not known, or its program is
    /// not there. It is registered; a run refuses to start while messages wait for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cannot_run: Option<String>,
}

/// Of `start_orchestrator`, when the run has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
pub struct StartOrchestratorResponse {
    /// Why the run ended.
    pub stop_reason: StopReason,
    /// What the team says, where the host opened one under this `run_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<TeamAnswer>,
}

/// What a team says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TeamAnswer {
    /// Its answer; empty if nothing came of the flow.
    pub content: String,
    /// Whether something that belongs into the answer is missing from it.
    pub partial: bool,
    /// What went wrong, in the order in which it happened.
    pub problems: Vec<String>,
}

/// Of `stop_orchestrator`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StopOrchestratorResponse {
    /// Why the run ended, which may be for another reason; `null` if nothing ran.
    pub stop_reason: Option<StopReason>,
    /// Agents whose handlers have not returned. They keep their messages.
    pub still_running: Vec<AgentId>,
}

/// Of `send_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SendMessageResponse {
    /// The id of the message.
    pub message_id: MessageId,
}

/// Of `broadcast_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct BroadcastMessageResponse {
    /// How many mailboxes accepted it; what the others refused is a dead letter.
    pub recipients: usize,
}

/// Of `subscribe_events`: how things stood at an event. Events that follow may be in it already; to
/// take them again changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Snapshot {
    /// The number of the newest event; 0 if there was none.
    pub number: u64,
    /// Whether `create_orchestrator` was called, or the host opened a team.
    pub is_created: bool,
    /// Whether a run is under way.
    pub is_running: bool,
    /// Why the last run ended; `null` while one is under way, or before the first.
    pub stop_reason: Option<StopReason>,
    /// The agents, in the order in which they were registered.
    pub agents: Vec<AgentMetadata>,
    /// The figures.
    pub metrics: OrchestratorMetrics,
}

/// An event with its place in the order of all events of its orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct NumberedEvent {
    /// Its number, counted from 1.
    pub number: u64,
    /// Whether a text in it was cut, because it is longer than 64 KiB.
    pub cut: bool,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What a channel of `subscribe_events` brings: some events, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct EventFrame {
    /// How many events before these are not kept any more: the reader was too slow, or asked for
    /// old ones. What they said can be read from a new snapshot.
    pub missed: u64,
    /// The events.
    #[cfg_attr(feature = "ts", ts(type = "Array<NumberedEvent>"))]
    pub events: Vec<serde_json::Value>,
}
