//! Writes, syncs, truncations and removals that fail, and disks that fill up, also within a checkpoint:
//! no false acknowledgement, and what was acknowledged is there afterwards.

use orch_journal::conformance::History;
use orch_journal::{CommitError, Journal, Redactor, SqliteOptions};

use crate::power::{N_SETS, Told, checkpointing, n_operations};
use crate::support::{fast_folder, is_deep, now, options, seed};
use crate::vfs::{self, Plan};

/// Each of so many, or about `wanted` of them.
fn step(n: u64, wanted: u64) -> usize {
    if is_deep() { 1 } else { usize::try_from((n / wanted).max(1)).unwrap() }
}

/// A journal on a disk that fails by this plan: what it told, and what its disk counted. Whatever is
/// wrong after the power went is a failed assertion.
fn run(
    about: &str,
    seed: u64,
    options: SqliteOptions,
    plan: Plan,
    write: impl FnOnce(&Journal, &mut Told),
) -> (Told, u64) {
    let folder = fast_folder();
    let disk = vfs::disk(folder.path(), plan);
    let path = folder.path().join("journal");
    let mut told = Told::default();
    let journal = Journal::open(&path, options.with_vfs(vfs::NAME), Redactor::new(), now());
    // One that does not open has acknowledged nothing.
    if let Ok(journal) = journal {
        write(&journal, &mut told);
    }
    let after = fast_folder();
    let mut disk = disk.lock().unwrap();
    disk.cut();
    assert!(disk.write_image(after.path()));
    let objection = told.objection(&after.path().join("journal"));
    assert_eq!(objection, None, "seed {seed}, {about}");
    (told, disk.n_refused)
}

/// Commits until one fails.
fn until_an_error(seed: u64, journal: &Journal, told: &mut Told) {
    let mut history = History::new(seed);
    for _ in 0..N_SETS {
        let set = history.next_set();
        told.sets.push(set.clone());
        match journal.commit_blocking(set.at, set.records) {
            Ok(seq) => told.acked = seq,
            Err(error) => {
                told.error = Some(error);
                return;
            }
        }
    }
}

#[test]
fn a_failed_sync_is_uncertain_and_stops_the_journal() {
    let seed = seed();
    let (_, n_syncs, _) = n_operations(options(), seed);
    let mut n_uncertain = 0;
    for fails in (1..=n_syncs).step_by(step(n_syncs, 25)) {
        let plan = Plan { sync_fails: Some(fails), seed: fails, ..Plan::default() };
        let about = format!("sync {fails} failed");
        run(&about, seed, options(), plan, |journal, told| {
            until_an_error(seed, journal, told);
            let Some(error) = &told.error else { return };
            assert!(matches!(error, CommitError::Uncertain(_)), "{about}: {error:?}");
            n_uncertain += 1;
            stays_stopped(seed, journal, &about);
        });
    }
    assert!(n_uncertain > 5, "only {n_uncertain} syncs were those of a commit");
}

/// Never as if nothing had been: not even once more.
fn stays_stopped(seed: u64, journal: &Journal, about: &str) {
    let set = History::new(seed).next_set();
    let again = journal.commit_blocking(set.at, set.records);
    assert!(matches!(again, Err(CommitError::Stopped(_))), "{about}: {again:?}");
}

#[test]
fn a_failure_at_any_operation_also_of_a_checkpoint_is_no_false_acknowledgement() {
    let seed = seed();
    let (n, ..) = n_operations(checkpointing(), seed);
    let (mut n_in_commits, mut n_in_checkpoints, mut n_refused) = (0, 0, 0);
    for fails in (1..=n).step_by(step(n, 120)) {
        let plan = Plan { fails_at: Some(fails), seed: fails, ..Plan::default() };
        let about = format!("operation {fails} of {n} failed");
        run(&about, seed, checkpointing(), plan, |journal, told| {
            until_an_error(seed, journal, told);
            match &told.error {
                Some(CommitError::Uncertain(_)) => n_in_commits += 1,
                // Nobody waited when it failed; the next one hears of it, and nothing of it is written.
                Some(CommitError::Stopped(_)) => n_in_checkpoints += 1,
                Some(CommitError::Failed(_)) => n_refused += 1,
                Some(error) => panic!("{about}: {error:?}"),
                None => return,
            }
            if !matches!(told.error, Some(CommitError::Failed(_))) {
                stays_stopped(seed, journal, &about);
            }
        });
    }
    println!(
        "operations that failed: {n_in_commits} of commits, {n_in_checkpoints} of checkpoints, \
         {n_refused} of others that refused a set, of {n}"
    );
    assert!(n_in_commits > 10 && n_in_checkpoints > 10);
}

#[test]
fn a_full_disk_refuses_and_takes_up_again_when_there_is_room() {
    let seed = seed();
    // A checkpoint is put off by one write that fails; further ones would be those of a commit.
    for (options, n_writes_full, wanted) in [(options(), 3, 25), (checkpointing(), 1, 60)] {
        let (.., n_writes) = n_operations(options.clone(), seed);
        let (mut n_full, mut n_unnoticed) = (0, 0);
        for from in (1..=n_writes).step_by(step(n_writes, wanted)) {
            let plan = Plan { full_from: Some((from, n_writes_full)), ..Plan::default() };
            let about = format!("full at write {from}");
            let before = n_full;
            let (told, n_refused) = run(&about, seed, options.clone(), plan, |journal, told| {
                let mut history = History::new(seed);
                for _ in 0..N_SETS {
                    let set = history.next_set();
                    told.sets.push(set.clone());
                    while told.acked.0 < told.entries().len() as u64 {
                        match journal.commit_blocking(set.at, set.records.clone()) {
                            Ok(seq) => told.acked = seq,
                            // The journal pauses between two tries; nothing was written.
                            Err(CommitError::Full(_)) => {
                                n_full += 1;
                                std::thread::sleep(std::time::Duration::from_millis(5));
                            }
                            Err(error) => panic!("{about}: {error:?}"),
                        }
                    }
                }
            });
            assert_eq!(told.acked.0, told.entries().len() as u64);
            let is_opened = !told.sets.is_empty();
            n_unnoticed += u64::from(is_opened && n_refused > 0 && n_full == before);
        }
        println!("full: refused {n_full} times, {n_unnoticed} times a checkpoint had to wait");
        assert!(n_full > 5, "the disk was hardly ever full");
        // One that nobody waits for: a checkpoint, also that of closing the file.
        assert!(n_writes_full > 1 || n_unnoticed > 3, "hardly any checkpoint met a full disk");
    }
}
