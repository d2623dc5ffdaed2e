//! Planted bugs: each is found, and by the promise that it breaks and no other.
//!
//! A bug of the runtime looks, in a history, like a limit that is passed by one, or a record that is
//! missing, doubled, late or in the wrong place. So the first kind tightens a limit under a history
//! that reaches it, the second changes records, and the third lets the outside do wrong to the
//! running system.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use orch_core::{AgentStatus, DeadLetterReason, EventKind, MessagePriority, StopReason};
use orch_testkit::{
    HandlerEnd, History, Invariant, Random, Record, Sabotage, Simulation, What, check, simulate,
};

/// Seeds within which every planted bug is found.
const SEEDS: u64 = 80;

/// Histories without a violation, made once for all tests.
fn histories() -> &'static [History] {
    static HISTORIES: OnceLock<Vec<History>> = OnceLock::new();
    HISTORIES.get_or_init(|| (0..SEEDS).map(|seed| simulate(seed).history).collect())
}

fn broken(history: &History) -> BTreeSet<Invariant> {
    check(history).iter().map(|violation| violation.invariant).collect()
}

/// Plants a bug into one history after the other, at several places, until exactly the intended
/// promise is broken by it.
#[track_caller]
fn finds(intended: Invariant, plant: impl Fn(&mut History, &mut Random) -> Option<()>) {
    let mut others = BTreeSet::new();
    for (seed, history) in (0..).zip(histories()) {
        for place in 0..4 {
            let mut planted = history.clone();
            if plant(&mut planted, &mut Random::of(&[seed, place])).is_none() {
                continue;
            }
            let broken = broken(&planted);
            if broken == BTreeSet::from([intended]) {
                return;
            }
            others.insert(broken);
        }
    }
    panic!("a planted {intended:?} was not found within {SEEDS} seeds; what was found: {others:?}");
}

/// A place that `is` accepts, chosen at random.
fn place(history: &History, random: &mut Random, is: impl Fn(&What) -> bool) -> Option<usize> {
    let records = history.records.iter().enumerate();
    let places: Vec<usize> =
        records.filter(|(_, record)| is(&record.what)).map(|(i, _)| i).collect();
    let last = u64::try_from(places.len()).ok()?.checked_sub(1)?;
    places.get(usize::try_from(random.between(0, last)).ok()?).copied()
}

fn insert(history: &mut History, at: usize, what: What) {
    let now = history.records[at].at;
    history.records.insert(at, Record { at: now, what });
}

/// A number that no handler has.
const HANDLER: u64 = u64::MAX;

// Limits that are passed by one.

#[test]
fn one_handler_of_an_agent_too_many() {
    finds(Invariant::AgentConcurrency, |history, _| {
        for record in &mut history.records {
            if let What::Made(_, config) = &mut record.what {
                config.concurrency = config.concurrency.saturating_sub(1).max(1);
            }
        }
        Some(())
    });
}

#[test]
fn one_handler_too_many() {
    finds(Invariant::MaxConcurrency, |history, _| {
        history.terms.max_concurrency = history.terms.max_concurrency.checked_sub(1)?;
        Some(())
    });
}

#[test]
fn one_attempt_too_many() {
    finds(Invariant::AttemptsAreCounted, |history, _| {
        for record in &mut history.records {
            if let What::Made(_, config) = &mut record.what {
                config.max_retries = config.max_retries.saturating_sub(1);
            }
        }
        Some(())
    });
}

#[test]
fn one_round_too_many() {
    finds(Invariant::MaxIterations, |history, _| {
        history.terms.guard.max_iterations = history.terms.guard.max_iterations.checked_sub(1)?;
        // What `start` answers, and all that follows, depends on the limit too.
        let end = place(history, &mut Random::new(1), |what| {
            matches!(what, What::Told(EventKind::Stopped { .. }))
        })?;
        history.records.truncate(end);
        Some(())
    });
}

#[test]
fn one_message_too_many() {
    finds(Invariant::MaxMessagesPerAgent, |history, _| {
        let limit = &mut history.terms.guard.max_messages_per_agent;
        *limit = limit.checked_sub(1)?;
        // What `start` answers, and all that follows, depends on the limit too.
        let end = place(history, &mut Random::new(1), |what| {
            matches!(what, What::Told(EventKind::Stopped { .. }))
        })?;
        history.records.truncate(end);
        Some(())
    });
}

#[test]
fn a_millisecond_after_the_time_limit() {
    finds(Invariant::MaxExecutionTime, |history, _| {
        let limit = &mut history.terms.guard.max_execution_time_ms;
        *limit = limit.checked_sub(1)?;
        Some(())
    });
}

#[test]
fn a_millisecond_after_the_timeout() {
    finds(Invariant::Timeout, |history, _| {
        for record in &mut history.records {
            if let What::Made(_, config) = &mut record.what {
                config.timeout_ms -= 1;
            }
        }
        Some(())
    });
}

#[test]
fn a_retry_a_millisecond_early() {
    finds(Invariant::NoRetryEarly, |history, _| {
        history.terms.backoff_base_ms += 1;
        Some(())
    });
}

#[test]
fn a_retry_before_its_provider_allows() {
    finds(Invariant::NoRetryEarly, |history, random| {
        let is = |what: &What| {
            matches!(what, What::Ended { end: HandlerEnd::Failed { retry_after_ms: Some(_) }, .. })
        };
        let i = place(history, random, is)?;
        if let What::Ended { end: HandlerEnd::Failed { retry_after_ms }, .. } =
            &mut history.records[i].what
        {
            *retry_after_ms = retry_after_ms.map(|millis| millis + 1);
        }
        Some(())
    });
}

// Records that are missing, doubled, late or in the wrong place.

#[test]
fn a_message_that_is_not_in_its_mailbox() {
    finds(Invariant::NothingIsLost, |history, random| {
        let i =
            place(history, random, |what| matches!(what, What::Left(_, ids) if !ids.is_empty()))?;
        if let What::Left(_, ids) = &mut history.records[i].what {
            ids.pop();
        }
        Some(())
    });
}

#[test]
fn a_message_that_is_twice_in_its_mailbox() {
    finds(Invariant::NothingIsLost, |history, random| {
        let i =
            place(history, random, |what| matches!(what, What::Left(_, ids) if !ids.is_empty()))?;
        if let What::Left(_, ids) = &mut history.records[i].what {
            ids.push(ids[0]);
        }
        Some(())
    });
}

#[test]
fn a_dead_letter_that_is_not_kept() {
    finds(Invariant::NothingIsLost, |history, random| {
        let i =
            place(history, random, |what| matches!(what, What::Letters(ids) if !ids.is_empty()))?;
        if let What::Letters(ids) = &mut history.records[i].what {
            ids.pop();
        }
        Some(())
    });
}

#[test]
fn a_message_that_is_settled_without_an_ack() {
    finds(Invariant::NothingIsLost, |history, random| {
        let i = place(history, random, |what| {
            matches!(what, What::Ended { end: HandlerEnd::Acked(None), .. })
        })?;
        if let What::Ended { end, .. } = &mut history.records[i].what {
            *end = HandlerEnd::Dropped;
        }
        Some(())
    });
}

#[test]
fn an_answer_that_nobody_gave() {
    finds(Invariant::SendersAreToldTheTruth, |history, random| {
        let is = |what: &What| matches!(what, What::Answered { answer: Ok(_), .. });
        let i = place(history, random, is)?;
        if let What::Answered { answer, .. } = &mut history.records[i].what {
            *answer = Ok("something else".to_owned());
        }
        Some(())
    });
}

#[test]
fn a_handler_that_runs_after_the_ack() {
    finds(Invariant::NothingAfterItsAck, |history, random| {
        let is = |what: &What| matches!(what, What::Ended { end: HandlerEnd::Acked(_), .. });
        let i = place(history, random, is)?;
        let What::Ended { handler, end } = history.records[i].what.clone() else { return None };
        let mut again = history.records.iter().map(|record| record.what.clone());
        let mut again =
            again.find(|what| matches!(what, What::Began { handler: of, .. } if *of == handler))?;
        if let What::Began { handler, .. } = &mut again {
            *handler = HANDLER;
        }
        insert(history, i, What::Ended { handler, end: end.clone() });
        history.records[i + 1].what = again;
        insert(history, i + 2, What::Ended { handler: HANDLER, end });
        Some(())
    });
}

#[test]
fn two_handlers_of_one_message() {
    finds(Invariant::NeverTwiceAtOnce, |history, random| {
        let i = place(history, random, |what| matches!(what, What::Began { .. }))?;
        let mut again = history.records[i].what.clone();
        if let What::Began { handler, .. } = &mut again {
            *handler = HANDLER;
        }
        insert(history, i, again);
        insert(history, i + 2, What::Ended { handler: HANDLER, end: HandlerEnd::Dropped });
        Some(())
    });
}

/// Makes a message Critical in the eyes of the checks, so that it was handed out too late.
fn raise(history: &mut History, random: &mut Random) -> Option<()> {
    let is = |what: &What| {
        let accepted = |kind: &EventKind| matches!(kind, EventKind::Accepted { message } if message.priority() != MessagePriority::Critical);
        matches!(what, What::Told(kind) if accepted(kind))
    };
    let i = place(history, random, is)?;
    if let What::Told(EventKind::Accepted { message }) = &mut history.records[i].what {
        *message = message.clone().with_priority(MessagePriority::Critical);
    }
    Some(())
}

#[test]
fn a_priority_inversion() {
    finds(Invariant::MostUrgentFirst, raise);
}

#[test]
fn a_slot_for_one_who_is_less_urgent() {
    finds(Invariant::SlotsGoToTheMostUrgent, raise);
}

#[test]
fn a_message_that_passes_a_backoff() {
    finds(Invariant::BackoffHoldsBack, raise);
}

#[test]
fn a_lane_that_is_not_first_in_first_out() {
    finds(Invariant::FirstInFirstOut, |history, random| {
        let from_outside = |what: &What| matches!(what, What::Told(EventKind::Accepted { message }) if message.causation().is_none());
        let i = place(history, random, from_outside)?;
        let What::Told(EventKind::Accepted { message: first }) = history.records[i].what.clone()
        else {
            return None;
        };
        let same_lane = |what: &What| {
            from_outside(what)
                && matches!(what, What::Told(EventKind::Accepted { message })
                    if message.to() == first.to() && message.priority() == first.priority())
        };
        let j = (i + 1..history.records.len()).find(|j| same_lane(&history.records[*j].what))?;
        let What::Told(EventKind::Accepted { message: second }) = history.records[j].what.clone()
        else {
            return None;
        };
        // Their calls keep their places, so each carries the other's message.
        let with_content = |message: &orch_core::AgentMessage, content: &str| {
            let json = serde_json::to_value(message).ok()?;
            let mut json = json.as_object()?.clone();
            json.insert("content".to_owned(), content.into());
            serde_json::from_value(json.into()).ok()
        };
        let late = with_content(&first, second.content())?;
        let early = with_content(&second, first.content())?;
        history.records[i].what = What::Told(EventKind::Accepted { message: early });
        history.records[j].what = What::Told(EventKind::Accepted { message: late });
        let said: Vec<usize> = (0..history.records.len())
            .filter(|k| matches!(&history.records[*k].what, What::Sent { message, .. } if [first.id(), second.id()].contains(message)))
            .collect();
        said.iter().rev().for_each(|k| drop(history.records.remove(*k)));
        Some(())
    });
}

#[test]
fn a_round_that_is_counted_wrong() {
    finds(Invariant::MaxIterations, |history, random| {
        let is = |what: &What| matches!(what, What::Told(EventKind::Started { attempt: 1, .. }));
        let i = place(history, random, is)?;
        if let What::Told(EventKind::Started { round, .. }) = &mut history.records[i].what {
            *round += 1;
        }
        Some(())
    });
}

#[test]
fn an_attempt_that_is_counted_twice() {
    finds(Invariant::AttemptsAreCounted, |history, random| {
        let is = |what: &What| matches!(what, What::Told(EventKind::Started { .. }));
        let i = place(history, random, is)?;
        if let What::Told(EventKind::Started { attempt, .. }) = &mut history.records[i].what {
            *attempt += 1;
        }
        Some(())
    });
}

#[test]
fn a_message_that_is_given_up_too_soon() {
    finds(Invariant::GivenUpForACause, |history, random| {
        let is = |what: &What| {
            let last = DeadLetterReason::FinalFailure;
            matches!(what, What::Told(EventKind::DeadLettered { reason, .. }) if *reason == last)
        };
        let i = place(history, random, is)?;
        if let What::Told(EventKind::DeadLettered { reason, .. }) = &mut history.records[i].what {
            *reason = DeadLetterReason::Expired;
        }
        Some(())
    });
}

#[test]
fn an_agent_that_is_idle_while_its_handler_runs() {
    finds(Invariant::StatusIsLegal, |history, random| {
        let i = place(history, random, |what| matches!(what, What::Began { .. }))?;
        let What::Began { agent, .. } = history.records[i].what else { return None };
        let idle = EventKind::StatusChanged { agent, status: AgentStatus::Idle };
        insert(history, i, What::Told(idle));
        history.records.swap(i, i + 1);
        Some(())
    });
}

#[test]
fn a_hand_out_after_a_stop() {
    finds(Invariant::NoHandOutAfterTheEnd, |history, random| {
        let stop = place(history, random, |what| matches!(what, What::StopCalled { .. }))?;
        let started =
            |record: &Record| matches!(record.what, What::Told(EventKind::Started { .. }));
        let last = history.records[..stop].iter().rposition(started)?;
        let mut stopped = history.records.remove(stop);
        stopped.at = history.records[last].at;
        history.records.insert(last, stopped);
        Some(())
    });
}

#[test]
fn a_run_that_says_completed_and_is_not() {
    finds(Invariant::AnswerOfStartHolds, |history, random| {
        let is = |what: &What| {
            let completed = |reason: &StopReason| *reason == StopReason::Completed;
            matches!(what, What::Told(EventKind::Stopped { reason, .. }) if !completed(reason))
        };
        let i = place(history, random, is)?;
        if let What::Told(EventKind::Stopped { reason, .. }) = &mut history.records[i].what {
            *reason = StopReason::Completed;
        }
        Some(())
    });
}

#[test]
fn a_stop_that_takes_too_long() {
    finds(Invariant::EveryRunEnds, |history, random| {
        let stop = place(history, random, |what| matches!(what, What::StopCalled { .. }))?;
        let ended = |record: &Record| matches!(record.what, What::Told(EventKind::Stopped { .. }));
        let end = stop + history.records[stop..].iter().position(ended)?;
        history.records.truncate(end + 1);
        history.records[end].at += 60_000;
        Some(())
    });
}

#[test]
fn a_run_that_does_not_end() {
    finds(Invariant::EveryRunEnds, |history, random| {
        let is = |what: &What| matches!(what, What::Told(EventKind::Stopped { .. }));
        let end = place(history, random, is)?;
        history.records.truncate(end + 1);
        history.records[end].what = What::Stuck;
        Some(())
    });
}

// A system to which wrong is done while it runs.

/// What breaks in the first seed in which something does.
#[track_caller]
fn sabotaged(sabotage: Sabotage) -> BTreeSet<Invariant> {
    let seeds = (0..SEEDS).map(Simulation::from_seed);
    let reports = seeds.map(|simulation| simulation.with_sabotage(sabotage).run());
    let mut broken = reports.map(|report| broken(&report.history)).filter(|all| !all.is_empty());
    broken.next().expect("the sabotage is found")
}

#[test]
fn a_stolen_message_is_lost() {
    assert!(sabotaged(Sabotage::Steal).contains(&Invariant::NothingIsLost));
}

#[test]
fn a_message_that_is_handled_twice_in_one_attempt_is_handled_after_its_ack() {
    assert!(sabotaged(Sabotage::HandleTwice).contains(&Invariant::NothingAfterItsAck));
}

#[test]
fn a_message_that_is_sent_twice_is_in_two_places() {
    assert!(sabotaged(Sabotage::SendTwice).contains(&Invariant::NothingIsLost));
}
