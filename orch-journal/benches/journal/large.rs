//! A journal of 1,000,000 events: opening it, and asking for an agent's last ones.

use std::path::Path;

use orch_core::{AgentConfig, AgentId, AgentMessage, AgentRole, Timestamp, Usage};
use orch_journal::{
    ContentHash, Durability, Of, Prepared, Record, Redactor, SqliteOptions, SqliteReader,
    SqliteStore, Store,
};

use super::{TEXT_BYTES, now, quartiles};

const N_EVENTS: u64 = 1_000_000;
const N_AGENTS: usize = 1_000;
/// Messages that still wait.
const N_LIVE: usize = 10_000;

pub(crate) fn run(folder: &Path) {
    let path = folder.join("large");
    let agents = make(&path);
    let bytes = std::fs::metadata(&path).map_or(0, |it| it.len());
    println!(
        "{N_EVENTS} events of {N_AGENTS} agents, {N_LIVE} messages waiting, {} MB",
        bytes >> 20
    );
    let mut times = Vec::new();
    for _ in 0..7 {
        let start = now();
        let store = SqliteStore::open(&path, SqliteOptions::new()).expect("it is in order");
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(store.state().n_deliveries(), N_LIVE);
    }
    println!("  opened to its state, ms: {} (goal < 1,000)", quartiles(&mut times, 0));
    let reader = SqliteReader::open(&path).expect("it is in order");
    let mut times = Vec::new();
    for agent in agents.iter().step_by(7) {
        let start = now();
        let found = reader.latest(Of::Agent(*agent), 100).expect("it is in order");
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(found.len(), 100);
    }
    println!("  last 100 of one agent, ms: {} (goal < 1)", quartiles(&mut times, 3));
    let start = now();
    let all = reader.latest(Of::Agent(agents[5]), usize::MAX).expect("it is in order");
    let took = start.elapsed();
    println!("  all {} of one agent: {took:?}", all.len());
    let message = all.iter().find_map(|it| it.record.message()).expect("there is one");
    let start = now();
    let n = reader.latest(Of::Message(message), 100).expect("it is in order").len();
    println!("  the {n} of one message (a scan): {:?}", start.elapsed());
    let chain = orch_core::ChainId::from_uuid(message.as_uuid());
    let start = now();
    let n = reader.latest(Of::Chain(chain), 100).expect("it is in order").len();
    println!("  the {n} of one chain (a scan): {:?}", start.elapsed());
    questions(&reader);
    let store = SqliteStore::open(&path, SqliteOptions::new()).expect("it is in order");
    let start = now();
    store.verify().expect("it is in order");
    println!("  verified whole: {:?}", start.elapsed());
    prune(store);
}

/// What the commands of `orch journal` and `orch dead-letters` ask.
fn questions(reader: &SqliteReader) {
    let time = |what: &str, ask: &dyn Fn() -> usize| {
        let start = now();
        let n = ask();
        println!("  {what} ({n}): {:?}", start.elapsed());
    };
    time("all that is live", &|| reader.state().expect("it is in order").n_deliveries());
    time("registrations", &|| reader.registrations().expect("it is in order").len());
    time("the last messages", &|| reader.recent_messages().expect("it is in order").len());
    time("all messages (a scan)", &|| reader.messages().expect("it is in order").len());
    time("figures (a scan)", &|| reader.stats().expect("it is in order").n_by_kind.len());
    time("the last 1,000 of all", &|| reader.latest(Of::All, 1_000).expect("in order").len());
}

fn prune(mut store: SqliteStore) {
    let start = now();
    let (mut n_removed, mut n_calls) = (0, 0);
    while n_calls < 50 {
        let pruned = store.prune(Timestamp::NEVER, 2_000).expect("the disk works");
        n_removed += pruned.n_removed;
        n_calls += 1;
        if !pruned.more {
            break;
        }
    }
    println!("  pruned {n_removed} events in {n_calls} transactions: {:?}", start.elapsed());
}

fn make(path: &Path) -> Vec<AgentId> {
    let options = SqliteOptions::new().with_durability(Durability::Off);
    let mut store = SqliteStore::open(path, options).expect("the folder is there");
    let agents: Vec<AgentId> = (0..N_AGENTS).map(|_| AgentId::new()).collect();
    let team = Some(ContentHash::of(b"team"));
    let guard = orch_core::LoopGuard::unlimited();
    let mut records = vec![Record::RunStarted { run: 1, team, guard, since: None }];
    records.extend(agents.iter().map(|agent| Record::AgentRegistered {
        agent: *agent,
        config: AgentConfig::new("agent".into(), AgentRole::Worker, "function".into()),
        parent: None,
    }));
    let mut index = 0;
    while store.state().last().0 < N_EVENTS {
        for _ in 0..300 {
            handle(&mut records, agents[index % N_AGENTS]);
            index += 1;
        }
        append(&mut store, std::mem::take(&mut records));
    }
    for index in 0..N_LIVE {
        records.push(accepted(agents[index % N_AGENTS]).1);
    }
    records.push(Record::RunEnded { run: 1, reason: orch_core::StopReason::Completed });
    append(&mut store, records);
    agents
}

fn append(store: &mut SqliteStore, records: Vec<Record>) {
    let set = Prepared::new(Timestamp::now(), records, &Redactor::new()).expect("it is in order");
    store.append(&[set]).expect("the disk works")[0].clone().expect("it is legal");
}

fn accepted(to: AgentId) -> (orch_core::MessageId, Record) {
    let message = AgentMessage::new(AgentId::OUTSIDE, to, "x".repeat(TEXT_BYTES));
    (message.id(), Record::Accepted { message, origin_run: 0, origin_round: 0, step: None })
}

fn handle(records: &mut Vec<Record>, agent: AgentId) {
    let (message, accepted) = accepted(agent);
    records.push(accepted);
    records.push(Record::AttemptStarted { agent, message, attempt: 1, round: 1 });
    let (output, usage) = (Some("done".into()), Usage::default());
    records.push(Record::Settled { agent, message, attempt: 1, output, usage, handling_ms: 3 });
}
