//! No message is lost, none is handled after its ack, and who sends or asks is told the truth.

use orch_core::{AgentId, EventKind, MessageId};

use super::model::{Message, Model, Place};
use super::{Found, Invariant, Seen};
use crate::history::What;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    match &seen.record.what {
        What::Told(kind) => event(seen, found, kind),
        What::Began { message, .. } => {
            let acked = seen.model.messages.get(message).is_some_and(|known| known.acked.is_some());
            found.expect(!acked, Invariant::NothingAfterItsAck, || {
                format!("{message} is handled again after it was acked")
            });
        }
        What::Sent { message, accepted: true, .. } => {
            let is_known = seen.model.messages.contains_key(message);
            found.expect(is_known, Invariant::SendersAreToldTheTruth, || {
                format!("{message} was accepted, says its sender, but no mailbox told so")
            });
        }
        What::Answered { question, answer: Ok(answer) } => {
            let acked = seen.model.messages.get(question).and_then(|known| known.acked.clone());
            let is_so = acked.flatten().is_some_and(|said| said == *answer);
            found.expect(is_so, Invariant::SendersAreToldTheTruth, || {
                format!("{question} was answered with {answer:?}, which no handler said")
            });
        }
        _ => {}
    }
}

fn event(seen: &Seen<'_>, found: &mut Found, kind: &EventKind) {
    let place = |id: &MessageId| seen.model.messages.get(id).map(|message| message.place);
    let lost = Invariant::NothingIsLost;
    match kind {
        EventKind::Accepted { message } => {
            let place = place(&message.id());
            let is_new = matches!(place, None | Some(Place::Dead));
            found.expect(is_new, lost, || {
                format!("{} is accepted while it is {place:?}", message.id())
            });
        }
        EventKind::Started { message, .. } => {
            let place = place(message);
            found.expect(place != Some(Place::Acked), Invariant::NothingAfterItsAck, || {
                format!("{message} is handed out after its ack")
            });
            let comes_from = matches!(
                place,
                Some(Place::Waiting | Place::Parked { .. } | Place::Acked | Place::Running { .. })
            );
            found.expect(comes_from, lost, || format!("{message} is handed out from {place:?}"));
        }
        EventKind::Settled { message, .. } => {
            let known = seen.model.messages.get(message);
            let runs = known.is_some_and(|m| matches!(m.place, Place::Running { .. }));
            let acked = known.is_some_and(|m| m.acked.is_some());
            found.expect(runs && acked, lost, || {
                format!("{message} is settled, but no handler has acked it")
            });
        }
        EventKind::RetryScheduled { message, .. } | EventKind::PutBack { message, .. } => {
            let place = place(message);
            let runs = matches!(place, Some(Place::Running { .. }));
            found.expect(runs, lost, || format!("{message} comes back while it is {place:?}"));
        }
        EventKind::DeadLettered { message, .. } => {
            let place = place(message);
            let may_be = !matches!(place, Some(Place::Acked | Place::Dead));
            found.expect(may_be, lost, || format!("{message} is given up while it is {place:?}"));
        }
        _ => {}
    }
}

/// Each message is in one place, and really there.
pub(super) fn look_at_the_end(model: &Model<'_>, found: &mut Found) {
    let (Some(left), Some(letters)) = (&model.left, &model.letters) else { return };
    for (id, message) in &model.messages {
        let n_left = left.values().flatten().filter(|left| *left == id).count();
        let n_letters = letters.iter().filter(|letter| *letter == id).count();
        let n_dropped = model.dropped_letters.iter().filter(|dropped| *dropped == id).count();
        let expected = match message.place {
            Place::Waiting => (1, 0, 0),
            Place::Dead if n_dropped > 0 => (0, 0, n_dropped),
            Place::Dead => (0, 1, 0),
            _ => (0, 0, n_dropped),
        };
        let is_settled = matches!(message.place, Place::Waiting | Place::Acked | Place::Dead);
        let is_there =
            expected == (n_left, n_letters, n_dropped) && is_in_its_own(left, *id, message);
        found.expect(is_settled && is_there, Invariant::NothingIsLost, || {
            format!(
                "{id} is {:?} at the end; mailboxes have {n_left} of it, the dead letters {n_letters}",
                message.place
            )
        });
        let told = message.acked.is_none() || message.place == Place::Acked;
        found.expect(told, Invariant::NothingIsLost, || {
            format!("{id} was acked by its handler and is {:?}", message.place)
        });
    }
}

fn is_in_its_own(
    left: &std::collections::BTreeMap<AgentId, Vec<MessageId>>,
    id: MessageId,
    message: &Message,
) -> bool {
    left.iter().all(|(agent, ids)| *agent == message.to || !ids.contains(&id))
}
