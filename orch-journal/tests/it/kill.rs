//! `kill -9` at random moments: what was acknowledged is there afterwards, in order, and what was
//! settled is not handled again.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentId, AgentMessage, MessageId, Timestamp, Usage};
use orch_journal::{Journal, Of, Record, Redactor, SqliteStore, Store};

use crate::support::{Dice, is_deep, options, seed};

const CHILD: &str = "ORCH_TEST_KILLED_CHILD";
const PLANTED: &str = "ORCH_TEST_ACK_BEFORE_COMMIT";
const N_SENDERS: u128 = 6;

/// What the child says on its standard output, one line each, in one write.
fn say(word: &str, id: MessageId) {
    let line = format!("{word} {}\n", id.as_uuid());
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

fn agent(number: u128) -> AgentId {
    AgentId::from_uuid(uuid::Uuid::from_u128(number + 1))
}

/// The program that is killed: this test in a process of its own. Elsewhere it does nothing.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    #[cfg(feature = "planted")]
    if std::env::var_os(PLANTED).is_some() {
        orch_journal::planted::plant(orch_journal::planted::Plant::AckBeforeCommit);
    }
    let journal = Journal::open(path, options(), Redactor::new(), Timestamp::now()).unwrap();
    let journal = Arc::new(journal);
    println!("ready");
    let senders = (0..N_SENDERS).map(|number| {
        let journal = journal.clone();
        std::thread::spawn(move || {
            (0..u64::MAX).for_each(|index| send(&journal, agent(number), index));
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
}

/// Accepts a message, and handles every other one.
fn send(journal: &Journal, to: AgentId, index: u64) {
    let text = "x".repeat(usize::try_from(index % 7).unwrap() * 300);
    let message = AgentMessage::new(AgentId::OUTSIDE, to, text);
    let id = message.id();
    let accepted = Record::Accepted { message, origin_run: 0, origin_round: 0, step: None };
    journal.commit_blocking(Timestamp::now(), vec![accepted]).unwrap();
    say("accepted", id);
    if index % 2 == 1 {
        return;
    }
    let started = Record::AttemptStarted { agent: to, message: id, attempt: 1, round: 1 };
    journal.commit_blocking(Timestamp::now(), vec![started]).unwrap();
    let (output, usage) = (Some("done".into()), Usage::default());
    let settled =
        Record::Settled { agent: to, message: id, attempt: 1, output, usage, handling_ms: 1 };
    journal.commit_blocking(Timestamp::now(), vec![settled]).unwrap();
    say("settled", id);
}

/// What all children of one journal said.
#[derive(Default)]
struct Log {
    accepted: Vec<MessageId>,
    settled: Vec<MessageId>,
}

impl Log {
    fn read(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        // The word before a name that libtest prints may stand on the first line.
        let (Some(word), Some(id)) = (words.next(), words.next()) else { return };
        let Ok(id) = id.parse() else { return };
        match word {
            "accepted" => self.accepted.push(id),
            "settled" => self.settled.push(id),
            _ => {}
        }
    }

    /// What is wrong with the journal.
    fn objection(&self, path: &Path) -> Option<String> {
        let store = match SqliteStore::open(path, options()) {
            Ok(store) => store,
            Err(error) => return Some(format!("refused: {error}")),
        };
        let accepted = |id: &&MessageId| !store.state().knows(**id);
        if let Some(lost) = self.accepted.iter().find(accepted) {
            return Some(format!("{lost} was acknowledged and is lost"));
        }
        let live = |id: &&MessageId| store.state().delivery(**id).is_some();
        if let Some(again) = self.settled.iter().find(live) {
            return Some(format!("{again} was settled and waits again"));
        }
        if let Some(wrong) = self.out_of_order(&store) {
            return Some(wrong);
        }
        store.verify().err().map(|error| format!("verify says: {error}"))
    }

    /// Each sender sends one after the other, so its messages were acknowledged in order.
    fn out_of_order(&self, store: &SqliteStore) -> Option<String> {
        let places: HashMap<MessageId, usize> =
            self.accepted.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let acked: HashSet<MessageId> = self.accepted.iter().copied().collect();
        for number in 0..N_SENDERS {
            let all = store.latest(Of::Agent(agent(number)), usize::MAX).unwrap();
            let accepted = all.iter().filter(|it| matches!(it.record, Record::Accepted { .. }));
            let ids = accepted.filter_map(|it| it.record.message()).filter(|id| acked.contains(id));
            let places: Vec<usize> = ids.map(|id| places[&id]).collect();
            if !places.is_sorted() {
                return Some(format!("the messages of sender {number} are out of order"));
            }
        }
        None
    }
}

/// Runs a child, kills it after so long, and reads all that it said.
fn kill_once(path: &Path, log: &mut Log, after: Duration, planted: bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::child", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, path).stdout(Stdio::piped()).stderr(Stdio::null());
    if planted {
        command.env(PLANTED, "1");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Once it writes: a child that is killed before has nothing at risk.
    for line in lines.by_ref() {
        let line = line.unwrap();
        log.read(&line);
        if line.contains("ready") {
            break;
        }
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    lines.for_each(|line| log.read(&line.unwrap_or_default()));
    child.wait().unwrap();
}

/// Kills children, several for each journal. What is wrong with each journal, and the acks at risk.
fn kill(n_kills: u64, planted: bool, seed: u64) -> (Vec<String>, usize) {
    let mut dice = Dice::new(seed);
    let (mut objections, mut n_acked) = (Vec::new(), 0);
    let mut left = n_kills;
    while left > 0 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut log = Log::default();
        for _ in 0..left.min(5) {
            kill_once(&path, &mut log, Duration::from_micros(dice.roll(60_000)), planted);
            objections.extend(log.objection(&path));
        }
        left -= left.min(5);
        n_acked += log.accepted.len() + log.settled.len();
    }
    (objections, n_acked)
}

#[test]
fn nothing_acknowledged_is_lost() {
    let n_kills = std::env::var("ORCH_KILLS").ok().and_then(|text| text.parse().ok());
    let n_kills = n_kills.unwrap_or(if is_deep() { 2_000 } else { 40 });
    let (objections, n_acked) = kill(n_kills, false, seed());
    println!("{n_kills} kills, {n_acked} acknowledgements, {} objections", objections.len());
    assert_eq!(objections, Vec::<String>::new());
    assert!(n_acked as u64 > n_kills, "hardly anything was at risk");
}

/// The planted bug: acknowledging before the commit must be noticed.
#[cfg(feature = "planted")]
#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    let (objections, n_acked) = kill(30, true, seed());
    println!("noticed at {} of 30 kills, {n_acked} acknowledgements", objections.len());
    assert!(objections.len() > 5, "only {} of 30 kills lost something", objections.len());
}
