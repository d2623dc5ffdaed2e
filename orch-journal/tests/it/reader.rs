//! Asking a journal while somebody writes it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use orch_journal::conformance::History;
use orch_journal::{Entry, OpenError, Record, Seq, SqliteReader, SqliteStore, Store};

use crate::support::{append, fast_folder, options};

/// What a reader says is what the writer would.
fn agrees(reader: &SqliteReader, store: &SqliteStore) {
    assert!(reader.state().unwrap() == *store.state(), "at {}", store.state().last());
    assert_eq!(reader.stats().unwrap(), store.stats().unwrap());
    let entries = store.events(Seq(0), usize::MAX).unwrap();
    assert_eq!(reader.events(Seq(0), usize::MAX).unwrap(), entries);
    let registers = |it: &&Entry| matches!(it.record, Record::AgentRegistered { .. });
    let registrations: Vec<Entry> = entries.iter().filter(registers).cloned().collect();
    assert_eq!(reader.registrations().unwrap(), registrations);
    let mut messages = Vec::new();
    for entry in &entries {
        if let Record::Accepted { .. } | Record::DeadLettered { .. } = entry.record {
            let id = entry.record.message().unwrap();
            if messages.iter().all(|(_, known)| *known != id) {
                messages.push((entry.seq, id));
            }
        }
    }
    assert_eq!(reader.messages().unwrap(), messages);
    let recent = reader.recent_messages().unwrap();
    for entry in entries.iter().filter(|it| matches!(it.record, Record::Accepted { .. })) {
        assert!(recent.contains(&(entry.seq, entry.record.message().unwrap())));
    }
}

#[test]
fn a_reader_says_what_the_writer_would_after_every_commit_and_prune() {
    for seed in 1..=3 {
        let folder = fast_folder();
        let path = folder.path().join("journal");
        let (mut store, mut history) =
            (SqliteStore::open(&path, options()).unwrap(), History::new(seed));
        let reader = SqliteReader::open(&path).unwrap();
        agrees(&reader, &store);
        for _ in 0..20 {
            append(&mut store, &mut history, 10);
            agrees(&reader, &store);
            assert_eq!(reader.verify().unwrap(), store.verify().unwrap());
        }
        let at = store.state().at();
        while store.prune(at, 7).unwrap().more {
            agrees(&reader, &store);
        }
        assert_eq!(reader.verify().unwrap(), store.verify().unwrap());
    }
}

#[test]
fn each_question_has_one_view_whatever_is_written_and_pruned_meanwhile() {
    let folder = fast_folder();
    let path = folder.path().join("journal");
    let (mut store, mut history) = (SqliteStore::open(&path, options()).unwrap(), History::new(5));
    append(&mut store, &mut history, 100);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let asks = threads.spawn(|| {
            let reader = SqliteReader::open(&path).unwrap();
            let (mut n_asked, mut last) = (0, Seq(0));
            while !done.load(Ordering::Relaxed) || n_asked < 10 {
                let n_known = reader.verify().unwrap().n_events;
                let now = reader.state().unwrap().last();
                assert!(last <= now && n_known <= now.0);
                (n_asked, last) = (n_asked + 1, now);
            }
        });
        for _ in 0..150 {
            append(&mut store, &mut history, 2);
            let at = store.state().at();
            store.prune(at, 3).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        asks.join().unwrap();
    });
}

#[test]
fn a_reader_names_who_is_writing() {
    let folder = fast_folder();
    let path = folder.path().join("journal");
    let store = SqliteStore::open(&path, options()).unwrap();
    let writer = SqliteReader::open(&path).unwrap().writer();
    assert_eq!(writer.unwrap().process, Some(std::process::id()));
    drop(store);
    assert_eq!(SqliteReader::open(&path).unwrap().writer(), None);
}

#[test]
fn a_look_at_who_is_writing_keeps_no_writer_away() {
    let folder = fast_folder();
    let path = folder.path().join("journal");
    drop(SqliteStore::open(&path, options()).unwrap());
    let done = AtomicBool::new(false);
    let lock = folder.path().join("journal-lock");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                SqliteReader::open(&path).unwrap();
            }
        });
        // Looks that hold it for a third of the time.
        threads.spawn(|| {
            let open = |n| (0..n).for_each(|_| drop(std::fs::File::open(&lock)));
            while !done.load(Ordering::Relaxed) {
                let look = std::fs::File::open(&lock).unwrap();
                let _ = look.try_lock_shared();
                open(5);
                drop(look);
                open(10);
            }
        });
        let opened: Vec<_> =
            (0..100).map(|_| SqliteStore::open(&path, options()).map(drop)).collect();
        done.store(true, Ordering::Relaxed);
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    });
}

#[test]
fn a_reader_makes_no_journal_of_what_is_none() {
    let folder = fast_folder();
    let path = folder.path().join("journal");
    let is_none = |path: &Path| {
        let refused = SqliteReader::open(path).unwrap_err();
        assert!(matches!(refused, OpenError::NotAJournal { .. }), "{refused}");
    };
    assert!(matches!(SqliteReader::open(&path).unwrap_err(), OpenError::Io { .. }));
    assert!(!path.exists());
    for text in [String::new(), "something else\n".repeat(1_000)] {
        std::fs::write(&path, &text).unwrap();
        is_none(&path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
