//! A counter that many threads bump at next to no cost.

use std::array::from_fn;
use std::cell::Cell;
// Not those of `crate::sync`: counts order nothing, and so are not modelled.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_utils::CachePadded;

/// Slots that belong to one thread each: it alone writes there, so a load and a store are enough.
const OWN: usize = 16;
/// Slots for all other threads, where each bump is a read-modify-write.
const SHARED: usize = 8;
const SLOTS: usize = OWN + SHARED;

/// Counts exactly; a read sums the slots up and may miss bumps that are under way.
#[derive(Debug)]
pub(crate) struct Counter([CachePadded<AtomicU64>; SLOTS]);

impl Counter {
    pub(crate) fn bump(&self) {
        let slot = my_slot();
        // Relaxed: a count orders nothing.
        if slot < OWN {
            let count = self.0[slot].load(Ordering::Relaxed);
            self.0[slot].store(count + 1, Ordering::Relaxed);
        } else {
            self.0[slot].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|slot| slot.load(Ordering::Relaxed)).sum()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self(from_fn(|_| CachePadded::default()))
    }
}

/// Says that this thread has not asked yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(UNKNOWN) };
    /// Gives the slot to the next thread when this one ends.
    static OWNED: Cell<Option<Owned>> = const { Cell::new(None) };
}

#[inline]
fn my_slot() -> usize {
    let slot = SLOT.get();
    if slot == UNKNOWN { find_slot() } else { slot }
}

#[cold]
fn find_slot() -> usize {
    static SHARERS: AtomicU64 = AtomicU64::new(0);
    let owned = Owned::take();
    let slot = match &owned {
        Some(owned) => owned.0,
        None => OWN + SHARERS.fetch_add(1, Ordering::Relaxed) as usize % SHARED,
    };
    SLOT.set(slot);
    // If this thread is ending, the slot goes back at once, and `SLOT` says a shared one.
    let _ = OWNED.try_with(|place| place.set(owned));
    SLOT.get()
}

/// The slot of one thread. The lock orders its counts before those of the next thread that has it.
#[derive(Debug)]
struct Owned(usize);

/// The slots that no thread has, the lowest last.
static FREE: Mutex<Option<Vec<usize>>> = Mutex::new(None);

impl Owned {
    fn take() -> Option<Self> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_or_insert_with(|| (0..OWN).rev().collect()).pop().map(Self)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        SLOT.set(OWN);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_or_insert_default().push(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn counts_are_exact_with_more_threads_than_slots() {
        const THREADS: usize = 2 * OWN;
        let (counter, all_here) = (Counter::default(), Barrier::new(THREADS));
        for _ in 0..2 {
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        counter.bump();
                        all_here.wait(); // All slots are taken at once.
                        (1..1_000).for_each(|_| counter.bump());
                    });
                }
            });
        }
        assert_eq!(counter.get(), 2 * THREADS as u64 * 1_000);
    }

    #[test]
    fn counts_are_exact_when_slots_go_from_thread_to_thread() {
        let counter = Counter::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        thread::scope(|scope| {
                            scope.spawn(|| (0..100).for_each(|_| counter.bump()));
                        });
                    }
                });
            }
        });
        assert_eq!(counter.get(), 4 * 50 * 100);
    }

    struct BumpsAtTheEnd(Arc<Counter>);

    impl Drop for BumpsAtTheEnd {
        fn drop(&mut self) {
            self.0.bump();
        }
    }

    #[test]
    fn a_thread_that_is_ending_still_counts() {
        thread_local!(static LAST: Cell<Option<BumpsAtTheEnd>> = const { Cell::new(None) });
        let counter = Arc::new(Counter::default());
        for _ in 0..3 * OWN {
            let counter = counter.clone();
            thread::spawn(move || {
                // Before and after the slot in the order of destruction.
                LAST.set(Some(BumpsAtTheEnd(counter.clone())));
                counter.bump();
            })
            .join()
            .expect("it only counts");
        }
        assert_eq!(counter.get(), 2 * 3 * OWN as u64);
    }
}
