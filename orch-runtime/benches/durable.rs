//! A durable orchestrator: how long it takes until one goes on with 1,000,000 events, and how many
//! steps it makes durable.
//!
//! `cargo xtask bench durable [reopen]`, or `durable steps FOLDER CHAINS STEPS sync|os`, which
//! `bench/langgraph` runs beside its peer.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use orch_journal::{
    ContentHash, Durability, Journal, OpenError, Prepared, Record, Redactor, SqliteOptions,
    SqliteStore, Store,
};
use orch_runtime::*;
use tokio::sync::mpsc;
use tokio::time::Instant;

const N_EVENTS: u64 = 1_000_000;
const N_AGENTS: usize = 1_000;
/// Messages that wait when the process is gone.
const N_WAITING: usize = 10_000;
const N_ROUNDS: usize = 7;
/// Characters of a message.
const TEXT_BYTES: usize = 300;

type Bad = Box<dyn Error>;

fn main() -> Result<(), Bad> {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `cargo test --benches` and `cargo bench -- --list` run it as well.
    if std::env::args().any(|it| it == "--test" || it == "--list") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    match &words[..] {
        [] | ["reopen"] => runtime.block_on(reopen()),
        ["steps", folder, n_chains, n_steps, durability] => {
            let durability = match *durability {
                "sync" => Durability::Sync,
                "os" => Durability::Os,
                _ => return Err("which durability: sync or os?".into()),
            };
            let (n_chains, n_steps) = (n_chains.parse()?, n_steps.parse()?);
            runtime.block_on(steps(Path::new(folder), n_chains, n_steps, durability))
        }
        _ => Err("reopen, or steps FOLDER CHAINS STEPS sync|os".into()),
    }
}

/// From nothing to the first message that is handled: the file is opened, all that is live is taken
/// up, the run begins.
async fn reopen() -> Result<(), Bad> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("journal");
    let waiting = fill(&path)?;
    let megabytes = std::fs::metadata(&path)?.len() >> 20;
    println!("{N_EVENTS} events of {N_AGENTS} agents, {waiting} messages waiting, {megabytes} MB");
    let (mut opened, mut running) = (Vec::new(), Vec::new());
    for _ in 0..N_ROUNDS {
        let started = Instant::now();
        let (first, mut handled) = mpsc::unbounded_channel();
        let handler = function(move |_: Context| {
            // Whoever measures has left after the first one.
            let _ = first.send(());
            std::future::pending::<()>()
        });
        let journal = open(&path, Durability::Sync)?;
        let orchestrator = orchestrator().with_connector("function", handler);
        let orchestrator = orchestrator.with_journal(journal).await?;
        opened.push(started.elapsed().as_secs_f64());
        {
            let mut run = pin!(orchestrator.start());
            tokio::select! {
                ended = &mut run => return Err(format!("it ended: {:?}", ended?).into()),
                _ = handled.recv() => running.push(started.elapsed().as_secs_f64()),
            }
            assert!(orchestrator.metrics().await.queue_depth + N_AGENTS >= waiting);
            let (ended, _) = tokio::join!(run, orchestrator.stop_now());
            ended?;
        }
        drop(orchestrator);
        closed(&path).await?;
    }
    println!("  taken up, ms: {}", quartiles(&mut opened));
    println!(
        "  to the first message that is handled, ms: {} (goal < 1,000)",
        quartiles(&mut running)
    );
    Ok(())
}

/// `n_chains` pairs of agents that each pass a text on to the other `n_steps` times. Each step is
/// durable before the next begins. Tells rate and size as JSON.
async fn steps(
    folder: &Path,
    n_chains: usize,
    n_steps: usize,
    durability: Durability,
) -> Result<(), Bad> {
    let path = folder.join("journal");
    let mut orchestrator = orchestrator();
    for chain in 0..n_chains {
        orchestrator = orchestrator.with_connector(format!("pass-{chain}"), pass(chain, n_steps));
    }
    let orchestrator = orchestrator.with_journal(open(&path, durability)?).await?;
    let text: Content = "x".repeat(TEXT_BYTES).into();
    for chain in 0..n_chains {
        let config = |side: &str| {
            let name = format!("{side}-{chain}");
            AgentConfig::new(name, AgentRole::Worker, format!("pass-{chain}"))
        };
        let a = orchestrator.spawn(config("a")).await?;
        orchestrator.spawn(config("b")).await?;
        orchestrator.send(AgentMessage::new(AgentId::OUTSIDE, a, text.clone())).await?;
    }
    let started = Instant::now();
    assert_eq!(orchestrator.start().await?, StopReason::Completed);
    let seconds = started.elapsed().as_secs_f64();
    drop(orchestrator);
    closed(&path).await?;
    let bytes = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::fs::metadata(name).map_or(0, |it| it.len())
    };
    let rate = (n_chains * n_steps) as f64 / seconds;
    println!("{{\"rate\": {rate:.1}, \"bytes\": {}}}", bytes("") + bytes("-wal"));
    Ok(())
}

fn pass(chain: usize, n_steps: usize) -> impl Connector {
    function(move |ctx: Context| async move {
        if (ctx.message().hop() as usize) < n_steps {
            let other = if ctx.message().hop().is_multiple_of(2) { "b" } else { "a" };
            let other = ctx.find(&format!("{other}-{chain}")).expect("both were spawned");
            ctx.send(other, ctx.content()).await?;
        }
        Ok::<(), HostError>(())
    })
}

fn orchestrator() -> Orchestrator {
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(u32::MAX));
    Orchestrator::new(Arc::new(AgentRegistry::new()), Arc::new(bus))
        .with_loop_guard(LoopGuard::unlimited())
}

fn open(path: &Path, durability: Durability) -> Result<Journal, Bad> {
    let options = SqliteOptions::new().with_durability(durability);
    Ok(Journal::open(path, options, Redactor::new(), Timestamp::now())?)
}

/// Waits until nobody has it open, and its WAL is in the file. The last task that knew a run may end a
/// little after it.
async fn closed(path: &Path) -> Result<(), Bad> {
    loop {
        match SqliteStore::open(path, SqliteOptions::new()) {
            Ok(_) => return Ok(()),
            Err(OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a process leaves that handled messages until it was killed: how many wait.
fn fill(path: &Path) -> Result<usize, Bad> {
    let options = SqliteOptions::new().with_durability(Durability::Off);
    let mut store = SqliteStore::open(path, options)?;
    let agents: Vec<AgentId> = (0..N_AGENTS).map(|_| AgentId::new()).collect();
    let start = Record::RunStarted {
        run: 1,
        team: Some(ContentHash::of(b"team")),
        guard: LoopGuard::unlimited(),
        since: None,
    };
    let register = |(index, agent): (usize, &AgentId)| Record::AgentRegistered {
        agent: *agent,
        config: AgentConfig::new(format!("agent-{index}"), AgentRole::Worker, "function".into()),
        parent: None,
    };
    let mut records = vec![start];
    records.extend(agents.iter().enumerate().map(register));
    let mut each = agents.iter().cycle();
    while store.state().last().0 < N_EVENTS {
        records.extend(each.by_ref().take(300).flat_map(|agent| handled(*agent)));
        append(&mut store, std::mem::take(&mut records))?;
    }
    records.extend(each.take(N_WAITING).map(|agent| accepted(*agent).1));
    append(&mut store, records)?;
    Ok(store.state().n_deliveries())
}

fn append(store: &mut SqliteStore, records: Vec<Record>) -> Result<(), Bad> {
    let set = Prepared::new(Timestamp::now(), records, &Redactor::new())?;
    for answer in store.append(&[set])? {
        answer?;
    }
    Ok(())
}

fn accepted(to: AgentId) -> (MessageId, Record) {
    let message = AgentMessage::new(AgentId::OUTSIDE, to, "x".repeat(TEXT_BYTES));
    (message.id(), Record::Accepted { message, origin_run: 0, origin_round: 0, step: None })
}

fn handled(agent: AgentId) -> [Record; 3] {
    let (message, accepted) = accepted(agent);
    let started = Record::AttemptStarted { agent, message, attempt: 1, round: 1 };
    let (output, usage) = (Some("done".into()), Usage::default());
    [
        accepted,
        started,
        Record::Settled { agent, message, attempt: 1, output, usage, handling_ms: 3 },
    ]
}

/// Median, and the quartiles beside it, in milliseconds.
fn quartiles(seconds: &mut [f64]) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |quarter: usize| seconds[(seconds.len() - 1) * quarter / 4] * 1_000.0;
    format!("{:.0} [{:.0}, {:.0}]", at(2), at(1), at(3))
}
