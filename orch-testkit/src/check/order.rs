//! The promise of order, and what a backoff holds back.

use orch_core::{AgentId, EventKind, MessageId, MessagePriority};

use super::model::{Message, Model, Place};
use super::{Found, Invariant, Seen};
use crate::history::What;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    let What::Told(EventKind::Started { agent, message, .. }) = &seen.record.what else { return };
    let Some(next) = seen.model.messages.get(message) else { return };
    let is_again = matches!(next.place, Place::Parked { .. });
    for (other, waiting) in seen.model.of_agent(*agent).filter(|(other, _)| other != message) {
        if waiting.waits() && !seen.model.is_capped(waiting) {
            mailbox(found, (*message, next), (other, waiting), is_again);
        }
        if matches!(waiting.place, Place::Parked { .. }) {
            backoff(found, (*message, next), (other, waiting), is_again);
        }
    }
    slot(seen.model, found, *agent, next.priority);
}

type Named<'a> = (MessageId, &'a Message);

/// A put-back message is where it was before it was checked out, so the order in which messages of
/// one lane were accepted holds for it too. A retry is not in the mailbox: more urgent ones overtake
/// it, those of its lane do not.
fn mailbox(found: &mut Found, (next, of): Named<'_>, (other, waiting): Named<'_>, is_again: bool) {
    found.expect(waiting.priority <= of.priority, Invariant::MostUrgentFirst, || {
        format!("{next} ({}) is handed out while {other} ({}) waits", of.priority, waiting.priority)
    });
    let same_lane = waiting.priority == of.priority && !is_again;
    let overtakes = same_lane && waiting.accepted < of.sending;
    found.expect(!overtakes, Invariant::FirstInFirstOut, || {
        format!("{next} is handed out while {other}, which was accepted before, waits")
    });
}

/// Another one that is between two attempts itself has its turn when its backoff is over.
fn backoff(found: &mut Found, (next, of): Named<'_>, (other, parked): Named<'_>, is_again: bool) {
    let is_held_back = of.priority < parked.priority || of.priority == parked.priority && !is_again;
    found.expect(!is_held_back, Invariant::BackoffHoldsBack, || {
        format!(
            "{next} ({}) is handed out while {other} ({}) is between two attempts",
            of.priority, parked.priority
        )
    });
}

/// With free slots no order between agents is promised; the last one goes to the most urgent.
fn slot(model: &Model<'_>, found: &mut Found, to: AgentId, priority: MessagePriority) {
    // A message is told to be settled before its answer is passed on, which may have to wait; what
    // its agent is free for meanwhile cannot be seen from here.
    if model.terms.has_router || n_slots_taken(model) + 1 < model.terms.max_concurrency {
        return;
    }
    let more_urgent = |message: &Message| {
        message.to != to
            && message.waits()
            && message.priority > priority
            && !model.is_capped(message)
    };
    for (id, message) in model.messages.iter().filter(|(_, message)| more_urgent(message)) {
        found.expect(!is_eligible(model, message), Invariant::SlotsGoToTheMostUrgent, || {
            format!(
                "the last slot goes to {to} ({priority}) while {id} ({}) waits for {}",
                message.priority, message.to
            )
        });
    }
}

/// Attempts that are not in a wait of their handler.
fn n_slots_taken(model: &Model<'_>) -> usize {
    let running = |message: &&Message| matches!(message.place, Place::Running { .. });
    let n_running = model.messages.values().filter(running).count();
    let n_waiting = model.handlers.values().filter(|handler| !handler.has_slot).count();
    n_running.saturating_sub(n_waiting)
}

/// Whether the agent of this message could take it.
fn is_eligible(model: &Model<'_>, message: &Message) -> bool {
    let Some(agent) = model.agents.get(&message.to) else { return false };
    let limit = model.config(message.to).map_or(1, |config| config.concurrency);
    let running = |other: &Message| matches!(other.place, Place::Running { .. });
    let n_running = model.of_agent(message.to).filter(|(_, other)| running(other)).count();
    let holds_back = |other: &Message| {
        matches!(other.place, Place::Parked { .. }) && other.priority >= message.priority
    };
    !agent.is_retired
        && !agent.has_failed
        && n_running < limit as usize
        && !model.of_agent(message.to).any(|(_, other)| holds_back(other))
}
