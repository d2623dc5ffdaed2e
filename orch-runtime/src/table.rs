//! A list that only grows, and is read without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Blocks of 32, 64, 128, … places, each made when it is first needed, so nothing ever moves.
#[derive(Debug)]
pub(crate) struct Table<T> {
    blocks: [OnceLock<Box<[OnceLock<T>]>>; N_BLOCKS],
    next: AtomicUsize,
}

const FIRST: usize = 32;
const N_BLOCKS: usize = usize::BITS as usize - FIRST.ilog2() as usize;

/// The block of an index, and the place in it.
fn place_of(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let block = shifted.ilog2() - FIRST.ilog2();
    (block as usize, shifted - (FIRST << block))
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { blocks: [const { OnceLock::new() }; N_BLOCKS], next: AtomicUsize::new(0) }
    }
}

impl<T> Table<T> {
    /// Adds `value`, and answers its index.
    pub(crate) fn push(&self, value: T) -> usize {
        self.push_with(|_| value)
    }

    /// Adds what `make` makes of its index, and answers that.
    pub(crate) fn push_with(&self, make: impl FnOnce(usize) -> T) -> usize {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let (block, place) = place_of(index);
        let places = self.blocks[block]
            .get_or_init(|| (0..FIRST << block).map(|_| OnceLock::new()).collect());
        let set = places[place].set(make(index));
        debug_assert!(set.is_ok(), "an index is given out once");
        index
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (block, place) = place_of(index);
        self.blocks.get(block)?.get()?.get(place)?.get()
    }

    /// Everything that was added, in order; one that is being added may be left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.next.load(Ordering::Acquire)).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_under_its_index() {
        let table = Table::default();
        for n in 0..1_000 {
            assert_eq!(table.push(n), n);
        }
        assert!((0..1_000).all(|n| table.get(n) == Some(&n)));
        assert_eq!(table.get(1_000), None);
        assert_eq!(table.get(usize::MAX - FIRST), None);
        assert_eq!(table.iter().count(), 1_000);
    }

    #[test]
    fn places_fill_their_blocks() {
        assert_eq!(place_of(0), (0, 0));
        assert_eq!(place_of(31), (0, 31));
        assert_eq!(place_of(32), (1, 0));
        assert_eq!(place_of(95), (1, 63));
        assert_eq!(place_of(96), (2, 0));
    }

    #[test]
    fn threads_that_add_at_once_lose_nothing() {
        let table = Table::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let value = thread * 5_000 + n;
                        let index = table.push(value);
                        assert_eq!(table.get(index), Some(&value));
                    }
                });
            }
        });
        let mut all: Vec<usize> = table.iter().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..20_000).collect::<Vec<_>>());
    }
}
