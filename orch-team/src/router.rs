//! Carries a flow's messages over the bus: the one place where flows meet the runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use orch_runtime::{
    AgentId, AgentMessage, Content, DeadLetter, LoopGuard, MessageId, MessagePriority, Past, Router,
};

use crate::flow::{Flow, FlowAnswer, FlowError, FlowKey, FlowSend, FlowSpec};
use crate::name::AgentName;
use crate::past::{Missing, Rebuilt, rebuild};

/// The flow of a running team, as the runtime sees it.
pub(crate) struct FlowRouter {
    spec: FlowSpec,
    guards: LoopGuard,
    state: Mutex<State>,
    agents: BTreeMap<AgentName, AgentId>,
    /// The priorities that agents send with, where it is not the default.
    priorities: BTreeMap<AgentId, MessagePriority>,
}

struct State {
    flow: Flow,
    /// Which message stands at each open place of the flow. Another one of that place, of before a dead
    /// letter was sent again, has no part in the flow any more.
    sent: BTreeMap<FlowKey, MessageId>,
}

impl FlowRouter {
    pub(crate) fn new(
        spec: &FlowSpec,
        guards: LoopGuard,
        agents: BTreeMap<AgentName, AgentId>,
        priorities: BTreeMap<AgentId, MessagePriority>,
    ) -> Self {
        let state = State { flow: Flow::new(spec, guards), sent: BTreeMap::new() };
        Self { spec: spec.clone(), guards, state: Mutex::new(state), agents, priorities }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A flow changes its state before it can panic, so what a poisoned lock guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn agents(&self) -> &BTreeMap<AgentName, AgentId> {
        &self.agents
    }

    pub(crate) fn answer_so_far(&self) -> FlowAnswer {
        self.state().flow.answer_so_far()
    }

    /// Messages that have ended, and those that have not.
    pub(crate) fn progress(&self) -> (u64, usize) {
        let state = self.state();
        (state.flow.n_ended(), state.flow.n_open())
    }

    /// Begins the flow; the messages to send before the run starts.
    pub(crate) fn start(&self, inputs: Vec<Content>) -> Result<Vec<AgentMessage>, FlowError> {
        let mut state = self.state();
        let sends = state.flow.start(inputs)?;
        Ok(self.messages(&mut state, AgentId::OUTSIDE, sends))
    }

    /// Brings the flow to where the past leads; the messages that it wants sent and nobody accepted.
    pub(crate) fn take_up(
        &self,
        inputs: Vec<Content>,
        past: Vec<Past>,
    ) -> Result<Vec<AgentMessage>, FlowError> {
        let Rebuilt { flow, sent, missing } = rebuild(&self.spec, self.guards, inputs, past)?;
        let mut state = self.state();
        *state = State { flow, sent };
        let messages = missing.into_iter().filter_map(|Missing { send, cause }| {
            let from = cause.as_ref().map_or(AgentId::OUTSIDE, AgentMessage::to);
            let message = self.message(&mut state, from, send)?;
            Some(match &cause {
                Some(cause) => message.caused_by(cause),
                None => message,
            })
        });
        Ok(messages.collect())
    }

    fn ended(
        &self,
        message: &AgentMessage,
        agent: AgentId,
        tell: impl FnOnce(&mut Flow, &FlowKey) -> Vec<FlowSend>,
    ) -> Vec<AgentMessage> {
        let Some(key) = key_of(message) else { return Vec::new() };
        let mut state = self.state();
        if state.sent.get(&key) != Some(&message.id()) {
            return Vec::new();
        }
        state.sent.remove(&key);
        let sends = tell(&mut state.flow, &key);
        self.messages(&mut state, agent, sends)
    }

    fn messages(
        &self,
        state: &mut State,
        from: AgentId,
        sends: Vec<FlowSend>,
    ) -> Vec<AgentMessage> {
        sends.into_iter().filter_map(|send| self.message(state, from, send)).collect()
    }

    fn message(&self, state: &mut State, from: AgentId, send: FlowSend) -> Option<AgentMessage> {
        let own = self.priorities.get(&from).copied().unwrap_or_default();
        // A team's flow names no agent that the team does not have.
        let to = *self.agents.get(&send.to)?;
        let message = AgentMessage::new(from, to, send.content)
            .with_priority(send.priority.unwrap_or(own))
            .with_metadata(FlowKey::METADATA, send.key.to_string());
        state.sent.insert(send.key, message.id());
        Some(message)
    }
}

/// The place of a message in the flow; `None` for one that agents sent by themselves.
pub(crate) fn key_of(message: &AgentMessage) -> Option<FlowKey> {
    message.metadata().get(FlowKey::METADATA)?.parse().ok()
}

impl Router for FlowRouter {
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        output: Option<&Content>,
    ) -> Vec<AgentMessage> {
        self.ended(message, agent, |flow, key| flow.settled(key, output.cloned()))
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        let reason = reason(letter);
        self.ended(&letter.message, letter.message.to(), |flow, key| flow.gave_up(key, &reason))
    }
}

/// Why a message was given up, with what its last attempt said.
pub(crate) fn reason(letter: &DeadLetter) -> String {
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
