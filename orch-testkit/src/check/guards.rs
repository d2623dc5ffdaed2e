//! No guard is passed by one.

use orch_core::{EventKind, MessageId};

use super::model::Place;
use super::{Found, Invariant, Seen};
use crate::history::What;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    if matches!(
        &seen.record.what,
        What::Told(EventKind::Started { .. }) | What::Began { .. } | What::Ended { .. }
    ) {
        time(seen, found);
    }
    if let What::Told(EventKind::Started { message, round, .. }) = &seen.record.what {
        counts(seen, found, *message, *round);
    }
}

fn time(seen: &Seen<'_>, found: &mut Found) {
    let Some(run) = &seen.model.run else { return };
    let limit = seen.model.terms.guard.max_execution_time_ms;
    let deadline = run.began_at.saturating_add(limit);
    found.expect(seen.record.at <= deadline, Invariant::MaxExecutionTime, || {
        format!("{} ms is after the run's time limit of {limit} ms", seen.record.at)
    });
}

fn counts(seen: &Seen<'_>, found: &mut Found, id: MessageId, round: u64) {
    let model = seen.model;
    let Some(message) = model.messages.get(&id) else { return };
    let expected = match message.place {
        Place::Parked { round } => round,
        // Not handled, only given up.
        _ if message.is_expired(seen.record.at) => return,
        _ => model.round_of(message),
    };
    let guard = &model.terms.guard;
    let is_within = guard.max_iterations == u32::MAX || round <= u64::from(guard.max_iterations);
    found.expect(round == expected && is_within, Invariant::MaxIterations, || {
        format!(
            "{id} is handed out in round {round}; {expected} was expected, the limit is {}",
            guard.max_iterations
        )
    });
    let handed_out = model.agents.get(&message.to).map_or(0, |agent| agent.handed_out);
    let limit = guard.max_messages_per_agent;
    let is_another = message.waits();
    let is_within = limit == u32::MAX || !is_another || handed_out < u64::from(limit);
    found.expect(is_within, Invariant::MaxMessagesPerAgent, || {
        format!("{} is handed {id} after {handed_out} messages, the limit is {limit}", message.to)
    });
}
