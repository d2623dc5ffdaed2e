//! Every run ends, when it must, and for the reason that `start` answers.

use orch_core::{EventKind, StopReason};

use super::model::{Message, Model, Place, Run};
use super::{Found, Invariant, Seen};
use crate::history::What;
use orch_runtime::FailurePolicy;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    match &seen.record.what {
        What::Stuck => found.expect(false, Invariant::EveryRunEnds, || stuck(seen.model)),
        What::Told(EventKind::Stopped { reason, .. }) => {
            in_time(seen, found);
            if let Some(run) = &seen.model.run {
                answer(seen, found, run, reason);
            }
        }
        _ => {}
    }
}

/// What stands in the way.
fn stuck(model: &Model<'_>) -> String {
    let open: Vec<String> = model
        .messages
        .iter()
        .filter(|(_, message)| !matches!(message.place, Place::Acked | Place::Dead))
        .map(|(id, message)| format!("{id} to {}: {:?}", message.to, message.place))
        .collect();
    format!("the run does not end; handlers: {:?}; messages: {open:#?}", model.handlers)
}

fn in_time(seen: &Seen<'_>, found: &mut Found) {
    let n_handlers = seen.model.handlers.len();
    found.expect(n_handlers == 0, Invariant::EveryRunEnds, || {
        format!("the run has ended and {n_handlers} handlers have not")
    });
    // The sessions of cut handlers are closed one after the other's cut, the rest together after.
    let slack = 2 * seen.model.terms.session_ms_max;
    if let Some(stop) = seen.model.stop {
        let latest = stop.at + stop.grace_ms + slack;
        found.expect(seen.record.at <= latest, Invariant::EveryRunEnds, || {
            format!("a stop at {} ms with a grace of {} ms takes until now", stop.at, stop.grace_ms)
        });
    }
}

fn answer(seen: &Seen<'_>, found: &mut Found, run: &Run, reason: &StopReason) {
    let model = seen.model;
    let now = seen.record.at;
    let left = || left_to_do(model, run, now);
    let above = || left().filter(|message| model.is_capped(message)).count();
    let below = || left().filter(|message| !model.is_capped(message)).count();
    let (n_above, n_below) = (above(), below());
    let stops_on_first = model.terms.failure_policy == FailurePolicy::StopOnFirst;
    let still_failed =
        || run.failed.iter().find(|id| model.agents.get(id).is_some_and(|agent| !agent.is_retired));
    let guard = &model.terms.guard;
    let holds = match reason {
        StopReason::Completed => n_above + n_below == 0 && still_failed().is_none(),
        StopReason::AgentError { agent_id, .. } => {
            run.failed.contains(agent_id) && (stops_on_first || n_above + n_below == 0)
        }
        StopReason::MaxIterations => n_below == 0 && guard.max_iterations != u32::MAX,
        StopReason::MaxMessagesPerAgent { agent_id, count } => {
            let handled = model.agents.get(agent_id).map_or(0, |agent| agent.handed_out);
            *count == guard.max_messages_per_agent && handled == u64::from(*count)
        }
        StopReason::MaxExecutionTime => {
            run.began_at.saturating_add(guard.max_execution_time_ms) <= now
        }
        StopReason::ManualStop => model.stop.is_some(),
        _ => false,
    };
    found.expect(holds, Invariant::AnswerOfStartHolds, || {
        format!(
            "the run ended because {reason}; left to do are {n_below} messages and {n_above} above the limit of iterations; failed are {:?}",
            run.failed
        )
    });
}

/// What waits for agents that could take it, and came before the run was over. A message that came
/// after the last thing that the run did, while it put its sessions away, came too late.
fn left_to_do<'a>(
    model: &'a Model<'_>,
    run: &'a Run,
    now: u64,
) -> impl Iterator<Item = &'a Message> {
    let in_time = move |message: &&Message| {
        message.accepted < run.last_act || message.accepted_at + model.terms.session_ms_max < now
    };
    let is_open = |message: &&Message| !matches!(message.place, Place::Acked | Place::Dead);
    let could_take = |message: &&Message| {
        model.agents.get(&message.to).is_some_and(|agent| !agent.is_retired && !agent.has_failed)
    };
    model.messages.values().filter(is_open).filter(in_time).filter(could_take)
}
