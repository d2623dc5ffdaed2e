//! The checks of the suite.

use orch_core::{AgentId, AgentMessage, ChainId, MessageId, StepKey, Timestamp};

use super::history::{History, Set};
use crate::hash::ContentHash;
use crate::memory::MemoryStore;
use crate::prepared::Prepared;
use crate::record::{Entry, Record, Seq, StepKind};
use crate::redact::Redactor;
use crate::state::{Illegal, State};
use crate::store::{Of, Store};

fn prepared(set: &Set) -> Prepared {
    Prepared::new(set.at, set.records.clone(), &Redactor::new()).expect("the set is in order")
}

/// Appends so many sets of a seed, in groups of several lengths.
fn fill(store: &mut impl Store, seed: u64, n_sets: usize) -> History {
    let mut history = History::new(seed);
    let sets: Vec<Prepared> = (0..n_sets).map(|_| prepared(&history.next_set())).collect();
    for group in sets.chunks(7) {
        let answers = store.append(group).expect("it can be written");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    history
}

fn all(store: &impl Store) -> Vec<Entry> {
    store.events(Seq(0), usize::MAX).expect("they can be read")
}

/// Events are numbered from 1 without a gap, in the order of their sets.
///
/// # Panics
///
/// If they are not, as all checks.
pub fn appends_are_numbered_densely(mut store: impl Store) {
    let mut history = History::new(1);
    let mut expected = 0;
    for _ in 0..20 {
        let sets: Vec<Prepared> = (0..3).map(|_| prepared(&history.next_set())).collect();
        for (set, answer) in sets.iter().zip(store.append(&sets).expect("it can be written")) {
            expected += set.records().count() as u64;
            assert_eq!(answer, Ok(Seq(expected)));
        }
    }
    assert!((1..).zip(all(&store)).all(|(number, entry)| entry.seq == Seq(number)));
}

/// What is read is what was written, with contents of any length.
///
/// # Panics
///
/// If it is not.
pub fn events_read_back(mut store: impl Store) {
    let mut written = Vec::new();
    let mut history = History::new(2);
    for _ in 0..300 {
        let set = history.next_set();
        store.append(&[prepared(&set)]).expect("it can be written")[0].clone().expect("legal");
        written.extend(set.records.into_iter().map(|record| (set.at, record)));
    }
    let read = all(&store).into_iter().map(|entry| (entry.at, entry.record));
    for (read, written) in read.zip(&written) {
        assert_eq!((read.0, json(&read.1)), (written.0, json(&written.1)));
    }
    let some: Vec<_> = store.events(Seq(10), 5).expect("they can be read");
    assert_eq!(some.iter().map(|it| it.seq.0).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
}

/// As JSON: the round in which a message was sent is told beside it.
fn json(record: &Record) -> serde_json::Value {
    serde_json::to_value(record).expect("a record has JSON")
}

/// The state is the fold of the events.
///
/// # Panics
///
/// If it is not.
pub fn state_is_the_fold(mut store: impl Store) {
    let history = fill(&mut store, 3, 600);
    let fold = State::fold(&all(&store)).expect("it happened");
    assert!(*store.state() == fold, "the state is not the fold of the events");
    assert!(*store.state() == *history.state(), "the state is not what was recorded");
}

/// A store that is read anew has the same state, and goes on.
///
/// # Panics
///
/// If it has another.
pub fn state_survives_reopening(mut store: impl Store) {
    let mut history = fill(&mut store, 4, 400);
    for _ in 0..10 {
        store.reopen().expect("it can be read");
        assert!(*store.state() == *history.state(), "the state is another one");
        let set = prepared(&history.next_set());
        store.append(&[set]).expect("it can be written")[0].clone().expect("legal");
    }
}

/// A message that was accepted is not accepted again, and its set alone is refused.
///
/// # Panics
///
/// If another is, or it is not.
pub fn duplicates_are_refused_alone(mut store: impl Store) {
    let mut history = fill(&mut store, 5, 100);
    let first = loop {
        let set = history.next_set();
        let answers = store.append(&[prepared(&set)]).expect("it can be written");
        answers[0].clone().expect("legal");
        if matches!(set.records[0], Record::Accepted { .. }) {
            break set;
        }
    };
    let id = first.records[0].message().expect("a message was accepted");
    let last = store.state().last();
    let sets = [prepared(&first), prepared(&history.next_set())];
    let answers = store.append(&sets).expect("it can be written");
    assert_eq!(answers[0], Err(Illegal::Duplicate(id)));
    assert_eq!(answers[1], Ok(Seq(last.0 + sets[1].records().count() as u64)));
    assert!(*store.state() == *history.state(), "the state is another one");
}

/// Whoever repeats a step is told that it was taken, and not that its message was accepted; whoever
/// answers too late, that nobody waits. Each refuses its set alone.
///
/// # Panics
///
/// If they are told something else, or it does not.
pub fn steps_are_not_taken_twice(mut store: impl Store) {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let set = |records: Vec<Record>| {
        Prepared::new(at, records, &Redactor::new()).expect("the set is in order")
    };
    let (agent, to) = (AgentId::new(), AgentId::new());
    let message = |to| AgentMessage::new(AgentId::OUTSIDE, to, "go");
    let accepted = |message: &AgentMessage| {
        let (origin_run, origin_round) = (0, 0);
        Record::Accepted { message: message.clone(), origin_run, origin_round, step: None }
    };
    let (handled, question) = (message(agent), message(to));
    let key = StepKey { delivery: handled.id(), n: 1 };
    let step = Record::StepTaken {
        agent,
        key,
        kind: StepKind::Ask,
        name: "someone".to_owned(),
        input: ContentHash::of(b"go"),
        output: None,
    };
    let asked = Record::Asked { agent, question: question.id(), to };
    let asks = set(vec![step, accepted(&question), asked]);
    let output = || "yes".into();
    let answer = Record::Answered { agent, question: question.id(), answer: output() };
    let answers = set(vec![Record::StepAnswered { agent, key, output: output() }, answer]);
    let started = Record::AttemptStarted { agent, message: handled.id(), attempt: 1, round: 1 };
    let sets =
        [set(vec![accepted(&handled), started]), asks.clone(), asks, answers.clone(), answers];
    let told = store.append(&sets).expect("it can be written");
    let too_late = Illegal::WrongStep(key, "was answered before");
    assert_eq!(told[2], Err(Illegal::KnownStep(key)));
    assert_eq!(told[4], Err(too_late));
    assert_eq!((&told[1], &told[3]), (&Ok(Seq(5)), &Ok(Seq(7))));
}

/// A set that cannot have happened leaves nothing, whatever it began with, and hinders no other.
///
/// # Panics
///
/// If it does.
pub fn illegal_sets_leave_nothing(mut store: impl Store) {
    let mut history = fill(&mut store, 6, 200);
    let before = all(&store);
    let mut bad = history.clone().next_set();
    let unknown = MessageId::from_uuid(uuid::Uuid::from_u128(7));
    let agent = orch_core::AgentId::OUTSIDE;
    bad.records.push(Record::PutBack { agent, message: unknown });
    let good = history.next_set();
    let sets = [prepared(&bad), prepared(&good), prepared(&bad)];
    let answers = store.append(&sets).expect("it can be written");
    assert_eq!(answers[0], Err(Illegal::UnknownDelivery(unknown)));
    assert!(answers[1].is_ok() && answers[2].is_err(), "{answers:?}");
    assert_eq!(all(&store).len(), before.len() + good.records.len());
    assert!(*store.state() == *history.state(), "the state is another one");
}

/// Timelines are those of a store in memory.
///
/// # Panics
///
/// If they are not.
pub fn timelines_agree(mut store: impl Store) {
    let mut model = MemoryStore::new();
    fill(&mut store, 7, 500);
    fill(&mut model, 7, 500);
    let entries = all(&model);
    let agents = entries.iter().filter_map(|it| it.record.agent()).map(Of::Agent);
    let messages = entries.iter().filter_map(|it| it.record.message());
    let chains = messages.clone().map(|id| Of::Chain(ChainId::from_uuid(id.as_uuid())));
    let runs = (0..9).map(Of::Run);
    let of = [Of::All].into_iter().chain(runs).chain(agents.take(40));
    for of in of.chain(chains.take(40)).chain(messages.take(40).map(Of::Message)) {
        for n_max in [0, 3, usize::MAX] {
            let expected = model.latest(of, n_max).expect("it can be read");
            let latest = store.latest(of, n_max).expect("it can be read");
            for (entry, expected) in latest.iter().zip(&expected) {
                assert_eq!(entry, expected, "{of:?}");
            }
            assert_eq!(latest.len(), expected.len(), "{of:?}");
        }
    }
    let stats = crate::Stats { file_bytes: 0, ..store.stats().expect("it can be read") };
    assert_eq!(stats, model.stats().expect("it can be read"));
}

/// Pruning removes what is over and nothing that is live, so many at a time.
///
/// # Panics
///
/// If it does not.
pub fn pruning_keeps_what_is_live(mut store: impl Store) {
    let mut history = fill(&mut store, 8, 900);
    let before = store.state().clone();
    let n_before = all(&store).len();
    let mut n_removed = 0;
    loop {
        let pruned = store.prune(Timestamp::NEVER, 100).expect("it can be written");
        assert!(pruned.n_removed <= 100);
        n_removed += pruned.n_removed;
        if !pruned.more {
            break;
        }
    }
    assert!(n_removed > 0, "nothing was removed");
    assert_eq!(all(&store).len(), n_before - n_removed);
    store.reopen().expect("it can be read");
    assert!(*store.state() == before, "the state is another one");
    for _ in 0..200 {
        let set = prepared(&history.next_set());
        store.append(&[set]).expect("it can be written")[0].clone().expect("legal");
    }
    assert!(*store.state() == *history.state(), "the state is another one");
}
