//! What was seen of a run, by agent: the state behind every view. No I/O.

use std::collections::HashMap;
use std::time::Duration;

use orch_runtime::{
    AgentId, AgentStatus, Event, EventKind, MessagePriority, StopReason, Timestamp,
};

/// What was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Board {
    rows: Vec<Row>,
    index: HashMap<AgentId, usize>,
    began: Option<Timestamp>,
    /// The time of the last event.
    pub(crate) at: Timestamp,
    pub(crate) n_accepted: u64,
    pub(crate) n_dead_letters: u64,
    pub(crate) tokens: u64,
    pub(crate) cost_micro_usd: u64,
    /// Processor time of all programs.
    pub(crate) cpu: Duration,
    /// The most memory that one attempt held.
    pub(crate) memory_bytes: u64,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) status: AgentStatus,
    /// The priority of what it handles.
    pub(crate) handles: Option<MessagePriority>,
    pub(crate) n_handled: u64,
    pub(crate) n_retries: u64,
    pub(crate) n_given_up: u64,
    pub(crate) busy: Duration,
    /// The last thing that it said or answered, or that was wrong with it.
    pub(crate) said: String,
}

impl Board {
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn n_handled(&self) -> u64 {
        self.rows.iter().map(|row| row.n_handled).sum()
    }

    pub(crate) fn n_retries(&self) -> u64 {
        self.rows.iter().map(|row| row.n_retries).sum()
    }

    /// The name of an agent; its id where no name was told.
    pub(crate) fn name(&self, agent: AgentId) -> String {
        match self.index.get(&agent) {
            Some(&i) => self.rows[i].name.clone(),
            None if agent == AgentId::OUTSIDE => "(outside)".to_owned(),
            None => agent.to_string(),
        }
    }

    /// The width of the longest name.
    pub(crate) fn name_width(&self) -> usize {
        self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0)
    }

    /// How long after the start of the run `at` is.
    pub(crate) fn since_start(&self, at: Timestamp) -> Duration {
        self.began.map_or(Duration::ZERO, |began| at.since(began))
    }

    /// A reason with names in place of ids.
    pub(crate) fn explain(&self, reason: &StopReason) -> String {
        match reason {
            StopReason::MaxMessagesPerAgent { agent_id, count } => format!(
                "agent `{}` reached its limit of {count} messages (guards.max_messages_per_agent)",
                self.name(*agent_id)
            ),
            StopReason::AgentError { agent_id, error } => {
                format!("agent `{}` failed: {error}", self.name(*agent_id))
            }
            StopReason::MaxIterations => {
                "the limit of iterations was reached (guards.max_iterations)".to_owned()
            }
            StopReason::MaxExecutionTime => {
                "the time limit was reached (guards.max_execution_time)".to_owned()
            }
            reason => reason.to_string(),
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        self.at = event.at;
        match &event.kind {
            EventKind::Registered { agent, name, .. } => self.add(*agent, name),
            EventKind::RunStarted { .. } => self.began = Some(event.at),
            EventKind::Accepted { .. } => self.n_accepted += 1,
            EventKind::StatusChanged { agent, status } => {
                self.change(*agent, |row| row.status = status.clone());
            }
            EventKind::Started { agent, priority, attempt, .. } => self.change(*agent, |row| {
                row.handles = Some(*priority);
                row.n_retries += u64::from(*attempt > 1);
            }),
            EventKind::Settled { agent, output, handling_ms, .. } => self.change(*agent, |row| {
                row.n_handled += 1;
                row.busy += Duration::from_millis(*handling_ms);
                if let Some(output) = output {
                    row.said = output.to_string();
                }
            }),
            EventKind::RetryScheduled { agent, error, attempt, .. } => self.change(*agent, |row| {
                row.said = format!("attempt {attempt} failed: {error}");
            }),
            EventKind::DeadLettered { agent, reason, error, .. } => {
                self.n_dead_letters += 1;
                let why = error.clone().unwrap_or_else(|| reason.to_string());
                self.change(*agent, |row| {
                    row.n_given_up += 1;
                    row.said = format!("gave up: {why}");
                });
            }
            EventKind::Said { agent, text } => {
                self.change(*agent, |row| row.said.clone_from(text));
            }
            EventKind::UsageReported { usage, .. } => {
                self.tokens = self.tokens.saturating_add(usage.total_tokens());
                self.cost_micro_usd = self.cost_micro_usd.saturating_add(usage.cost_micro_usd);
            }
            EventKind::ResourcesUsed { resources, .. } => {
                self.cpu += Duration::from_millis(resources.cpu_ms);
                self.memory_bytes = self.memory_bytes.max(resources.memory_bytes);
            }
            _ => {}
        }
    }

    fn add(&mut self, agent: AgentId, name: &str) {
        if let Some(&i) = self.index.get(&agent) {
            // One of an earlier process, which has its configuration of now.
            name.clone_into(&mut self.rows[i].name);
            return;
        }
        self.index.insert(agent, self.rows.len());
        self.rows.push(Row {
            agent,
            name: name.to_owned(),
            status: AgentStatus::Idle,
            handles: None,
            n_handled: 0,
            n_retries: 0,
            n_given_up: 0,
            busy: Duration::ZERO,
            said: String::new(),
        });
    }

    fn change(&mut self, agent: AgentId, change: impl FnOnce(&mut Row)) {
        if let Some(&i) = self.index.get(&agent) {
            change(&mut self.rows[i]);
        }
    }
}
