//! What is known outside of the journal, life by life, and what is wrong with the end.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use orch_journal::{Entry, Record, Seq, SqliteReader};
use serde_json::Value;

use super::teams::Story;

/// What was seen of a message.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Lines of the programs' log that were read.
    n_read: usize,
    life: usize,
    /// Lives that ended by a stop: what it cut off is put back, and does not count as an attempt.
    stopped: HashSet<usize>,
    /// `orch` said so: accepted.
    accepted: HashSet<String>,
    /// `orch` said so: settled, in which life.
    settled: HashMap<String, usize>,
    /// The programs said so, in their order: agent, message, attempt, and in which life.
    begun: Vec<(String, String, String, usize)>,
    ended: HashSet<String>,
}

impl Log {
    /// Reads what `orch` and the programs said in a life that is over.
    pub(super) fn read_life(&mut self, out: &Path, log: &Path, is_stopped: bool) {
        if is_stopped {
            self.stopped.insert(self.life);
        }
        let out = std::fs::read_to_string(out).unwrap();
        // The last line may be half of one.
        for event in out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            self.read_event(&event);
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        for line in log.lines().skip(self.n_read) {
            self.n_read += 1;
            let words: Vec<&str> = line.split(' ').collect();
            let [word, agent, message, attempt] = words[..] else { panic!("`{line}`") };
            let message = message.strip_prefix("message-").expect("it is an id");
            match word {
                "begin" => {
                    let (agent, message) = (agent.to_owned(), message.to_owned());
                    self.begun.push((agent, message, attempt.to_owned(), self.life));
                }
                _ => drop(self.ended.insert(message.to_owned())),
            }
        }
        self.life += 1;
    }

    fn read_event(&mut self, event: &Value) {
        let message = |value: &Value| value.as_str().unwrap().to_owned();
        match event["event"].as_str() {
            Some("accepted") => drop(self.accepted.insert(message(&event["message"]["id"]))),
            Some("settled") => {
                self.settled.entry(message(&event["message"])).or_insert(self.life);
            }
            _ => {}
        }
    }

    pub(super) fn n_acks(&self) -> usize {
        self.accepted.len() + self.settled.len()
    }

    /// What is wrong with a run that has come to its end.
    pub(super) fn objections(&self, journal: &Path, story: &Story) -> Vec<String> {
        let reader = SqliteReader::open(journal).unwrap();
        let mut wrong: Vec<String> =
            reader.verify().err().iter().map(ToString::to_string).collect();
        let events = reader.events(Seq(1), usize::MAX).unwrap();
        let settled = settled(&events);
        let known = self.accepted.iter().chain(self.settled.keys());
        wrong.extend(
            known.filter(|id| settled.get(*id) != Some(&1)).map(|id| {
                format!("{id} was acknowledged, and settled {:?} times", settled.get(id))
            }),
        );
        let handled = settled.keys().filter(|id| !self.ended.contains(*id));
        wrong.extend(handled.map(|id| format!("{id} is settled, and nobody handled it")));
        wrong.extend(self.handled_again());
        if story.is_in_order() {
            wrong.extend(self.out_of_order(&events));
        }
        wrong
    }

    /// What was handled after its ack; and attempts of the same number, of which no more than one can
    /// have been recorded before it began.
    fn handled_again(&self) -> Vec<String> {
        let mut seen = HashMap::new();
        let mut wrong = Vec::new();
        for (agent, message, attempt, life) in &self.begun {
            if self.settled.get(message).is_some_and(|acked| acked < life) {
                wrong.push(format!("{agent} handled {message} in life {life}, after its ack"));
            }
            let before = seen.insert((message, attempt), life);
            if before.is_some_and(|life| !self.stopped.contains(life)) {
                wrong.push(format!("{agent} handled {message} twice as attempt {attempt}"));
            }
        }
        wrong
    }

    /// Messages of a lane whose handling began before that of one that was accepted earlier.
    fn out_of_order(&self, events: &[Entry]) -> Vec<String> {
        let mut places = HashMap::new();
        for event in events {
            if let Record::Accepted { message, .. } = &event.record {
                let id = message.id().as_uuid().to_string();
                places.insert(id, (message.priority(), event.seq));
            }
        }
        let (mut last, mut seen, mut wrong) = (HashMap::new(), HashSet::new(), Vec::new());
        for (agent, message, ..) in self.begun.iter().filter(|it| seen.insert(&it.1)) {
            let Some((priority, place)) = places.get(message).copied() else {
                wrong.push(format!("{agent} was given {message}, which nobody accepted"));
                continue;
            };
            if last.insert((agent, priority), place).is_some_and(|before| before > place) {
                wrong.push(format!("{agent} was given {message} too late"));
            }
        }
        wrong
    }
}

/// How often each message was settled, by the journal.
fn settled(events: &[Entry]) -> HashMap<String, usize> {
    let mut settled = HashMap::new();
    for event in events {
        if let Record::Settled { message, .. } = &event.record {
            *settled.entry(message.as_uuid().to_string()).or_default() += 1;
        }
    }
    settled
}
