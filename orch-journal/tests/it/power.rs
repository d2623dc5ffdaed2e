//! Power that goes, syncs that fail, disks that fill up: what was acknowledged is there afterwards.

use std::path::Path;

use orch_journal::conformance::{History, Set};
use orch_journal::{
    CommitError, Durability, Entry, Journal, Redactor, Seq, SqliteStore, State, Store,
};

use crate::support::{Dice, fast_folder, is_deep, now, options, seed};
use crate::vfs::{self, Plan};

/// What a scenario's sets lead to, and what was acknowledged.
#[derive(Default)]
struct Told {
    sets: Vec<Set>,
    acked: Seq,
    error: Option<CommitError>,
}

impl Told {
    fn entries(&self) -> Vec<Entry> {
        let mut seq = Seq(0);
        let all = self.sets.iter().flat_map(|set| set.records.iter().map(|it| (set.at, it)));
        let entry = |(at, record): (_, &orch_journal::Record)| {
            seq = seq.next();
            Entry { seq, at, record: record.clone() }
        };
        all.map(entry).collect()
    }

    /// What is wrong with a journal after all this.
    fn objection(&self, path: &Path) -> Option<String> {
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
fn write(path: &Path, options: orch_journal::SqliteOptions, seed: u64, n_sets: usize) -> Told {
    let mut told = Told::default();
    let journal = Journal::open(path, options.with_vfs(vfs::NAME), Redactor::new(), now());
    let Ok(journal) = journal else { return told };
    let mut history = History::new(seed);
    for index in 0..n_sets {
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

/// How many operations a scenario has.
fn n_operations(durability: Durability, seed: u64, n_sets: usize) -> (u64, u64, u64) {
    let folder = fast_folder();
    let disk = vfs::disk(folder.path(), Plan::default());
    let options = options().with_durability(durability);
    let told = write(&folder.path().join("journal"), options, seed, n_sets);
    assert!(told.error.is_none(), "{:?}", told.error);
    let disk = disk.lock().unwrap();
    (disk.n_operations, disk.n_syncs, disk.n_writes)
}

/// Cuts the power at this operation. What is wrong afterwards.
fn cut_power(durability: Durability, seed: u64, at: u64, dice: u64) -> Option<String> {
    let folder = fast_folder();
    let plan = Plan { power_lost_at: Some(at), seed: dice, ..Plan::default() };
    let disk = vfs::disk(folder.path(), plan);
    let options = options().with_durability(durability);
    let told = write(&folder.path().join("journal"), options, seed, N_SETS);
    let after = fast_folder();
    let mut disk = disk.lock().unwrap();
    disk.cut();
    assert!(disk.write_image(after.path()));
    told.objection(&after.path().join("journal"))
}

const N_SETS: usize = 70;

#[test]
fn what_was_acknowledged_survives_the_loss_of_power() {
    let seed = seed();
    let (n, ..) = n_operations(Durability::Sync, seed, N_SETS);
    let mut dice = Dice::new(seed);
    let n_cuts = if is_deep() { 20_000 } else { 150 };
    for _ in 0..n_cuts {
        let (at, with) = (1 + dice.roll(n), dice.roll(u64::MAX));
        let objection = cut_power(Durability::Sync, seed, at, with);
        assert_eq!(objection, None, "seed {seed}, power lost at operation {at}, dice {with}");
    }
    println!("{n_cuts} losses of power among {n} operations");
}

/// The planted bug: without syncs the same harness must see a loss.
#[test]
fn without_syncs_the_loss_of_power_is_noticed() {
    let seed = seed();
    let (n, ..) = n_operations(Durability::Off, seed, N_SETS);
    let mut dice = Dice::new(seed);
    let cuts = (0..60).filter(|_| {
        let at = n / 4 + dice.roll(n * 3 / 4);
        cut_power(Durability::Off, seed, at, dice.roll(u64::MAX)).is_some()
    });
    let n_noticed = cuts.count();
    println!("noticed {n_noticed} of 60");
    assert!(n_noticed > 20, "only {n_noticed} of 60 losses were noticed");
}

#[test]
fn a_failed_sync_is_uncertain_and_stops_the_journal() {
    let seed = seed();
    let (_, n_syncs, _) = n_operations(Durability::Sync, seed, N_SETS);
    let step = if is_deep() { 1 } else { 5 };
    let mut n_uncertain = 0;
    for fails in (1..=n_syncs).step_by(step) {
        let folder = fast_folder();
        let plan = Plan { sync_fails: Some(fails), seed: fails, ..Plan::default() };
        let disk = vfs::disk(folder.path(), plan);
        let path = folder.path().join("journal");
        let journal = Journal::open(&path, options().with_vfs(vfs::NAME), Redactor::new(), now());
        let Ok(journal) = journal else { continue };
        let mut history = History::new(seed);
        let mut told = Told::default();
        for _ in 0..N_SETS {
            let set = history.next_set();
            told.sets.push(set.clone());
            match journal.commit_blocking(set.at, set.records) {
                Ok(seq) => told.acked = seq,
                Err(error) => {
                    told.error = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = &told.error {
            assert!(matches!(error, CommitError::Uncertain(_)), "sync {fails}: {error:?}");
            n_uncertain += 1;
            // Never as if nothing had been: not even once more.
            let set = history.next_set();
            let again = journal.commit_blocking(set.at, set.records);
            assert!(matches!(again, Err(CommitError::Stopped(_))), "sync {fails}: {again:?}");
        }
        drop(journal);
        let after = fast_folder();
        disk.lock().unwrap().cut();
        assert!(disk.lock().unwrap().write_image(after.path()));
        let objection = told.objection(&after.path().join("journal"));
        assert_eq!(objection, None, "seed {seed}, sync {fails} failed");
    }
    assert!(n_uncertain > 5, "only {n_uncertain} syncs were those of a commit");
}

#[test]
fn a_full_disk_refuses_and_takes_up_again_when_there_is_room() {
    let seed = seed();
    let (.., n_writes) = n_operations(Durability::Sync, seed, N_SETS);
    let n_cases = if is_deep() { n_writes } else { 25 };
    let mut n_full = 0;
    for from in (1..=n_writes).step_by(usize::try_from((n_writes / n_cases).max(1)).unwrap()) {
        let folder = fast_folder();
        let plan = Plan { full_from: Some((from, 3)), ..Plan::default() };
        let disk = vfs::disk(folder.path(), plan);
        let path = folder.path().join("journal");
        let journal = Journal::open(&path, options().with_vfs(vfs::NAME), Redactor::new(), now());
        let Ok(journal) = journal else { continue };
        let mut history = History::new(seed);
        let mut told = Told::default();
        for _ in 0..N_SETS {
            let set = history.next_set();
            told.sets.push(set.clone());
            loop {
                match journal.commit_blocking(set.at, set.records.clone()) {
                    Ok(seq) => {
                        told.acked = seq;
                        break;
                    }
                    // The journal pauses between two tries; nothing was written.
                    Err(CommitError::Full(_)) => {
                        n_full += 1;
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    Err(error) => panic!("write {from}: {error:?}"),
                }
            }
        }
        drop(journal);
        let after = fast_folder();
        disk.lock().unwrap().cut();
        assert!(disk.lock().unwrap().write_image(after.path()));
        assert_eq!(told.acked.0, told.entries().len() as u64);
        let objection = told.objection(&after.path().join("journal"));
        assert_eq!(objection, None, "seed {seed}, full at write {from}");
    }
    assert!(n_full > 5, "the disk was hardly ever full");
}
