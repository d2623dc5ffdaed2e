//! Carries a flow's messages over the bus: the one place where flows meet the runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use orch_runtime::{
    AgentId, AgentMessage, Content, DeadLetter, LoopGuard, MessagePriority, Router,
};

use crate::flow::{Flow, FlowError, FlowKey, FlowSend, FlowSpec};
use crate::name::AgentName;

/// The flow of a running team, as the runtime sees it.
pub(crate) struct FlowRouter {
    flow: Mutex<Flow>,
    agents: BTreeMap<AgentName, AgentId>,
    /// The priorities that agents send with, where it is not the default.
    priorities: BTreeMap<AgentId, MessagePriority>,
}

impl FlowRouter {
    pub(crate) fn new(
        spec: &FlowSpec,
        guards: LoopGuard,
        agents: BTreeMap<AgentName, AgentId>,
        priorities: BTreeMap<AgentId, MessagePriority>,
    ) -> Self {
        Self { flow: Mutex::new(Flow::new(spec, guards)), agents, priorities }
    }

    pub(crate) fn flow(&self) -> MutexGuard<'_, Flow> {
        // A flow changes its state before it can panic, so what a poisoned lock guards is whole.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn agents(&self) -> &BTreeMap<AgentName, AgentId> {
        &self.agents
    }

    /// Begins the flow; the messages to send before the run starts.
    pub(crate) fn start(&self, inputs: Vec<Content>) -> Result<Vec<AgentMessage>, FlowError> {
        let sends = self.flow().start(inputs)?;
        Ok(self.messages(AgentId::OUTSIDE, sends))
    }

    fn messages(&self, from: AgentId, sends: Vec<FlowSend>) -> Vec<AgentMessage> {
        sends.into_iter().filter_map(|send| self.message(from, send)).collect()
    }

    fn message(&self, from: AgentId, send: FlowSend) -> Option<AgentMessage> {
        let own = self.priorities.get(&from).copied().unwrap_or_default();
        // A team's flow names no agent that the team does not have.
        let to = *self.agents.get(&send.to)?;
        let message = AgentMessage::new(from, to, send.content)
            .with_priority(send.priority.unwrap_or(own))
            .with_metadata(FlowKey::METADATA, send.key.to_string());
        Some(message)
    }
}

/// The place of a message in the flow; `None` for one that agents sent by themselves.
fn key_of(message: &AgentMessage) -> Option<FlowKey> {
    message.metadata().get(FlowKey::METADATA)?.parse().ok()
}

impl Router for FlowRouter {
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        output: Option<&Content>,
    ) -> Vec<AgentMessage> {
        let Some(key) = key_of(message) else { return Vec::new() };
        let sends = self.flow().settled(&key, output.cloned());
        self.messages(agent, sends)
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        let Some(key) = key_of(&letter.message) else { return Vec::new() };
        let sends = self.flow().gave_up(&key, &reason(letter));
        self.messages(letter.message.to(), sends)
    }
}

/// Why a message was given up, with what its last attempt said.
fn reason(letter: &DeadLetter) -> String {
    match letter.attempts.last() {
        Some(last) => format!("{}: {}", letter.reason, last.error),
        None => letter.reason.to_string(),
    }
}

impl fmt::Debug for FlowRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowRouter").field("agents", &self.agents).finish_non_exhaustive()
    }
}
