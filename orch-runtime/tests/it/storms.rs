//! A team under load while its disk is full, slow and good in turns, senders give up half-way, agents are
//! retired and letters sent again: in the end memory and journal say the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_journal::{Entry, Record, Seq};
use orch_runtime::*;
use tokio::time::{sleep, timeout};

use crate::machine::{Machine, Mood};
use crate::support::{LIMIT, config, eventually, ms, orchestrator, outside};

/// SplitMix64: the same choices for a seed, as far as threads allow.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn below(&self, n: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[derive(Debug)]
struct World {
    dice: Dice,
    machine: Machine,
    /// Outside sends that were answered well.
    acknowledged: Mutex<HashSet<MessageId>>,
    handled: Mutex<Vec<(MessageId, u32)>>,
    is_over: AtomicBool,
}

/// Sends, asks, uses and fails at random. What it does depends on its message alone, so that an attempt
/// that is made again takes the same steps.
fn worker(world: &Arc<World>) -> impl Connector {
    let world = world.clone();
    function(move |ctx: Context| {
        world.handled.lock().unwrap().push((ctx.message().id(), ctx.attempt()));
        let world = world.clone();
        async move {
            let way = ctx.content().bytes().map(u64::from).sum::<u64>() % 7;
            ctx.report_usage(Usage { input_tokens: 1, ..Usage::default() });
            if ctx.message().hop() < 2 {
                let name = if way % 2 == 0 { "b" } else { "c" };
                if let Some(other) = ctx.find(name).filter(|other| *other != ctx.agent()) {
                    match way {
                        0 | 1 => drop(ctx.send(other, format!("{}+", ctx.content())).await?),
                        2 => drop(ctx.ask(other, format!("{}?", ctx.content()), ms(5_000)).await),
                        _ => {}
                    }
                }
            }
            match world.dice.below(10) {
                0 => Err(Failure::transient("busy")),
                1 if way > 4 => Err(Failure::last("broken")),
                _ => Ok("done"),
            }
        }
    })
}

async fn sender(world: Arc<World>, orchestrator: Arc<Orchestrator>, number: u64) {
    for n in 0..100 {
        sleep(ms(world.dice.below(8))).await;
        let names = ["a", "b", "c"];
        let name = names[world.dice.below(3) as usize];
        let Some(to) = orchestrator.registry().find(name) else { continue };
        let priority = MessagePriority::MOST_URGENT_FIRST[world.dice.below(4) as usize];
        let message = outside(to, &format!("{number}/{n}")).with_priority(priority);
        let patience = ms(1 + world.dice.below(20));
        let sent = timeout(patience, orchestrator.send(message.clone())).await;
        let sent = match sent {
            Ok(Ok(_)) => true,
            // Again under its id, as is promised to be safe.
            Ok(Err(_)) | Err(_) if world.dice.below(2) == 0 => {
                orchestrator.send(message.clone()).await.is_ok()
            }
            Ok(Err(_)) | Err(_) => false,
        };
        if sent {
            world.acknowledged.lock().unwrap().insert(message.id());
        }
    }
}

async fn operator(world: Arc<World>, orchestrator: Arc<Orchestrator>) {
    while !world.is_over.load(Ordering::Relaxed) {
        sleep(ms(3)).await;
        let letters = orchestrator.dead_letters();
        match world.dice.below(8) {
            0 if !letters.is_empty() => {
                let letter = &letters[world.dice.below(letters.len() as u64) as usize];
                let _ = timeout(ms(4), orchestrator.resend(letter.message.id())).await;
            }
            1 if !letters.is_empty() => {
                drop(orchestrator.drop_dead_letter(letters[0].message.id()));
            }
            2 if world.dice.below(2) == 0 => {
                let Some(c) = orchestrator.registry().find("c") else { continue };
                let _ = timeout(ms(4), orchestrator.retire(c)).await;
                let again = config("c", "worker").with_max_retries(3);
                let _ = timeout(ms(4), orchestrator.spawn(again)).await;
            }
            _ => {}
        }
    }
}

async fn weather(world: Arc<World>, kill_after: Option<Duration>) {
    let began = tokio::time::Instant::now();
    while !world.is_over.load(Ordering::Relaxed) {
        if kill_after.is_some_and(|after| began.elapsed() > after) {
            world.machine.set(Mood::Dead);
            return;
        }
        let (mood, most) = match world.dice.below(12) {
            0 => (Mood::Full, 10),
            1..4 => (Mood::Held, 10),
            _ => (Mood::Good, 40),
        };
        world.machine.set(mood);
        sleep(ms(1 + world.dice.below(most))).await;
    }
    world.machine.set(Mood::Good);
}

async fn open(world: &Arc<World>, journal: Arc<Journal>) -> Arc<Orchestrator> {
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard::unlimited())
        .with_retry_policy(RetryPolicy::default().with_base(ms(2)))
        .with_stop_limits(StopLimits::new(ms(5), LIMIT))
        .with_restart_intensity(RestartIntensity::new(1_000, LIMIT))
        .with_connector("worker", worker(world))
        .with_journal(journal)
        .await
        .unwrap();
    for name in ["a", "b", "c"] {
        orchestrator.spawn(config(name, "worker").with_concurrency(2)).await.unwrap();
    }
    Arc::new(orchestrator)
}

async fn storm(seed: u64, kills: bool) -> Vec<String> {
    let world = Arc::new(World {
        dice: Dice(AtomicU64::new(seed)),
        machine: Machine::default(),
        acknowledged: Mutex::default(),
        handled: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let mut journal = world.machine.open();
    let mut orchestrator = open(&world, journal.clone()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        tasks.spawn(sender(world.clone(), orchestrator.clone(), number));
    }
    let mut others = tokio::task::JoinSet::new();
    others.spawn(operator(world.clone(), orchestrator.clone()));
    let kill_after = kills.then(|| ms(20 + world.dice.below(400)));
    others.spawn(weather(world.clone(), kill_after));
    let (of, by) = (world.clone(), orchestrator.clone());
    others.spawn(async move {
        // Runs in a row, each stopped in the middle of something.
        while !of.is_over.load(Ordering::Relaxed) {
            let stops = async {
                sleep(ms(5 + of.dice.below(60))).await;
                by.stop().await;
            };
            let (_, ()) = tokio::join!(by.serve(), stops);
        }
    });
    while tasks.join_next().await.is_some() {}
    world.is_over.store(true, Ordering::Relaxed);
    while others.join_next().await.is_some() {}
    if kills {
        world.machine.set(Mood::Dead);
        drop(orchestrator);
        eventually("the process is gone", || Arc::strong_count(&journal) == 1).await;
        drop(journal);
        world.machine.set(Mood::Good);
        journal = world.machine.open();
        orchestrator = open(&world, journal.clone()).await;
    }
    let mut wrong = settled_differences(&orchestrator, &journal).await;
    let mut reason = None;
    for _ in 0..20 {
        let ended = timeout(LIMIT, orchestrator.start()).await.expect("a run ends");
        reason = Some(ended);
        let left = orchestrator.metrics().await.queue_depth;
        if left == 0 && reason.as_ref().is_some_and(Result::is_ok) {
            break;
        }
        sleep(ms(50)).await;
    }
    let depth = orchestrator.metrics().await.queue_depth;
    if depth > 0 {
        wrong.push(format!("{depth} are left after {reason:?}"));
    }
    wrong.extend(settled_differences(&orchestrator, &journal).await);
    let events = journal.ask(|store| store.events(Seq(1), usize::MAX).unwrap()).await.unwrap();
    if std::env::var_os("ORCH_FIGURES").is_some() {
        let mut n: BTreeMap<String, usize> = BTreeMap::new();
        for it in &events {
            let kind = format!("{:?}", it.record);
            let kind = kind.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            *n.entry(kind).or_default() += 1;
        }
        let n_acknowledged = world.acknowledged.lock().unwrap().len();
        println!("seed {seed}: {n_acknowledged} acknowledged, {n:?}");
    }
    wrong.extend(lost(&world, &orchestrator, &events, kills));
    wrong
}

/// What is still different once everything that was told has had its time.
async fn settled_differences(orchestrator: &Orchestrator, journal: &Journal) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..600 {
        wrong = differences(orchestrator, journal).await;
        if wrong.is_empty() {
            break;
        }
        sleep(ms(100)).await;
    }
    wrong
}

/// Where memory and journal say different things.
async fn differences(orchestrator: &Orchestrator, journal: &Journal) -> Vec<String> {
    let state = match journal.ask(|store| store.state().clone()).await {
        Ok(state) => state,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    let mut by_agent: HashMap<AgentId, i64> = HashMap::new();
    for delivery in state.mailboxes() {
        *by_agent.entry(delivery.message.to()).or_default() += 1;
    }
    for agent in orchestrator.bus().agents() {
        let depth = orchestrator.bus().mailbox(agent).map_or(0, |mailbox| mailbox.len());
        *by_agent.entry(agent).or_default() -= depth as i64;
    }
    for (agent, more) in by_agent.into_iter().filter(|(_, more)| *more != 0) {
        wrong.push(format!("the journal has {more} more messages of {agent}"));
    }
    for (id, _) in state.questions().filter(|(id, _)| state.delivery(*id).is_none()) {
        wrong.push(format!("{id} is an open question, and nobody has it"));
    }
    let mut letters: BTreeMap<MessageId, i64> = BTreeMap::new();
    state.letters().for_each(|it| *letters.entry(it.letter.message.id()).or_default() += 1);
    for letter in orchestrator.dead_letters() {
        *letters.entry(letter.message.id()).or_default() -= 1;
    }
    for (id, more) in letters.into_iter().filter(|(_, more)| *more != 0) {
        wrong.push(format!("the journal has {more} more letters of {id}"));
    }
    let registered: HashSet<AgentId> = state.agents().map(|agent| agent.id).collect();
    let known: HashSet<AgentId> = orchestrator.bus().agents().into_iter().collect();
    if registered != known {
        wrong.push(format!("registered {registered:?}, and there are {known:?}"));
    }
    wrong
}

/// What was acknowledged and has no end, was settled twice, or handled unrecorded or after its end.
fn lost(world: &World, orchestrator: &Orchestrator, events: &[Entry], kills: bool) -> Vec<String> {
    let (mut ends, mut begun): (HashMap<MessageId, u32>, HashMap<_, i64>) = Default::default();
    let mut wrong = Vec::new();
    for event in events {
        match &event.record {
            Record::Settled { message, .. } => *ends.entry(*message).or_default() += 1,
            Record::AttemptStarted { message, attempt, .. } => {
                *begun.entry((*message, *attempt)).or_default() += 1;
                if ends.contains_key(message) {
                    wrong.push(format!("{message} was begun after its ack"));
                }
            }
            Record::LetterDropped { message, .. } => {
                ends.entry(*message).or_default();
            }
            _ => {}
        }
    }
    for attempt in world.handled.lock().unwrap().iter() {
        *begun.entry(*attempt).or_default() -= 1;
    }
    let n_used = events.iter().filter(|it| matches!(it.record, Record::Used { .. })).count();
    let n_handled = world.handled.lock().unwrap().len();
    // What was used in the moment of a kill may not be recorded.
    if n_used > n_handled || (n_used < n_handled && !kills) {
        wrong.push(format!("{n_used} uses are recorded of {n_handled}"));
    }
    wrong.extend(begun.iter().filter(|(_, n)| **n < 0).map(|it| format!("{it:?} unrecorded")));
    wrong.extend(ends.iter().filter(|(_, n)| **n > 1).map(|it| format!("{it:?} settled twice")));
    let letters: HashSet<_> =
        orchestrator.dead_letters().iter().map(|letter| letter.message.id()).collect();
    for id in world.acknowledged.lock().unwrap().iter() {
        if !ends.contains_key(id) && !letters.contains(id) {
            let of = events.iter().filter(|it| it.record.message() == Some(*id));
            let of: Vec<_> = of.map(|it| format!("{} {:.24?}", it.seq, it.record)).collect();
            wrong.push(format!("{id} was acknowledged and has no end: {of:?}"));
        }
    }
    wrong
}

fn storms(kills: bool) {
    let from_env = |name| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first = from_env("ORCH_SEED").unwrap_or(1);
    for seed in first..first + from_env("ORCH_STORMS").unwrap_or(4) {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(2).enable_all().build().unwrap();
        let wrong = runtime.block_on(storm(seed, kills));
        assert_eq!(wrong, [""; 0], "seed {seed}");
    }
}

#[test]
fn after_a_storm_memory_and_journal_say_the_same() {
    storms(false);
}

#[test]
fn a_process_that_is_killed_in_a_storm_loses_nothing() {
    storms(true);
}
