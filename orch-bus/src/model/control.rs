//! Mistakes that were planted, and that the checker must find: else it finds nothing in the others
//! either.

use std::sync::Arc;

use super::{check, spawn};
use crate::sync::{AtomicU64, Ordering};

#[test]
#[should_panic(expected = "nobody was told")]
fn a_missing_look_is_found() {
    check("control: rests without looking again", || {
        let [message, rests] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let sender = spawn({
            let (message, rests) = (message.clone(), rests.clone());
            move || {
                message.fetch_add(1, Ordering::AcqRel);
                rests.fetch_add(0, Ordering::AcqRel) == 1
            }
        });
        let received = message.fetch_add(0, Ordering::AcqRel) == 1;
        rests.fetch_add(1, Ordering::AcqRel); // And here it should look.
        assert!(sender.join().unwrap() || received, "nobody was told");
    });
}

/// Shuttle has one memory that all see alike, so this is for loom alone.
#[cfg(orch_loom)]
#[test]
#[should_panic(expected = "Causality violation")]
fn a_weak_ordering_is_found() {
    check("control: publishes without Release", || {
        let published = Arc::new((crate::sync::Life::new(), AtomicU64::new(0)));
        let reader = spawn({
            let published = published.clone();
            move || {
                if published.1.load(Ordering::Acquire) == 1 {
                    published.0.shared();
                }
            }
        });
        published.0.alone();
        published.1.store(1, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

/// Seen: a receiver that only loads, against a sender that loads and then exchanges, was never tried
/// behind it. See the atomics in `sync/loom.rs`.
#[cfg(orch_loom)]
#[test]
fn a_load_is_tried_behind_the_exchange_of_one_who_has_loaded() {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let all = seen.clone();
    check("control: load against load and exchange", move || {
        let word = Arc::new(AtomicU64::new(0));
        let sender = spawn({
            let word = word.clone();
            move || word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |it| Some(it + 1))
        });
        let loaded = word.load(Ordering::Acquire);
        sender.join().unwrap().expect("it always has an answer");
        all.lock().expect("nobody panics").insert(loaded);
    });
    assert_eq!(*seen.lock().expect("nobody panics"), BTreeSet::from([0, 1]));
}
