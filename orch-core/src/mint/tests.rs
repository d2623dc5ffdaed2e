//! Ids ascend and are unique, whatever the clock does and whichever time is held.

use std::collections::HashSet;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

struct Steps(Vec<u64>);
impl Source for Steps {
    fn now_ms(&mut self) -> u64 {
        self.0.pop().unwrap_or(5)
    }
    fn random(&mut self) -> u64 {
        u64::MAX
    }
}

/// A clock that the test sets.
struct Hand(Rc<Cell<u64>>);
impl Source for Hand {
    fn now_ms(&mut self) -> u64 {
        self.0.get()
    }
    fn random(&mut self) -> u64 {
        1
    }
}

/// A clock that must not be read.
struct Stopped;
impl Source for Stopped {
    fn now_ms(&mut self) -> u64 {
        panic!("the clock was read")
    }
    fn random(&mut self) -> u64 {
        2
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn ids_ascend_even_when_the_clock_steps_back() {
    let _replaced = replace(Steps(vec![3, 9, 4, 4, 8]));
    let ids: Vec<Uuid> = (0..8).map(|_| id().0).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}

#[test]
fn an_exhausted_counter_borrows_the_next_millisecond() {
    let begun = Last::begin(u64::MAX).next(at(5));
    let half_full = Last { low: begun.low | 0x3ffff << TAG_BITS, ..begun };
    let carried = half_full.next(at(5));
    assert_eq!(carried, Last { high: begun.high + 1, low: begun.low });

    let full = Last { high: begun.high | 0xfff, low: half_full.low };
    assert_eq!(full.next(at(5)), Last { high: 6 << 16 | VERSION, low: begun.low });
}

#[test]
fn ids_are_version_7_and_differ_across_threads() {
    let mint_many = || {
        let _held = hold(at(1_000));
        (0..10_000).map(|_| id().0).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(mint_many)).collect();
    let ids: Vec<Uuid> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    let is_7 = |id: &Uuid| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122;
    assert!(ids.iter().all(is_7));
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
}

#[test]
fn while_the_time_is_held_no_clock_is_read() {
    let _replaced = replace(Stopped);
    let held = hold(at(7));
    assert_eq!(id().1, at(7));
    {
        let _inner = hold(at(3));
        assert_eq!(id().1, at(3));
    }
    assert_eq!(id().1, at(7));
    drop(held);
    let unheld = std::panic::catch_unwind(|| id().1);
    assert!(unheld.is_err(), "the clock is read again");
}

#[test]
fn a_timestamp_is_exact_while_the_time_is_held() {
    let _replaced = replace(Steps(vec![9]));
    let _held = hold(at(7));
    assert_eq!(Timestamp::now(), at(9));
}

#[test]
fn a_hold_outlives_neither_its_thread_nor_its_guards_in_any_order() {
    let _replaced = replace(Steps(vec![]));
    let (first, second) = (hold(at(7)), hold(at(8)));
    std::thread::spawn(|| assert_ne!(id().1, at(8))).join().unwrap();
    drop(first);
    assert_eq!(id().1, at(8));
    drop(second);
    assert_eq!(id().1, at(5));
}

#[test]
fn a_source_that_comes_back_goes_on_where_it_was() {
    let _replaced = replace(Steps(vec![]));
    let before = id().0;
    drop(replace(Steps(vec![1])));
    assert!(before < id().0);
}

#[derive(Clone, Debug)]
enum Step {
    Clock(u64),
    Hold(u64),
    /// Drops one of the holds, counted from the outermost.
    Drop(prop::sample::Index),
    Mint,
}

fn step() -> impl Strategy<Value = Step> {
    let time = || prop_oneof![0_u64..20, Just(MS_MAX), Just(MS_MAX + 1), Just(u64::MAX)];
    prop_oneof![
        1 => (0_u64..20).prop_map(Step::Clock),
        1 => time().prop_map(Step::Hold),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
        3 => Just(Step::Mint),
    ]
}

proptest! {
    #[test]
    fn ids_ascend_and_times_are_the_innermost_hold_or_the_clock(
        steps in prop::collection::vec(step(), 0..60),
        drops_in_order in any::<bool>(),
    ) {
        let clock = Rc::new(Cell::new(0));
        let _replaced = replace(Hand(clock.clone()));
        let mut holds: Vec<(u64, Held)> = Vec::new();
        let mut last = Uuid::nil();
        for step in steps {
            match step {
                Step::Clock(millis) => clock.set(millis),
                Step::Hold(millis) => holds.push((millis, hold(at(millis)))),
                Step::Drop(_) if holds.is_empty() => {}
                Step::Drop(_) if drops_in_order => drop(holds.pop()),
                Step::Drop(which) => drop(holds.remove(which.index(holds.len()))),
                Step::Mint => {
                    let (uuid, minted_at) = id();
                    prop_assert!(last < uuid, "{last} then {uuid}");
                    prop_assert_eq!(uuid.get_version_num(), 7);
                    let innermost = holds.last().map_or(clock.get(), |(millis, _)| *millis);
                    if drops_in_order || holds.is_empty() {
                        prop_assert_eq!(minted_at, at(innermost));
                    }
                    last = uuid;
                }
            }
        }
    }
}
