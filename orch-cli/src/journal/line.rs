//! What an event says, on one line.

use std::time::Duration;

use orch_journal::{Entry, Record, StepKind};
use orch_runtime::{
    AgentMessage, Decision, EventKind, LoopGuard, MessagePriority, StopReason, Timestamp, Usage,
};

use super::{Names, bytes, clean};
use crate::given::is_given;
use crate::screen::seconds;
use crate::when::local;

/// Whose event it is; empty for one of the whole.
pub(super) fn who(record: &Record, names: &Names) -> String {
    record.agent().map(|agent| names.agent(agent)).unwrap_or_default()
}

/// The message that it is about; empty for none.
pub(super) fn which(record: &Record, names: &Names) -> String {
    record.message().map(|message| names.message(message)).unwrap_or_default()
}

/// What happened.
pub(super) fn what(entry: &Entry, names: &Names) -> String {
    match &entry.record {
        Record::RunStarted { run, guard, .. } => format!("run {run} started{}", limits(guard)),
        Record::RunEnded { run, reason } => {
            format!("run {run} ended: {}", clean(&stopped(reason, names)))
        }
        Record::Recovered {} => "the process before was cut off".to_owned(),
        Record::AgentRegistered { config, parent, .. } => {
            let by = parent.map(|parent| format!(", spawned by {}", names.agent(parent)));
            format!("registered: {}{}", clean(&config.connector_type), by.unwrap_or_default())
        }
        Record::AgentRetired { .. } => "retired".to_owned(),
        Record::AgentFailed { error, .. } => format!("failed: {}", clean(error)),
        Record::AgentRestarted { restarts, .. } => format!("restarted ({restarts})"),
        Record::Accepted { message, .. } => accepted(message, names),
        Record::AttemptStarted { attempt, round, .. } => {
            format!("attempt {attempt} began in round {round}")
        }
        Record::RetryScheduled { attempt, error, retry_at, .. } => {
            let pause = pause(entry.at, *retry_at);
            format!("attempt {attempt} failed ({}), tried again {pause}", clean(error))
        }
        Record::Settled { output, usage: used, handling_ms, .. } => {
            let took = seconds(Duration::from_millis(*handling_ms));
            let said = output.as_ref().map(|output| format!(": {}", clean(output)));
            format!("handled in {took}{}{}", in_brackets(used), said.unwrap_or_default())
        }
        Record::PutBack { .. } => "cut off by a stop, and put back".to_owned(),
        Record::DeadLettered { letter } => {
            format!("given up: {}", clean(&letter.reason.to_string()))
        }
        Record::LetterDropped { sent_as: Some(message), .. } => {
            format!("dead letter sent afresh as {message}")
        }
        Record::LetterDropped { .. } => "dead letter dropped".to_owned(),
        Record::SentAgain { .. } => "dead letter sent again".to_owned(),
        Record::Asked { to, .. } => format!("asks {}", names.agent(*to)),
        Record::Answered { answer, .. } => format!("answered: {}", clean(answer)),
        Record::QuestionFailed { error, .. } => format!("not answered: {}", clean(error)),
        Record::Used { usage: used, .. } => format!("used {}", usage(used)),
        Record::GuardTripped { guard, figure, limit, .. } => {
            format!("guard {} tripped: {figure}, limit {limit}", clean(guard))
        }
        Record::CallGranted { policy, .. } => format!("call granted by {}", clean(policy)),
        Record::Conversed { agent, conversation, text } if is_given(*agent, conversation) => {
            format!("the run has its team and its inputs ({})", bytes(text.len() as u64))
        }
        Record::Conversed { conversation, text, .. } => {
            format!("conversation {} has {} bytes", clean(conversation), text.len())
        }
        Record::Noted { event } => noted(event),
        record => {
            step(record).unwrap_or_else(|| "something that this program does not know".into())
        }
    }
}

fn accepted(message: &AgentMessage, names: &Names) -> String {
    let urgency = match message.priority() {
        MessagePriority::Normal => String::new(),
        priority => format!(", {priority}"),
    };
    format!("accepted from {}{urgency}: {}", names.agent(message.from()), clean(message.content()))
}

/// What a handler did.
fn step(record: &Record) -> Option<String> {
    Some(match record {
        Record::StepTaken { key, kind, name, output, .. } => {
            let did = match kind {
                StepKind::Send => "sends to",
                StepKind::Ask => "asks",
                StepKind::Spawn => "spawns",
                StepKind::Tool => "calls",
                StepKind::Broadcast => "broadcasts to",
                StepKind::Publish => "publishes to",
                StepKind::Retire => "retires",
                _ => "does something with",
            };
            let output = output.as_ref().map(|output| format!(" → {}", clean(output)));
            format!("step {}: {did} {}{}", key.n, clean(name), output.unwrap_or_default())
        }
        Record::StepAnswered { key, output, .. } => {
            format!("step {} answered: {}", key.n, clean(output))
        }
        Record::ToolDecided { key, call, decision, .. } => {
            let decided = match decision {
                Decision::Allow => "may be called".to_owned(),
                Decision::Deny { reason, .. } => format!("is denied: {}", clean(reason)),
                Decision::Ask { reason } => format!("is for a person to decide: {}", clean(reason)),
                other => clean(&format!("{other:?}")),
            };
            format!("step {}: {} {decided}", key.n, clean(&call.tool))
        }
        Record::ToolStarted { key, idempotent: true, .. } => {
            format!("step {}: the call begins, and may be repeated", key.n)
        }
        Record::ToolStarted { key, .. } => format!("step {}: the call begins", key.n),
        Record::ToolFinished { key, output, .. } => {
            format!("step {}: the call ended: {}", key.n, clean(output))
        }
        Record::ToolReset { key, reason, .. } => {
            format!("step {}: the call had no effect: {}", key.n, clean(reason))
        }
        _ => return None,
    })
}

fn noted(event: &EventKind) -> String {
    match event {
        EventKind::Said { text, .. } => format!("says: {}", clean(text)),
        EventKind::StatusChanged { status, .. } => {
            format!("is now {}", clean(&format!("{status:?}")))
        }
        EventKind::SendWaiting { priority, .. } => {
            format!("its {priority} lane is full, a send waits for room")
        }
        EventKind::ApprovalAsked { call, .. } => {
            format!("a person is asked about {}", clean(&call.tool))
        }
        other => clean(&format!("{other:?}")),
    }
}

/// Why a run ended, with the names of agents.
pub(super) fn stopped(reason: &StopReason, names: &Names) -> String {
    match reason {
        StopReason::MaxMessagesPerAgent { agent_id, count } => {
            format!("{} reached its limit of {count} messages", names.agent(*agent_id))
        }
        StopReason::AgentError { agent_id, error } => {
            format!("{} failed: {error}", names.agent(*agent_id))
        }
        other => other.to_string(),
    }
}

fn limits(guard: &LoopGuard) -> String {
    let mut limits = Vec::new();
    if guard.max_iterations < u32::MAX {
        limits.push(format!("{} iterations", guard.max_iterations));
    }
    if guard.max_messages_per_agent < u32::MAX {
        limits.push(format!("{} messages an agent", guard.max_messages_per_agent));
    }
    if guard.max_execution_time_ms < u64::MAX {
        limits.push(seconds(Duration::from_millis(guard.max_execution_time_ms)));
    }
    if limits.is_empty() {
        ", without limits".into()
    } else {
        format!(", limits: {}", limits.join(", "))
    }
}

fn pause(at: Timestamp, retry_at: Timestamp) -> String {
    match retry_at.since(at) {
        Duration::ZERO => "at once".to_owned(),
        long if long > Duration::from_secs(3_600) => format!("at {}", local(retry_at)),
        short => format!("in {}", seconds(short)),
    }
}

fn in_brackets(used: &Usage) -> String {
    if used.is_zero() { String::new() } else { format!(" ({})", usage(used)) }
}

/// What was used; empty for nothing.
pub(crate) fn usage(used: &Usage) -> String {
    if used.is_zero() {
        return String::new();
    }
    let dollars = used.cost_micro_usd as f64 / 1e6;
    let tokens = format!("{} tokens", used.total_tokens());
    if used.cost_micro_usd == 0 { tokens } else { format!("{tokens}, {dollars:.4} USD") }
}
