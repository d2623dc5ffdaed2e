//! Attempts: how many, not too early, not too long, and given up for a cause.

use orch_core::{AgentId, DeadLetterReason, EventKind, MessageId};

use super::model::{Message, Place};
use super::{Found, Invariant, Seen};
use crate::history::{HandlerEnd, Terms, What};

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    match &seen.record.what {
        What::Told(EventKind::Started { agent, message, attempt, .. }) => {
            number(seen, found, *agent, *message, *attempt);
            not_early(seen, found, *message);
        }
        What::Began { message, attempt, .. } => {
            let expected = seen.model.messages.get(message).map(|message| message.fails + 1);
            found.expect(expected == Some(*attempt), Invariant::AttemptsAreCounted, || {
                format!("a handler of {message} was told attempt {attempt}, not {expected:?}")
            });
        }
        What::Ended { handler, .. } => timeout(seen, found, *handler),
        What::Told(EventKind::DeadLettered { agent, message, reason, attempts, .. }) => {
            cause(seen, found, *agent, *message, reason, *attempts);
        }
        _ => {}
    }
}

fn number(seen: &Seen<'_>, found: &mut Found, agent: AgentId, id: MessageId, attempt: u32) {
    let Some(message) = seen.model.messages.get(&id) else { return };
    let most = seen.model.config(agent).map_or(u32::MAX, |config| config.max_retries + 1);
    let is_so = attempt == message.fails + 1 && attempt <= most;
    found.expect(is_so, Invariant::AttemptsAreCounted, || {
        format!(
            "attempt {attempt} of {id} begins after {} failed ones, {most} are allowed",
            message.fails
        )
    });
}

fn not_early(seen: &Seen<'_>, found: &mut Found, id: MessageId) {
    let Some(message) = seen.model.messages.get(&id) else { return };
    let Some((end, ended_at)) = &message.last_end else { return };
    if !matches!(message.place, Place::Parked { .. }) {
        return;
    }
    let pause = pause(seen.model.terms, message.fails, end);
    found.expect(ended_at + pause <= seen.record.at, Invariant::NoRetryEarly, || {
        format!("attempt {} of {id} begins before {ended_at} + {pause} ms", message.fails + 1)
    });
}

/// The shortest pause after failure number `fails`.
fn pause(terms: &Terms, fails: u32, end: &HandlerEnd) -> u64 {
    let doubled = (1..fails).fold(terms.backoff_base_ms, |pause, _| pause.saturating_mul(2));
    let asked = match end {
        HandlerEnd::Failed { retry_after_ms } => retry_after_ms.unwrap_or(0),
        _ => 0,
    };
    doubled.min(terms.backoff_cap_ms).max(asked)
}

fn timeout(seen: &Seen<'_>, found: &mut Found, handler: u64) {
    let Some(handler) = seen.model.handlers.get(&handler) else { return };
    let Some(config) = seen.model.config(handler.agent) else { return };
    let Some(message) = seen.model.messages.get(&handler.message) else { return };
    let Place::Running { since, .. } = message.place else { return };
    let end = since.saturating_add(config.timeout_ms);
    found.expect(seen.record.at <= end, Invariant::Timeout, || {
        format!(
            "an attempt at {} ends {} ms after its timeout",
            handler.message,
            seen.record.at - end
        )
    });
}

fn cause(
    seen: &Seen<'_>,
    found: &mut Found,
    agent: AgentId,
    id: MessageId,
    reason: &DeadLetterReason,
    attempts: u32,
) {
    let Some(message) = seen.model.messages.get(&id) else { return };
    let now = seen.record.at;
    let is_running = matches!(message.place, Place::Running { .. });
    let end = message.last_end.as_ref().map(|(end, _)| end);
    let has_one = match reason {
        DeadLetterReason::AttemptsExhausted => {
            let most = seen.model.config(agent).map_or(0, |config| config.max_retries + 1);
            is_running && attempts == most && message.fails + 1 == most
        }
        DeadLetterReason::FinalFailure => is_running && end == Some(&HandlerEnd::FailedForGood),
        DeadLetterReason::RetryAfterTooLong { retry_after_ms } => {
            let asked = HandlerEnd::Failed { retry_after_ms: Some(*retry_after_ms) };
            is_running && end == Some(&asked) && asked_too_long(message, now, *retry_after_ms)
        }
        DeadLetterReason::Expired => {
            message.is_expired(now) || is_running && message.deadline.is_some()
        }
        DeadLetterReason::Retired => {
            seen.model.agents.get(&agent).is_some_and(|agent| agent.is_retired)
        }
        DeadLetterReason::CannotRun { .. } => is_running,
        // Of a copy that was never accepted.
        _ => false,
    };
    found.expect(has_one, Invariant::GivenUpForACause, || {
        format!("{id} is given up because {reason}, after {} failed attempts, the last of which {end:?}", message.fails)
    });
}

const RETRY_AFTER_MAX_MS: u64 = 600_000;

fn asked_too_long(message: &Message, now: u64, retry_after_ms: u64) -> bool {
    let is_beyond = |deadline: u64| now.saturating_add(retry_after_ms) > deadline;
    retry_after_ms > RETRY_AFTER_MAX_MS || message.deadline.is_some_and(is_beyond)
}
