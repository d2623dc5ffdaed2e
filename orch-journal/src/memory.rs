//! A store that keeps nothing beyond its process: for tests, and as the model of the other.

use std::collections::{BTreeMap, HashSet};

use orch_core::{MessageId, Timestamp};

use crate::prepared::Prepared;
use crate::record::{Entry, Record, Seq};
use crate::state::{Illegal, State};
use crate::store::{Of, Pruned, Stats, Store, StoreError};

/// Keeps events in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    events: BTreeMap<Seq, Entry>,
    state: State,
    /// Invariant: equal to `state` between two sets; within one, where it goes back to. A copy for
    /// each set would cost as much as all that is live.
    before: State,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn append_set(&mut self, set: &Prepared) -> Result<Seq, Illegal> {
        let mut new = Vec::with_capacity(set.items.len());
        for record in set.records() {
            let seq = self.state.last().next();
            let entry = Entry { seq, at: set.at, record: record.clone() };
            if let Err(illegal) = self.state.apply(&entry) {
                // One that is refused changed nothing, so only those in front of it are taken back.
                if !new.is_empty() {
                    self.state = self.before.clone();
                }
                return Err(illegal);
            }
            new.push(entry);
        }
        for entry in &new {
            self.before.apply(entry).expect("an equal state has taken it");
        }
        self.state.take_touched();
        self.before.take_touched();
        self.events.extend(new.into_iter().map(|entry| (entry.seq, entry)));
        Ok(self.state.last())
    }

    fn messages_of(&self, of: Of) -> HashSet<MessageId> {
        let Of::Chain(chain) = of else { return HashSet::new() };
        let of_chain = |entry: &Entry| match &entry.record {
            Record::Accepted { message, .. } if message.chain() == chain => Some(message.id()),
            _ => None,
        };
        self.events.values().filter_map(of_chain).collect()
    }

    fn is_wanted(&self, of: Of) -> impl Fn(&Entry) -> bool {
        let run = match of {
            Of::Run(run) => self.state.runs().get(&run).map(|it| (it.first, it.ended)),
            _ => None,
        };
        let messages = self.messages_of(of);
        move |entry: &Entry| match of {
            Of::All => true,
            Of::Agent(agent) => entry.record.agent() == Some(agent),
            Of::Message(message) => entry.record.message() == Some(message),
            Of::Run(_) => run.is_some_and(|(first, ended)| {
                first <= entry.seq && ended.is_none_or(|(last, _)| entry.seq <= last)
            }),
            Of::Chain(_) => {
                entry.record.message().is_some_and(|message| messages.contains(&message))
            }
        }
    }
}

impl Store for MemoryStore {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        Ok(sets.iter().map(|set| self.append_set(set)).collect())
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(self.events.range(from..).take(n_max).map(|(_, entry)| entry.clone()).collect())
    }

    fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        let is_wanted = self.is_wanted(of);
        let all = self.events.values().filter(|&entry| is_wanted(entry)).cloned();
        let mut all: Vec<Entry> = all.collect();
        let excess = all.len().saturating_sub(n_max);
        all.drain(..excess);
        Ok(all)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let mut stats = Stats::of(&self.state);
        for entry in self.events.values() {
            *stats.n_by_kind.entry(Record::kind_name(entry.record.kind())).or_default() += 1;
        }
        stats.n_events = self.events.len() as u64;
        Ok(stats)
    }

    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError> {
        let live = self.state.referred();
        let mut gone: Vec<Seq> = Vec::new();
        for (first, last) in self.state.finished_before(before) {
            let of_run = self.events.range(first..=last).map(|(seq, _)| *seq);
            gone.extend(of_run.filter(|seq| !live.contains(seq)));
        }
        let more = gone.len() > n_max;
        gone.truncate(n_max);
        gone.iter().for_each(|seq| {
            self.events.remove(seq);
        });
        Ok(Pruned { n_removed: gone.len(), more })
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
