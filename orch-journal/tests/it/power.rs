//! Power that goes: what was acknowledged is there afterwards.

use std::path::Path;

use orch_journal::conformance::{History, Set};
use orch_journal::{
    CommitError, Durability, Entry, Journal, Redactor, Seq, SqliteOptions, SqliteStore, State,
    Store,
};

use crate::support::{Dice, fast_folder, is_deep, now, options, seed};
use crate::vfs::{self, Plan};

/// What a scenario's sets lead to, and what was acknowledged.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) sets: Vec<Set>,
    pub(crate) acked: Seq,
    pub(crate) error: Option<CommitError>,
}

impl Told {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut seq = Seq(0);
        let all = self.sets.iter().flat_map(|set| set.records.iter().map(|it| (set.at, it)));
        let entry = |(at, record): (_, &orch_journal::Record)| {
            seq = seq.next();
            Entry { seq, at, record: record.clone() }
        };
        all.map(entry).collect()
    }

    /// What is wrong with a journal after all this.
    pub(crate) fn objection(&self, path: &Path) -> Option<String> {
        let store = match SqliteStore::open(path, options()) {
            Ok(store) => store,
            Err(error) => return Some(format!("refused: {error}")),
        };
        let last = store.state().last();
        if last < self.acked {
            return Some(format!("{} was acknowledged, {last} is the last", self.acked));
        }
        let entries = self.entries();
        let prefix = &entries[..usize::try_from(last.0).unwrap()];
        let is_end = {
            let mut end = 0;
            last.0 == 0
                || self.sets.iter().any(|set| {
                    end += set.records.len() as u64;
                    end == last.0
                })
        };
        if !is_end {
            return Some(format!("{last} is within a set"));
        }
        if State::fold(prefix).unwrap() != *store.state() {
            return Some(format!("its state is not that of {last}"));
        }
        store.verify().err().map(|error| format!("verify says: {error}"))
    }
}

/// Writes sets one after the other until one fails.
fn write(path: &Path, options: SqliteOptions, seed: u64) -> Told {
    let mut told = Told::default();
    let journal = Journal::open(path, options.with_vfs(vfs::NAME), Redactor::new(), now());
    let Ok(journal) = journal else { return told };
    let mut history = History::new(seed);
    for index in 0..N_SETS {
        let set = history.next_set();
        told.sets.push(set.clone());
        match journal.commit_blocking(set.at, set.records) {
            Ok(seq) => told.acked = seq,
            Err(error) => {
                told.error = Some(error);
                break;
            }
        }
        if index % 30 == 29 {
            // Goes through the checkpoints of an opening as well.
            let _ = journal.ask_blocking(|store| store.reopen());
        }
    }
    told
}

/// How many operations, syncs and writes a scenario has.
pub(crate) fn n_operations(options: SqliteOptions, seed: u64) -> (u64, u64, u64) {
    let folder = fast_folder();
    let disk = vfs::disk(folder.path(), Plan::default());
    let told = write(&folder.path().join("journal"), options, seed);
    assert!(told.error.is_none(), "{:?}", told.error);
    let disk = disk.lock().unwrap();
    (disk.n_operations, disk.n_syncs, disk.n_writes)
}

/// A checkpoint after nearly every commit, after which the WAL begins anew over its old frames.
pub(crate) fn checkpointing() -> SqliteOptions {
    options().with_checkpoint_after(8)
}

/// Cuts the power at this operation. What is wrong afterwards.
fn cut_power(options: SqliteOptions, seed: u64, at: u64, dice: u64) -> Option<String> {
    let folder = fast_folder();
    let plan = Plan { power_lost_at: Some(at), seed: dice, ..Plan::default() };
    let disk = vfs::disk(folder.path(), plan);
    let told = write(&folder.path().join("journal"), options, seed);
    let after = fast_folder();
    let mut disk = disk.lock().unwrap();
    disk.cut();
    assert!(disk.write_image(after.path()));
    told.objection(&after.path().join("journal"))
}

pub(crate) const N_SETS: usize = 70;

#[test]
fn what_was_acknowledged_survives_the_loss_of_power() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let n_cuts = if is_deep() { 10_000 } else { 75 };
    for options in [options(), checkpointing()] {
        let (n, ..) = n_operations(options.clone(), seed);
        for _ in 0..n_cuts {
            let (at, with) = (1 + dice.roll(n), dice.roll(u64::MAX));
            let objection = cut_power(options.clone(), seed, at, with);
            assert_eq!(objection, None, "seed {seed}, power lost at operation {at}, dice {with}");
        }
        println!("{n_cuts} losses of power among {n} operations");
    }
}

/// The planted bug: without syncs the same harness must see a loss.
#[test]
fn without_syncs_the_loss_of_power_is_noticed() {
    let seed = seed();
    let unsynced = || options().with_durability(Durability::Off);
    let (n, ..) = n_operations(unsynced(), seed);
    let mut dice = Dice::new(seed);
    let cuts = (0..60).filter(|_| {
        let at = n / 4 + dice.roll(n * 3 / 4);
        cut_power(unsynced(), seed, at, dice.roll(u64::MAX)).is_some()
    });
    let n_noticed = cuts.count();
    println!("noticed {n_noticed} of 60");
    assert!(n_noticed > 20, "only {n_noticed} of 60 losses were noticed");
}
