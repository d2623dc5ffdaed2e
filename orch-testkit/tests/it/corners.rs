//! What the simulation is for really happens in it: a promise that is never put to the test is not
//! kept, only unbroken.

use std::collections::BTreeMap;

use orch_core::{AgentId, AgentStatus, DeadLetterReason, EventKind, MessageId, StopReason};
use orch_testkit::{HandlerEnd, History, What, simulate};

/// Seeds within which each corner is reached.
const SEEDS: u64 = 150;

#[test]
fn every_corner_is_reached() {
    let mut reached: BTreeMap<&str, u64> = CORNERS.iter().map(|(name, _)| (*name, 0)).collect();
    for seed in 0..SEEDS {
        let history = simulate(seed).history;
        for (name, is_reached) in CORNERS {
            *reached.entry(name).or_default() += u64::from(is_reached(&history));
        }
    }
    println!("{reached:#?}");
    let missed: Vec<_> = reached.iter().filter(|(_, n)| **n == 0).collect();
    assert!(missed.is_empty(), "never reached within {SEEDS} seeds: {missed:?}");
}

type Corner = (&'static str, fn(&History) -> bool);

const CORNERS: &[Corner] = &[
    ("a run completes", |h| stopped(h, |r| *r == StopReason::Completed)),
    ("a run ends with a failed agent", |h| {
        stopped(h, |r| matches!(r, StopReason::AgentError { .. }))
    }),
    ("the limit of iterations", |h| stopped(h, |r| *r == StopReason::MaxIterations)),
    ("the limit of messages", |h| {
        stopped(h, |r| matches!(r, StopReason::MaxMessagesPerAgent { .. }))
    }),
    ("the limit of time", |h| stopped(h, |r| *r == StopReason::MaxExecutionTime)),
    ("a stop by hand", |h| stopped(h, |r| *r == StopReason::ManualStop)),
    ("a start that is dropped", |h| any(h, |w| *w == What::StartDropped)),
    ("a start that is refused", |h| any(h, |w| matches!(w, What::StartReturned(Err(_))))),
    ("a stop cuts handlers off", |h| event(h, |e| matches!(e, EventKind::PutBack { .. }))),
    ("a handler that ends within the grace", |h| {
        between(
            h,
            |w| *w == What::StopCalled { with_grace: true },
            |w| matches!(w, What::Told(EventKind::Settled { .. })),
            |w| matches!(w, What::Told(EventKind::Stopped { .. })),
        )
    }),
    ("a panic", |h| ended(h, &HandlerEnd::Panicked)),
    ("a failure for good", |h| ended(h, &HandlerEnd::FailedForGood)),
    ("a timeout", |h| retried(h, |error| error.starts_with("timed out"))),
    ("a session that does not open", |h| retried(h, |error| error.contains("could not be opened"))),
    ("a Retry-After", |h| {
        any(h, |w| {
            matches!(
                w,
                What::Ended { end: HandlerEnd::Failed { retry_after_ms: Some(700..10_000) }, .. }
            )
        })
    }),
    ("a Retry-After that is too long", |h| {
        given_up(h, |r| matches!(r, DeadLetterReason::RetryAfterTooLong { .. }))
    }),
    ("attempts that are exhausted", |h| given_up(h, |r| *r == DeadLetterReason::AttemptsExhausted)),
    ("a message that expires", |h| given_up(h, |r| *r == DeadLetterReason::Expired)),
    ("a message to a retired agent", |h| given_up(h, |r| *r == DeadLetterReason::Retired)),
    ("an agent that cannot run", |h| {
        given_up(h, |r| matches!(r, DeadLetterReason::CannotRun { .. }))
    }),
    ("a copy that is refused", |h| given_up(h, |r| matches!(r, DeadLetterReason::Refused { .. }))),
    ("a fifth attempt", |h| event(h, |e| matches!(e, EventKind::Started { attempt: 5, .. }))),
    ("a restart", |h| event(h, |e| matches!(e, EventKind::Restarted { .. }))),
    ("an agent that fails", |h| event(h, |e| matches!(e, EventKind::AgentFailed { .. }))),
    ("an agent that has another chance", has_another_chance),
    ("an answer", |h| any(h, |w| matches!(w, What::Answered { answer: Ok(_), .. }))),
    ("a question without an answer", |h| {
        any(h, |w| matches!(w, What::Answered { answer: Err(_), .. }))
    }),
    ("a send that waits for a second", |h| {
        event(h, |e| matches!(e, EventKind::SendWaiting { .. }))
    }),
    ("a send into one's own full lane", |h| {
        any(h, |w| matches!(w, What::Sent { accepted: false, to_itself: true, .. }))
    }),
    ("a wait that is dropped", |h| any(h, |w| matches!(w, What::WaitDropped { .. }))),
    ("a child", |h| event(h, |e| matches!(e, EventKind::Registered { parent: Some(_), .. }))),
    ("a dead letter that is sent again", |h| any(h, |w| matches!(w, What::Resent(_)))),
    ("a dead letter that is dropped", |h| any(h, |w| matches!(w, What::LetterDropped(_)))),
    ("a message that is left", |h| {
        any(h, |w| matches!(w, What::Left(_, left) if !left.is_empty()))
    }),
    ("a more urgent message overtakes a retry", overtakes_a_retry),
    ("an agent goes in the middle of a backoff", |h| goes_in_a_backoff(h, false)),
    ("an agent fails in the middle of a backoff", |h| goes_in_a_backoff(h, true)),
    ("an attempt fails after its agent did", fails_after_its_agent),
];

fn any(history: &History, is: impl Fn(&What) -> bool) -> bool {
    history.records.iter().any(|record| is(&record.what))
}

fn event(history: &History, is: impl Fn(&EventKind) -> bool) -> bool {
    any(history, |what| matches!(what, What::Told(kind) if is(kind)))
}

fn stopped(history: &History, is: impl Fn(&StopReason) -> bool) -> bool {
    event(history, |kind| matches!(kind, EventKind::Stopped { reason, .. } if is(reason)))
}

fn ended(history: &History, as_this: &HandlerEnd) -> bool {
    any(history, |what| matches!(what, What::Ended { end, .. } if end == as_this))
}

fn retried(history: &History, is: impl Fn(&str) -> bool) -> bool {
    event(history, |kind| matches!(kind, EventKind::RetryScheduled { error, .. } if is(error)))
}

fn given_up(history: &History, is: impl Fn(&DeadLetterReason) -> bool) -> bool {
    event(history, |kind| matches!(kind, EventKind::DeadLettered { reason, .. } if is(reason)))
}

/// Whether `wanted` comes after `from` and before the next `to`.
fn between(
    history: &History,
    from: impl Fn(&What) -> bool,
    wanted: impl Fn(&What) -> bool,
    to: impl Fn(&What) -> bool,
) -> bool {
    let mut is_open = false;
    for record in &history.records {
        if is_open && wanted(&record.what) {
            return true;
        }
        is_open = from(&record.what) || is_open && !to(&record.what);
    }
    false
}

/// Which agents have messages between two attempts, after each record.
#[derive(Default)]
struct Backoffs(BTreeMap<MessageId, AgentId>);

impl Backoffs {
    fn take(&mut self, kind: &EventKind) {
        match kind {
            EventKind::RetryScheduled { agent, message, .. } => {
                self.0.insert(*message, *agent);
            }
            EventKind::Started { message, .. } | EventKind::DeadLettered { message, .. } => {
                self.0.remove(message);
            }
            EventKind::Stopped { .. } => self.0.clear(),
            _ => {}
        }
    }

    fn has(&self, agent: AgentId) -> bool {
        self.0.values().any(|of| *of == agent)
    }
}

/// Whether an event of this kind ever comes while the agent that it names is in a backoff.
fn in_a_backoff(history: &History, of: impl Fn(&EventKind, &Backoffs) -> bool) -> bool {
    let mut backoffs = Backoffs::default();
    history.records.iter().any(|record| {
        let What::Told(kind) = &record.what else { return false };
        let is_there = of(kind, &backoffs);
        backoffs.take(kind);
        is_there
    })
}

fn overtakes_a_retry(history: &History) -> bool {
    in_a_backoff(history, |kind, backoffs| match kind {
        EventKind::Started { agent, message, .. } => {
            backoffs.has(*agent) && !backoffs.0.contains_key(message)
        }
        _ => false,
    })
}

fn goes_in_a_backoff(history: &History, fails: bool) -> bool {
    in_a_backoff(history, |kind, backoffs| match kind {
        EventKind::AgentFailed { agent, .. } => fails && backoffs.has(*agent),
        EventKind::Unregistered { agent } => !fails && backoffs.has(*agent),
        _ => false,
    })
}

fn has_another_chance(history: &History) -> bool {
    let mut failed = Vec::new();
    history.records.iter().any(|record| match &record.what {
        What::Told(EventKind::AgentFailed { agent, .. }) => {
            failed.push(*agent);
            false
        }
        What::Told(EventKind::StatusChanged { agent, status }) => {
            *status == AgentStatus::Idle && failed.contains(agent)
        }
        _ => false,
    })
}

fn fails_after_its_agent(history: &History) -> bool {
    let mut failed = Vec::new();
    history.records.iter().any(|record| match &record.what {
        What::Told(EventKind::AgentFailed { agent, .. }) => {
            failed.push(*agent);
            false
        }
        What::Told(EventKind::Stopped { .. }) => {
            failed.clear();
            false
        }
        What::Told(EventKind::RetryScheduled { agent, .. }) => failed.contains(agent),
        _ => false,
    })
}
