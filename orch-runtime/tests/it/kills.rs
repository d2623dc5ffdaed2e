//! A team that sends, asks, fails, tries again, passes on and loses a member, killed at each commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_journal::{Entry, Record};
use orch_runtime::*;

use crate::disk::{Disk, Kill, mortal, process, run_until_killed};
use crate::support::{LIMIT, config, ms, outside};

const N_SENT: usize = 3;
/// So long that a retry is due in the future when the next process begins.
const PAUSE: Duration = ms(20);

/// What is outside of the process, and outlives it.
#[derive(Debug, Default)]
struct World {
    disk: Disk,
    sent: Mutex<Vec<AgentMessage>>,
    /// What is sent to the temp, an agent that is retired.
    left: Mutex<Vec<AgentMessage>>,
    temp: Mutex<Option<AgentId>>,
    acknowledged: Mutex<HashSet<MessageId>>,
    /// What handlers were given: message and attempt.
    handled: Mutex<Vec<(MessageId, u32)>>,
}

/// Sends two messages on for each that it gets.
fn splitter(world: &Arc<World>) -> impl Connector + use<> {
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
fn worker(world: &Arc<World>) -> impl Connector + use<> {
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

fn oracle(world: &Arc<World>) -> impl Connector + use<> {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        async move { format!("yes, {}", ctx.content()) }
    })
}

/// Writes down what goes to the archive, and what was left to the temp.
fn archive(world: &Arc<World>) -> impl Connector + use<> {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        async {}
    })
}

/// What the splitter says, and what was left to an agent that is retired, goes to the archive.
struct ToArchive(Arc<AgentRegistry>);

impl ToArchive {
    fn send(&self, from: AgentId, text: String) -> Vec<AgentMessage> {
        let archive = self.0.find("archive");
        archive.map(|to| AgentMessage::new(from, to, text)).into_iter().collect()
    }
}

impl Router for ToArchive {
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        output: Option<&Content>,
    ) -> Vec<AgentMessage> {
        match output.map(Content::as_str) {
            Some("split") => self.send(agent, format!("{} is split", message.content())),
            _ => Vec::new(),
        }
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        self.send(letter.message.to(), format!("{} is left", letter.message.content()))
    }
}

/// Lives until it is killed, or has nothing left to do; true for the latter.
async fn live(journal: Journal, world: Arc<World>) -> bool {
    let with = |it: Orchestrator| {
        let router = Arc::new(ToArchive(it.registry().clone()));
        it.with_retry_policy(RetryPolicy::default().with_base(PAUSE))
            .with_router(router)
            .with_connector("splitter", splitter(&world))
            .with_connector("worker", worker(&world))
            .with_connector("oracle", oracle(&world))
            .with_connector("archive", archive(&world))
    };
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    for name in ["splitter", "worker", "oracle", "archive"] {
        // Each attempt that a kill cuts off counts.
        if orchestrator.spawn(config(name, name).with_max_retries(99)).await.is_err() {
            return false;
        }
    }
    if retire_temp(&orchestrator, &world).await.is_none() {
        return false;
    }
    let splitter = orchestrator.registry().find("splitter").expect("it was spawned");
    for message in messages(&world.sent, splitter, "m") {
        let id = message.id();
        // Whether or not it was acknowledged before: to send the same id again is safe.
        match orchestrator.send(message).await {
            Ok(sent) => assert_eq!(sent, id),
            Err(_) => return false,
        };
        world.acknowledged.lock().unwrap().insert(id);
    }
    match run_until_killed(&orchestrator).await {
        Some(StopReason::Completed) => true,
        None => false,
        other => panic!("{other:?}"),
    }
}

/// Makes an agent, sends it something, and retires it; `None` if that was not to be.
async fn retire_temp(orchestrator: &Orchestrator, world: &World) -> Option<()> {
    let known = *world.temp.lock().unwrap();
    let temp = match known {
        Some(temp) => temp,
        None => {
            // A former process may have been killed before it heard that there is one.
            let temp = config("temp", "archive");
            let temp = orchestrator.spawn(temp).await.ok()?;
            *world.temp.lock().unwrap() = Some(temp);
            temp
        }
    };
    // Or it was retired by a former process.
    if orchestrator.registry().get(temp).await.is_some() {
        for message in messages(&world.left, temp, "t") {
            orchestrator.send(message).await.ok()?;
        }
        orchestrator.retire(temp).await.ok()?;
    }
    Some(())
}

/// The same messages in each process.
fn messages(sent: &Mutex<Vec<AgentMessage>>, to: AgentId, name: &str) -> Vec<AgentMessage> {
    let mut sent = sent.lock().unwrap();
    if sent.first().is_none_or(|first| first.to() != to) {
        *sent = (0..N_SENT).map(|n| outside(to, &format!("{name}{n}"))).collect();
    }
    sent.clone()
}

/// What is wrong, in the end.
fn complaints(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let (state, events) = (world.disk.state(), world.disk.events());
    if state.n_deliveries() > 0 {
        wrong.push("something is left".to_owned());
    }
    let mut given_up: Vec<_> = state.letters().map(|it| it.letter.message.content()).collect();
    given_up.sort_unstable();
    if given_up != ["t0", "t1", "t2"] {
        wrong.push(format!("{given_up:?} are given up"));
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
    for n in 0..N_SENT {
        for text in [format!("m{n} is split"), format!("t{n} is left")] {
            if accepted(&text) != 1 {
                wrong.push(format!("{text} was said {} times", accepted(&text)));
            }
        }
    }
    wrong.extend(unrecorded(world, &events));
    wrong.extend(too_early(&events));
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

/// Attempts that began before they were due, whoever had said so.
fn too_early(events: &[Entry]) -> Vec<String> {
    let (mut due, mut wrong) = (BTreeMap::new(), Vec::new());
    for event in events {
        match &event.record {
            Record::RetryScheduled { message, retry_at, .. } => {
                due.insert(*message, *retry_at);
            }
            Record::AttemptStarted { message, .. } => {
                // Two clocks that are cut to a millisecond each.
                let at = event.at.after(ms(2));
                if due.remove(message).is_some_and(|due| at < due) {
                    wrong.push(format!("{message} was tried again too early"));
                }
            }
            _ => {}
        }
    }
    wrong
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

fn killed_at(disk: Disk, at: usize, kill: Kill) -> Arc<World> {
    let world = Arc::new(World { disk, ..World::default() });
    process(&world.disk, Some((at, kill)), |journal| live(journal, world.clone()));
    let (ended, _) = process(&world.disk, None, |journal| live(journal, world.clone()));
    assert!(ended, "killed at {at}, {kill:?}: the second process comes to an end");
    world
}

fn n_commits() -> usize {
    let world = Arc::new(World::default());
    let (ended, n_commits) = process(&world.disk, None, |journal| live(journal, world.clone()));
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
            let world = killed_at(Disk::default(), at, kill);
            assert_eq!(complaints(&world), [""; 0], "killed at {at}, {kill:?}");
        }
    }
}

/// The same over SQLite, where what is recovered comes from its tables.
#[test]
fn a_process_with_a_file_that_is_killed_at_a_commit_loses_and_repeats_nothing() {
    for at in (0..n_commits()).step_by(7) {
        for kill in [Kill::Before, Kill::After] {
            let world = killed_at(Disk::with_file(), at, kill);
            assert_eq!(complaints(&world), [""; 0], "killed at {at}, {kill:?}");
        }
    }
}

/// Each process lives for a few commits, and each counts as an attempt at what it was doing.
#[test]
fn a_process_that_is_killed_again_and_again_comes_to_an_end() {
    for (step, kill) in [(16, Kill::Before), (18, Kill::After)] {
        let world = Arc::new(World::default());
        let mut n_lives = 1;
        let lives = |kill| process(&world.disk, kill, |journal| live(journal, world.clone())).0;
        while !lives(Some((step, kill))) {
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
        process(&world.disk, Some((*at, Kill::AfterALie)), |journal| live(journal, world.clone()));
        let lost = complaints(&world);
        !lost.is_empty()
    });
    assert!(caught.count() > n_commits / 2);
}
