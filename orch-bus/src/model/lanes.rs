//! Lanes: senders, a receiver, and what is in between.

use std::sync::Arc;

use super::{JoinHandle, check, spawn_with};
use crate::lane::{Lanes, Taken};
use crate::sync::in_tests::touched_by;
use crate::sync::{AtomicU64, Life, Ordering};

/// A number that says when it is dropped.
type Value = (u64, Arc<()>);

/// Lanes of values, and a count of those that are alive.
struct Bed {
    lanes: Lanes<Value>,
    alive: Arc<()>,
}

impl Bed {
    fn new() -> Arc<Self> {
        Arc::new(Self { lanes: Lanes::new(), alive: Arc::new(()) })
    }

    /// Whether it was accepted.
    fn push(&self, lane: usize, number: u64) -> bool {
        self.lanes.push(lane, (number, self.alive.clone())).is_ok()
    }

    /// A sender of these numbers, into lane 0.
    fn spawn_sender<const N: usize>(self: &Arc<Self>, numbers: [u64; N]) -> JoinHandle<()> {
        spawn_with(self, move |bed| numbers.into_iter().for_each(|it| assert!(bed.push(0, it))))
    }

    fn take(&self, lane: usize) -> Option<u64> {
        self.lanes.take_turn().take(lane).map(|it| it.into_value().0)
    }

    fn take_all(&self, lane: usize) -> Vec<u64> {
        std::iter::from_fn(|| self.take(lane)).collect()
    }

    /// The most urgent one of the lanes 1 and 0.
    fn receive(&self) -> Option<u64> {
        let mut turn = self.lanes.take_turn();
        let taken: Option<Taken<_>> = turn.take(1).or_else(|| turn.take(0));
        taken.map(|it| it.into_value().0)
    }

    /// Call when nobody else has it.
    fn end(self: Arc<Self>) {
        let Self { lanes, alive } = Arc::into_inner(self).expect("all others are gone");
        drop(lanes);
        assert_eq!(Arc::strong_count(&alive), 1, "every value is dropped");
    }
}

/// Asserts that each sender's numbers (those of one ten) are all there, in its order.
#[track_caller]
fn assert_all(received: &[u64], expected: &[u64]) {
    for sender in expected.iter().map(|it| it / 10) {
        let of =
            |all: &[u64]| all.iter().copied().filter(|it| it / 10 == sender).collect::<Vec<_>>();
        assert_eq!(of(received), of(expected), "{received:?}");
    }
    assert_eq!(received.len(), expected.len(), "{received:?}");
}

/// The promise: two senders, each into two lanes, against a receiver. What has returned is told by
/// marks that the receiver (and the other sender) reads before.
#[test]
fn order() {
    check("lanes: the order promise", || {
        let bed = Bed::new();
        let high_returned = Arc::new(AtomicU64::new(0));
        let returned = high_returned.clone();
        let first = spawn_with(&bed, move |bed| {
            bed.push(0, 10);
            bed.push(1, 11);
            returned.store(1, Ordering::Release);
        });
        let returned = high_returned.clone();
        let second = spawn_with(&bed, move |bed| {
            let comes_after = returned.load(Ordering::Acquire) == 1;
            bed.push(1, 20);
            comes_after
        });
        let mut received = Vec::new();
        for _ in 0..2 {
            let waits = high_returned.load(Ordering::Acquire) == 1 && !received.contains(&11);
            let got = bed.receive();
            assert!(!waits || got == Some(11) || got == Some(20), "{got:?}");
            received.extend(got);
        }
        first.join().unwrap();
        let comes_after = second.join().unwrap();
        received.extend(std::iter::from_fn(|| bed.receive()));
        let at = |number| received.iter().position(|it| *it == number).expect("it was sent");
        assert!(!comes_after || at(11) < at(20), "{received:?}");
        received.sort_unstable();
        assert_eq!(received, [10, 11, 20]);
        bed.end();
    });
}

#[test]
fn the_last_node() {
    check("lanes: push against pop at the last node", || {
        let bed = Bed::new();
        bed.push(0, 10);
        let sender = bed.spawn_sender([11, 12]);
        let mut received: Vec<_> = (0..3).filter_map(|_| bed.take(0)).collect();
        sender.join().unwrap();
        received.extend(bed.take_all(0));
        assert_eq!(received, [10, 11, 12]);
        bed.end();
    });
}

/// Both senders may stop between their push and their link.
#[test]
fn senders_that_stop() {
    check("lanes: two senders that stop anywhere", || {
        let bed = Bed::new();
        let senders = [[10, 11], [20, 21]].map(|numbers| bed.spawn_sender(numbers));
        let mut received: Vec<_> = (0..2).filter_map(|_| bed.take(0)).collect();
        senders.into_iter().for_each(|it| it.join().unwrap());
        received.extend(bed.take_all(0));
        assert_all(&received, &[10, 11, 20, 21]);
        bed.end();
    });
}

/// A sender may stop while its lane is emptied and filled again.
#[test]
fn a_lane_that_is_used_again() {
    check("lanes: emptied and filled while a sender stops", || {
        let bed = Bed::new();
        bed.push(0, 10);
        let sender = bed.spawn_sender([20]);
        let mut received = bed.take_all(0);
        for number in [11, 12] {
            bed.push(0, number);
        }
        received.extend(bed.take_all(0));
        bed.push(0, 13);
        sender.join().unwrap();
        received.extend(bed.take_all(0));
        assert_all(&received, &[10, 11, 12, 13, 20]);
        bed.end();
    });
}

/// A receiver walks only because of a send that has not returned: while `n_before` wait, one is taken
/// and two are sent; then no receive walks.
fn short_cuts(name: &str, n_before: u64) {
    check(name, move || {
        let bed = Bed::new();
        (0..n_before).for_each(|number| assert!(bed.push(0, number)));
        let mut received: Vec<_> = (1..n_before).filter_map(|_| bed.take(0)).collect();
        let sender = bed.spawn_sender([n_before, n_before + 1]);
        received.extend(bed.take(0));
        sender.join().unwrap();
        let all = n_before + 6;
        (n_before + 2..all).for_each(|number| assert!(bed.push(0, number)));
        loop {
            let (touched, taken) = touched_by(|| bed.take(0));
            // Itself, once more if it is the only one, and a shell.
            assert!(touched <= 3, "{touched} nodes");
            let Some(number) = taken else { break };
            received.push(number);
        }
        assert_eq!(received, (0..all).collect::<Vec<_>>());
        bed.end();
    });
}

#[test]
fn short_cuts_above_an_old_mark() {
    short_cuts("lanes: no walk once the sends have returned", 1);
}

#[test]
fn short_cuts_above_a_new_mark() {
    short_cuts("lanes: nor after a lane of two was emptied", 2);
}

#[test]
fn two_receivers() {
    check("lanes: two receivers take turns", || {
        let bed = Bed::new();
        bed.push(0, 10);
        let sender = bed.spawn_sender([11]);
        let other = spawn_with(&bed, |bed| [bed.take(0), bed.take(0)]);
        let mine = bed.take(0);
        sender.join().unwrap();
        let theirs = other.join().unwrap();
        assert!(theirs.iter().flatten().is_sorted());
        let mut received: Vec<_> = theirs.into_iter().flatten().chain(mine).collect();
        received.sort_unstable();
        received.extend(bed.take_all(0));
        assert_eq!(received, [10, 11]);
        bed.end();
    });
}

#[test]
fn looking() {
    check("lanes: who sees a message sees what was done before", || {
        let (bed, done) = (Bed::new(), Arc::new(Life::new()));
        let done_before = done.clone();
        let sender = spawn_with(&bed, move |bed| {
            done_before.alone();
            bed.push(0, 10);
        });
        if !bed.lanes.take_turn().is_empty(0) {
            done.shared();
        }
        sender.join().unwrap();
        assert_eq!(bed.take_all(0), [10]);
        bed.end();
    });
}

#[test]
fn closing() {
    check("lanes: close while sending", || {
        let (bed, done) = (Bed::new(), Arc::new(Life::new()));
        let senders = [10, 20].map(|number| {
            let done = done.clone();
            spawn_with(&bed, move |bed| {
                let accepted = bed.push(0, number);
                if bed.lanes.is_closed(0) {
                    done.shared();
                }
                (number, accepted)
            })
        });
        let mut received: Vec<_> = bed.take(0).into_iter().collect();
        done.alone();
        bed.lanes.take_turn().close();
        received.extend(bed.take_all(0));
        for sender in senders {
            let (number, accepted) = sender.join().unwrap();
            assert_eq!(accepted, received.contains(&number), "{number} of {received:?}");
        }
        assert_eq!(bed.take(0), None, "all that was accepted was there when the lane was closed");
        assert!(!bed.push(0, 30));
        bed.end();
    });
}

#[test]
fn putting_back() {
    check("lanes: put back while sending", || {
        let bed = Bed::new();
        bed.push(0, 10);
        let sender = bed.spawn_sender([11, 12]);
        let mut turn = bed.lanes.take_turn();
        let first = turn.take(0).expect("it was there before");
        let second = turn.take(0);
        second.into_iter().for_each(|it| turn.put_back(0, it));
        turn.put_back(0, first);
        drop(turn);
        let mut received: Vec<_> = bed.take(0).into_iter().chain(bed.take(0)).collect();
        sender.join().unwrap();
        received.extend(bed.take_all(0));
        assert_eq!(received, [10, 11, 12]);
        bed.end();
    });
}
