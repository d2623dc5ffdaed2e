//! Files that were shortened, and bits that flipped: an exact prefix or a refusal, never a silent
//! change.

use std::fs;
use std::path::Path;

use orch_journal::conformance::History;
use orch_journal::{OpenError, Seq, SqliteStore, Store};

use crate::support::{Dice, Prefixes, append, fast_folder, files, is_deep, options, seed};

/// A small journal with something in its file and something in its WAL.
struct Sample {
    bytes: [Vec<u8>; 2],
    prefixes: Prefixes,
}

impl Sample {
    fn new(seed: u64) -> Self {
        let folder = fast_folder();
        let path = folder.path().join("journal");
        let mut store = SqliteStore::open(&path, options()).unwrap();
        let mut history = History::new(seed);
        let mut ends = Vec::new();
        for index in 0..40 {
            append(&mut store, &mut history, 1);
            ends.push(store.state().last());
            if index == 34 {
                // Moves the WAL into the file.
                store.reopen().unwrap();
            }
        }
        let entries = store.events(Seq(0), usize::MAX).unwrap();
        let bytes = files(&path).map(|file| fs::read(file).unwrap());
        assert!(bytes.iter().all(|it| it.len() > 8_192), "both have something in them");
        Self { bytes, prefixes: Prefixes::of(entries, &ends) }
    }

    fn write(&self, path: &Path) {
        for (file, bytes) in files(path).iter().zip(&self.bytes) {
            fs::write(file, bytes).unwrap();
        }
    }

    /// Opens a changed copy. The last event, or why it was refused.
    fn check(&self, about: &str, change: impl FnOnce(&Path)) -> Result<Seq, String> {
        let folder = fast_folder();
        let path = folder.path().join("journal");
        self.write(&path);
        change(&path);
        match SqliteStore::open(&path, options()) {
            Ok(store) => {
                if let Some(objection) = self.prefixes.objection(&store) {
                    panic!("{about}: {objection}");
                }
                Ok(store.state().last())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How many of `all` places are looked at, and from which on.
fn stride(all: usize, wanted: usize) -> usize {
    if is_deep() { 1 } else { (all / wanted).max(1) | 1 }
}

#[test]
fn a_file_shortened_at_any_byte_opens_as_a_prefix_or_is_refused() {
    let sample = Sample::new(seed());
    let mut seen = std::collections::BTreeSet::new();
    let (mut n_cuts, mut n_refused) = (0, 0);
    for which in 0..2 {
        let length = sample.bytes[which].len();
        for cut in (0..length).step_by(stride(length, 250)) {
            let about = format!("file {which} cut to {cut} of {length}");
            let opened = sample.check(&about, |path| {
                let file = fs::OpenOptions::new().write(true).open(&files(path)[which]).unwrap();
                file.set_len(cut as u64).unwrap();
            });
            (n_cuts, n_refused) = (n_cuts + 1, n_refused + u64::from(opened.is_err()));
            if which == 1 {
                // A WAL that ends early has lost what was not synced: a prefix, never a refusal.
                seen.insert(opened.unwrap_or_else(|error| panic!("{about}: {error}")));
            }
        }
    }
    println!("cuts: {n_cuts}, {n_refused} refused, {} prefixes seen", seen.len());
    assert!(seen.len() > 4, "{seen:?}");
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let sample = Sample::new(seed());
    let mut dice = Dice::new(seed());
    let (mut n_refused, mut n_cut, mut n_same) = (0, 0, 0);
    let last = Seq(sample.prefixes.entries.len() as u64);
    for which in 0..2 {
        let length = sample.bytes[which].len();
        for at in (0..length).step_by(stride(length, 400)) {
            let bit = dice.roll(8);
            let about = format!("bit {bit} of byte {at} of file {which}");
            let opened = sample.check(&about, |path| {
                let mut bytes = sample.bytes[which].clone();
                bytes[at] ^= 1 << bit;
                fs::write(&files(path)[which], bytes).unwrap();
            });
            match opened {
                Err(error) => {
                    assert!(!error.is_empty());
                    n_refused += 1;
                }
                Ok(seq) if seq == last => n_same += 1,
                Ok(_) => n_cut += 1,
            }
        }
    }
    println!(
        "flips: {n_refused} refused, {n_cut} opened as a shorter prefix, {n_same} changed nothing"
    );
    assert!(n_refused > 100, "hardly anything was refused");
}

#[test]
fn a_bad_frame_before_good_ones_is_refused_with_its_place() {
    let sample = Sample::new(seed());
    let wrong = sample.check("a bad frame", |path| {
        let mut bytes = sample.bytes[1].clone();
        bytes[32 + 24 + 100] ^= 1;
        fs::write(&files(path)[1], bytes).unwrap();
    });
    let error = wrong.unwrap_err();
    assert!(error.contains("frame 1 (offset 32)"), "{error}");
}

#[test]
fn an_operator_may_cut_at_the_damage() {
    let sample = Sample::new(seed());
    let folder = fast_folder();
    let path = folder.path().join("journal");
    sample.write(&path);
    let mut bytes = sample.bytes[1].clone();
    let middle = 32 + (bytes.len() / (24 + 4_096) / 2) * (24 + 4_096) + 500;
    bytes[middle] ^= 1;
    fs::write(&files(&path)[1], bytes).unwrap();
    let refused = SqliteStore::open(&path, options()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    let store = SqliteStore::open(&path, options().cutting_damage()).unwrap();
    assert_eq!(sample.prefixes.objection(&store), None);
    assert!(store.state().last() < Seq(sample.prefixes.entries.len() as u64));
}

#[test]
fn a_changed_event_that_is_not_live_is_found_by_verify_and_when_it_is_read() {
    let folder = fast_folder();
    let path = folder.path().join("journal");
    let mut store = SqliteStore::open(&path, options()).unwrap();
    append(&mut store, &mut History::new(3), 300);
    assert!(store.verify().unwrap().folded);
    drop(store);
    // Through SQLite itself, so that the pages are in order.
    let db = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE event SET body = replace(body, 'handling_ms', 'handling_mz') \
               WHERE seq = (SELECT max(seq) - 30 FROM event WHERE kind = 15)";
    let sql = sql.replace("max(seq) - 30", "min(seq)");
    assert_eq!(db.execute(&sql, []).unwrap(), 1);
    drop(db);
    let store = SqliteStore::open(&path, options()).unwrap();
    let error = store.verify().unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    assert!(store.events(Seq(0), usize::MAX).is_err());
}

#[test]
fn a_lost_row_of_a_derived_table_is_refused() {
    for table in ["mailbox", "dedup", "live", "step", "agent"] {
        let folder = fast_folder();
        let path = folder.path().join("journal");
        let mut store = SqliteStore::open(&path, options()).unwrap();
        append(&mut store, &mut History::new(3), 300);
        drop(store);
        let db = rusqlite::Connection::open(&path).unwrap();
        let n: i64 =
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert!(n > 0, "{table} is empty");
        let first = if table == "live" {
            "kind = (SELECT min(kind) FROM live)"
        } else {
            "rowid = (SELECT min(rowid) FROM t)"
        };
        let first = first.replace(" t)", &format!(" {table})"));
        let sql = match table {
            "step" => "DELETE FROM step WHERE event = (SELECT min(event) FROM step)".to_owned(),
            _ => format!("DELETE FROM {table} WHERE {first}"),
        };
        assert!(db.execute(&sql, []).unwrap() > 0);
        drop(db);
        let error = SqliteStore::open(&path, options()).unwrap_err().to_string();
        assert!(error.contains("add up") || error.contains("missing"), "{table}: {error}");
    }
}
