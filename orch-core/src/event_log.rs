//! One structured log line an event, at the levels of SPEC.md.
//!
//! Texts that agents or programs wrote are escaped, so that one event is one line and no control
//! character reaches a terminal; what may be long is cut. Contents and tool arguments are not
//! logged: they may hold secrets, and an observer has them.

use tracing::level_filters::LevelFilter;
use tracing::{debug, enabled, error, info, warn};

use crate::{Event, EventKind as Kind, Severity};

/// Characters of a text that the log shows.
const TEXT_MAX: usize = 300;

/// Whether any subscriber of the process wants lines of this level at all: one load, where
/// [`enabled`] asks the subscriber about this target.
#[inline]
pub(crate) fn may_be_enabled(severity: Severity) -> bool {
    let level = match severity {
        Severity::Debug => LevelFilter::DEBUG,
        Severity::Info => LevelFilter::INFO,
        Severity::Warn => LevelFilter::WARN,
        Severity::Error => LevelFilter::ERROR,
    };
    level <= LevelFilter::current()
}

#[cold]
pub(crate) fn enabled(severity: Severity) -> bool {
    match severity {
        Severity::Debug => enabled!(target: "orch", tracing::Level::DEBUG),
        Severity::Info => enabled!(target: "orch", tracing::Level::INFO),
        Severity::Warn => enabled!(target: "orch", tracing::Level::WARN),
        Severity::Error => enabled!(target: "orch", tracing::Level::ERROR),
    }
}

macro_rules! line {
    ($severity:expr, $($args:tt)*) => {
        match $severity {
            Severity::Debug => debug!(target: "orch", $($args)*),
            Severity::Info => info!(target: "orch", $($args)*),
            Severity::Warn => warn!(target: "orch", $($args)*),
            Severity::Error => error!(target: "orch", $($args)*),
        }
    };
}

pub(crate) fn write(severity: Severity, event: &Event) {
    match &event.kind {
        Kind::Registered { agent, name, connector_type, parent } => line!(
            severity, %agent, name = %safe(name), connector_type = %safe(connector_type),
            parent = parent.map(tracing::field::display), "agent registered"
        ),
        Kind::Unregistered { agent } => line!(severity, %agent, "agent unregistered"),
        Kind::StatusChanged { agent, status } => line!(severity, %agent, ?status, "agent status"),
        Kind::RunStarted { run } => line!(severity, run, "orchestrator started"),
        Kind::Accepted { message } => line!(
            severity, message_id = %message.id(), from = %message.from(), to = %message.to(),
            priority = %message.priority(), chain = %message.chain(), hop = message.hop(),
            bytes = message.content().len(), "message accepted"
        ),
        Kind::Started { agent, message, priority, attempt, round } => line!(
            severity, %agent, message_id = %message, %priority, attempt, round, "message received"
        ),
        Kind::Settled { agent, message, attempt, handling_ms, usage, .. } => line!(
            severity, %agent, message_id = %message, attempt, handling_ms, tokens = usage.total_tokens(),
            "message settled"
        ),
        Kind::RetryScheduled { agent, message, attempt, error, retry_at } => line!(
            severity, %agent, message_id = %message, attempt, error = %safe(error), %retry_at, "attempt failed, retry scheduled"
        ),
        Kind::PutBack { agent, message } => {
            line!(severity, %agent, message_id = %message, "message put back");
        }
        Kind::DeadLettered { agent, message, reason, attempts, error } => line!(
            severity, %agent, message_id = %message, reason = %safe(&reason.to_string()), attempts,
            error = error.as_deref().map(safe).map(tracing::field::display), "message is a dead letter"
        ),
        Kind::AgentFailed { agent, error } => {
            line!(severity, %agent, error = %safe(error), "agent failed");
        }
        Kind::Restarted { agent, restarts } => line!(severity, %agent, restarts, "agent restarted"),
        Kind::ToolDecided { agent, call, decision } => line!(
            severity, %agent, tool = %safe(&call.tool), access = ?call.access,
            decision = %safe(&format!("{decision:?}")), "tool call decided"
        ),
        Kind::ApprovalAsked { approval, agent, call } => line!(
            severity, %approval, %agent, tool = %safe(&call.tool), "a person is asked about a tool call"
        ),
        Kind::UsageReported { agent, usage } => line!(
            severity, %agent, input_tokens = usage.input_tokens, output_tokens = usage.output_tokens,
            cost_micro_usd = usage.cost_micro_usd, "usage reported"
        ),
        Kind::ResourcesUsed { agent, message, attempt, resources, reached } => line!(
            severity, %agent, message_id = %message, attempt, cpu_ms = resources.cpu_ms,
            memory_bytes = resources.memory_bytes, processes = resources.processes,
            limit = reached.map(tracing::field::display), "processes ended"
        ),
        Kind::Said { agent, text } => line!(severity, %agent, text = %safe(text), "agent says"),
        Kind::GuardTripped { guard, figure, limit, agent } => line!(
            severity,
            guard,
            figure,
            limit,
            agent = agent.map(tracing::field::display),
            "loop guard triggered"
        ),
        Kind::SendWaiting { to, priority } => {
            line!(severity, %to, %priority, "a send waits for room in a full mailbox");
        }
        Kind::Stopped { run, reason } => {
            line!(severity, run, reason = %safe(&reason.to_string()), "orchestrator stopped");
        }
    }
}

/// The text on one line: control and bidirectional characters escaped, cut at [`TEXT_MAX`].
fn safe(text: &str) -> String {
    let mut safe: String = text.chars().take(TEXT_MAX).flat_map(escape).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        safe.push('…');
    }
    safe
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let is_bidi =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_break = matches!(c, '\u{2028}' | '\u{2029}');
    let (plain, escaped) = if c.is_control() || is_bidi || is_break {
        (None, Some(c.escape_default()))
    } else {
        (Some(c), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_text_is_one_line_without_control_characters() {
        let text = safe("a\nb\r\u{1b}[31m\u{2028}\u{202e}é");
        assert_eq!(text, "a\\nb\\r\\u{1b}[31m\\u{2028}\\u{202e}é");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let text = safe(&"x".repeat(TEXT_MAX + 1));
        assert_eq!(text.chars().count(), TEXT_MAX + 1);
        assert!(text.ends_with('…'));
    }
}
