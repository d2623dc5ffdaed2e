//! A team that sends, asks, fails and tries again, killed at each commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_journal::{Entry, Record};
use orch_runtime::*;

use crate::disk::{Disk, Kill};
use crate::support::{LIMIT, config, ms, orchestrator, outside};

const N_SENT: usize = 3;

/// What is outside of the process, and outlives it.
#[derive(Debug, Default)]
struct World {
    disk: Disk,
    sent: Mutex<Vec<AgentMessage>>,
    acknowledged: Mutex<HashSet<MessageId>>,
    /// What handlers were given: message and attempt.
    handled: Mutex<Vec<(MessageId, u32)>>,
}

/// Sends two messages on for each that it gets.
fn splitter(world: &Arc<World>) -> impl Connector {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        async move {
            let worker = ctx.find("worker").expect("it is spawned");
            for part in 0..2 {
                ctx.send(worker, format!("{}.{part}", ctx.content())).await?;
            }
            Ok::<_, Failure>("split")
        }
    })
}

/// Asks for each; fails the first attempt at some.
fn worker(world: &Arc<World>) -> impl Connector {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        async move {
            let oracle = ctx.find("oracle").expect("it is spawned");
            let answer = ctx.ask(oracle, format!("{}?", ctx.content()), LIMIT).await?;
            if ctx.content().ends_with("1.0") && ctx.attempt() == 1 {
                return Err(Failure::transient("busy"));
            }
            Ok(answer)
        }
    })
}

fn oracle(world: &Arc<World>) -> impl Connector {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        async move { format!("yes, {}", ctx.content()) }
    })
}

/// Lives until it is killed, or has nothing left to do; true for the latter.
async fn live(journal: Journal, world: &Arc<World>) -> bool {
    let orchestrator = orchestrator()
        .with_retry_policy(RetryPolicy::default().with_base(ms(2)))
        .with_stop_limits(StopLimits::new(ms(0), LIMIT))
        .with_connector("splitter", splitter(world))
        .with_connector("worker", worker(world))
        .with_connector("oracle", oracle(world));
    let Ok(orchestrator) = orchestrator.with_journal(journal).await else { return false };
    for name in ["splitter", "worker", "oracle"] {
        // Each attempt that a kill cuts off counts.
        if orchestrator.spawn(config(name, name).with_max_retries(99)).await.is_err() {
            return false;
        }
    }
    let splitter = orchestrator.registry().find("splitter").expect("it was spawned");
    for message in messages(world, splitter) {
        let id = message.id();
        // Whether or not it was acknowledged before: to send the same id again is safe.
        match orchestrator.send(message).await {
            Ok(sent) => assert_eq!(sent, id),
            Err(_) => return false,
        };
        world.acknowledged.lock().unwrap().insert(id);
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), orchestrator.start()).await;
    match ended.expect("a run ends") {
        Ok(StopReason::Completed) => true,
        Ok(StopReason::JournalFailed { .. }) | Err(StartError::Journal(_)) => false,
        other => panic!("{other:?}"),
    }
}

fn messages(world: &World, to: AgentId) -> Vec<AgentMessage> {
    let mut sent = world.sent.lock().unwrap();
    if sent.first().is_none_or(|first| first.to() != to) {
        assert!(world.acknowledged.lock().unwrap().is_empty(), "an agent keeps its id");
        *sent = (0..N_SENT).map(|n| outside(to, &format!("m{n}"))).collect();
    }
    sent.clone()
}

/// A process, from its start to its death.
fn process(world: &Arc<World>, kill: Option<(usize, Kill)>) -> (bool, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (journal, n_commits) = world.disk.open(kill);
    let ended = runtime.block_on(live(journal, world));
    drop(runtime);
    let n_commits = *n_commits.lock().unwrap();
    (ended, n_commits)
}

/// What is wrong, in the end.
fn complaints(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let (state, events) = (world.disk.state(), world.disk.events());
    if state.n_deliveries() > 0 || state.letters().next().is_some() {
        wrong.push("something is left, or given up".to_owned());
    }
    let settled = events.iter().filter_map(|it| match &it.record {
        Record::Settled { message, .. } => Some(*message),
        _ => None,
    });
    let settled: Vec<MessageId> = settled.collect();
    for id in world.acknowledged.lock().unwrap().iter() {
        if settled.iter().filter(|it| *it == id).count() != 1 {
            wrong.push(format!("{id} was accepted, and not settled once"));
        }
    }
    let accepted = |text: &str| {
        let of = |it: &&Entry| matches!(&it.record, Record::Accepted { message, .. } if message.content() == text);
        events.iter().filter(of).count()
    };
    for n in 0..N_SENT {
        for part in 0..2 {
            for text in [format!("m{n}.{part}"), format!("m{n}.{part}?")] {
                if accepted(&text) != 1 {
                    wrong.push(format!("{text} was sent {} times", accepted(&text)));
                }
            }
        }
    }
    wrong.extend(unrecorded(world, &events));
    wrong.extend(out_of_order(&events));
    wrong
}

/// Attempts that no record announced.
fn unrecorded(world: &World, events: &[Entry]) -> Vec<String> {
    let mut n_more = BTreeMap::new();
    for (message, attempt) in world.handled.lock().unwrap().iter() {
        *n_more.entry((*message, *attempt)).or_insert(0) += 1;
    }
    for event in events {
        if let Record::AttemptStarted { message, attempt, .. } = event.record {
            *n_more.entry((message, attempt)).or_insert(0) -= 1;
        }
    }
    let more = n_more.into_iter().filter(|(_, n)| *n > 0);
    more.map(|(attempt, _)| format!("{attempt:?} was handled and not recorded")).collect()
}

/// Messages of one lane whose first attempts are not in the order of acceptance.
fn out_of_order(events: &[Entry]) -> Vec<String> {
    let (mut accepted, mut begun) = (BTreeMap::new(), HashSet::new());
    let mut last = BTreeMap::new();
    let mut wrong = Vec::new();
    for event in events {
        match &event.record {
            Record::Accepted { message, .. } => {
                accepted.insert(message.id(), event.seq);
            }
            Record::AttemptStarted { agent, message, .. } if begun.insert(*message) => {
                let place = accepted.get(message).copied();
                if last.insert(*agent, place).is_some_and(|before| before > place) {
                    wrong.push(format!("{message} was overtaken"));
                }
            }
            _ => {}
        }
    }
    wrong
}

fn killed_at(at: usize, kill: Kill) -> Arc<World> {
    let world = Arc::new(World::default());
    process(&world, Some((at, kill)));
    let (ended, _) = process(&world, None);
    assert!(ended, "killed at {at}, {kill:?}: the second process comes to an end");
    world
}

fn n_commits() -> usize {
    let world = Arc::new(World::default());
    let (ended, n_commits) = process(&world, None);
    assert!(ended);
    assert_eq!(complaints(&world), [""; 0]);
    n_commits
}

#[test]
fn a_process_that_is_killed_at_any_commit_loses_and_repeats_nothing() {
    let n_commits = n_commits();
    assert!(n_commits > 30, "{n_commits}");
    for at in 0..n_commits {
        for kill in [Kill::Before, Kill::After] {
            let world = killed_at(at, kill);
            assert_eq!(complaints(&world), [""; 0], "killed at {at}, {kill:?}");
        }
    }
}

/// Each process lives for a few commits, and each counts as an attempt at what it was doing.
#[test]
fn a_process_that_is_killed_again_and_again_comes_to_an_end() {
    for (step, kill) in [(12, Kill::Before), (14, Kill::After)] {
        let world = Arc::new(World::default());
        let mut n_lives = 1;
        while !process(&world, Some((step, kill))).0 {
            n_lives += 1;
            assert!(n_lives < 200, "it comes to an end");
        }
        assert!(n_lives > 2, "{n_lives}");
        assert_eq!(complaints(&world), [""; 0], "{n_lives} lives of {step} commits, {kill:?}");
    }
}

/// The control: a disk that says that it has what it has not.
#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    let n_commits = n_commits();
    let caught = (0..n_commits).filter(|at| {
        let world = Arc::new(World::default());
        process(&world, Some((*at, Kill::AfterALie)));
        let lost = complaints(&world);
        !lost.is_empty()
    });
    assert!(caught.count() > n_commits / 2);
}
