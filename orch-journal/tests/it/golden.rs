//! A journal of each format that was ever written opens, and says what it said; or it is refused with a
//! sentence, if no program was released that wrote it.
//!
//! `ORCH_GOLDEN=write cargo test -p orch-journal golden` writes those of a new format.

use std::path::{Path, PathBuf};

use orch_journal::conformance::History;
use orch_journal::{Entry, FORMAT_VERSION, Seq, SqliteStore, State, Store};

use crate::support::{append, options};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn lines(entries: &[Entry]) -> String {
    let line = |it: &Entry| {
        let record = serde_json::to_string(&it.record).unwrap();
        format!("{} {} {record}\n", it.seq.0, it.at.as_millis())
    };
    entries.iter().map(line).collect()
}

fn write_golden() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut store = SqliteStore::open(&path, options()).unwrap();
    append(&mut store, &mut History::new(11), 60);
    store.reopen().unwrap();
    let text = lines(&store.events(Seq(0), usize::MAX).unwrap());
    drop(store);
    std::fs::copy(&path, golden(&format!("v{FORMAT_VERSION}.journal"))).unwrap();
    std::fs::write(golden(&format!("v{FORMAT_VERSION}.txt")), text).unwrap();
}

/// The oldest format that a program opens. Never raised once a program was released.
const FIRST_RELEASED: i64 = 2;

#[test]
fn a_format_that_was_never_released_is_refused_with_a_sentence_and_left_as_it_is() {
    for version in 1..FIRST_RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let old = golden(&format!("v{version}.journal"));
        std::fs::copy(&old, &path).unwrap();
        let refused = SqliteStore::open(&path, options()).unwrap_err().to_string();
        let why = format!("has format {version}, which was never released: begin a new journal");
        assert!(refused.ends_with(&why), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&old).unwrap());
    }
}

#[test]
fn a_journal_of_each_format_opens_and_says_what_it_said() {
    if std::env::var_os("ORCH_GOLDEN").is_some() {
        write_golden();
    }
    for version in FIRST_RELEASED..=FORMAT_VERSION {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::copy(golden(&format!("v{version}.journal")), &path).unwrap();
        let mut store = SqliteStore::open(&path, options()).unwrap();
        let entries = store.events(Seq(0), usize::MAX).unwrap();
        let expected = std::fs::read_to_string(golden(&format!("v{version}.txt"))).unwrap();
        assert_eq!(lines(&entries), expected);
        assert!(*store.state() == State::fold(&entries).unwrap());
        assert!(store.verify().unwrap().folded);
        // A registration fits behind anything.
        append(&mut store, &mut History::new(12), 1);
    }
}
