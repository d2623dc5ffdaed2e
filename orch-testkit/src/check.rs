//! Holds a history to what was promised.
//!
//! A model replays the records; before it takes a record in, each group of invariants looks at the
//! record and at what the model knew. Messages are followed by the runtime's events, handlers by
//! their own notes, and the two must agree.

mod attempts;
mod bounds;
mod conservation;
mod endings;
mod guards;
mod model;
mod order;
mod status;

use std::fmt;

use crate::history::{History, Record};
use model::Model;

/// What the runtime promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// Every accepted message ends acked or as a dead letter, or is in its mailbox at the end.
    NothingIsLost,
    /// What a sender or asker was told is what happened.
    SendersAreToldTheTruth,
    /// A message is not handled after a handler acked it.
    NothingAfterItsAck,
    /// No two handlers have one message at once.
    NeverTwiceAtOnce,
    /// An agent has at most its `concurrency` of handlers.
    AgentConcurrency,
    /// At most `max_concurrency` handlers run; those that wait through their context do not count.
    MaxConcurrency,
    /// When a message is handed out, no more urgent one is waiting in the same mailbox.
    MostUrgentFirst,
    /// When a message is handed out, none is waiting in its lane whose send had returned before
    /// its own began.
    FirstInFirstOut,
    /// While a message is between two attempts, none of its priority or below is handed out.
    BackoffHoldsBack,
    /// The last free slot goes to an agent whose most urgent message is the most urgent of all.
    SlotsGoToTheMostUrgent,
    /// A round is 1 + the larger of the agent's last and the sender's, and never above the limit.
    MaxIterations,
    /// No agent is handed more messages than the limit.
    MaxMessagesPerAgent,
    /// Nothing begins or goes on after the time limit.
    MaxExecutionTime,
    /// An attempt begins no earlier than the backoff, or its provider, allows.
    NoRetryEarly,
    /// At most `max_retries` + 1 attempts, numbered in order; those that were cut do not count.
    AttemptsAreCounted,
    /// A message is given up only for a cause.
    GivenUpForACause,
    /// An attempt ends at its agent's timeout.
    Timeout,
    /// Nothing is handed out after a stop, to a failed agent, or to a retired one.
    NoHandOutAfterTheEnd,
    /// A status changes only as `AgentStatus::change` allows, and idle means idle.
    StatusIsLegal,
    /// What `start` answers is so.
    AnswerOfStartHolds,
    /// Every run ends, and a stop is over when its grace is.
    EveryRunEnds,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// The record at which it shows.
    pub record: usize,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at record {}: {}", self.invariant, self.record, self.what)
    }
}

/// Answers which promises a history breaks; nothing if all were kept.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let mut model = Model::new(&history.terms);
    let mut found = Found::default();
    for (index, record) in history.records.iter().enumerate() {
        found.record = index;
        let seen = Seen { model: &model, record };
        conservation::look(&seen, &mut found);
        bounds::look(&seen, &mut found);
        order::look(&seen, &mut found);
        guards::look(&seen, &mut found);
        attempts::look(&seen, &mut found);
        status::look(&seen, &mut found);
        endings::look(&seen, &mut found);
        model.take(index, record);
    }
    conservation::look_at_the_end(&model, &mut found);
    found.violations
}

/// One record, and what was known before it.
#[derive(Clone, Copy)]
struct Seen<'a> {
    model: &'a Model<'a>,
    record: &'a Record,
}

#[derive(Default)]
struct Found {
    record: usize,
    violations: Vec<Violation>,
}

impl Found {
    /// Notes a violation, unless `holds`.
    fn expect(&mut self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation { invariant, record: self.record, what: what() });
        }
    }
}
