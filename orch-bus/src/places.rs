//! How many messages of one lane there are.

use crate::sync::{AtomicU64, Ordering};

/// The places of one lane, in one word, so that settling is one step: below, those that are used, by
/// messages that were accepted and not settled and by sends under way; above, those of them that are
/// checked out.
///
/// Invariant: held ≤ used ≤ the capacity of the lane.
#[derive(Debug)]
pub(crate) struct Places(AtomicU64);

const USED: u64 = 1;
const HELD: u64 = 1 << 32;

const fn used(places: u64) -> u32 {
    places as u32
}

const fn held(places: u64) -> u32 {
    (places >> 32) as u32
}

impl Places {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// False if all are used.
    pub(crate) fn try_reserve(&self, capacity: u32) -> bool {
        let one_more = |places| (used(places) < capacity).then(|| places + USED);
        // Acquire: pairs with the Release in `change`. Relaxed would count as well, but then a place
        // could be taken before what its last holder did is visible.
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).is_ok()
    }

    /// A place that was reserved, and whose message was not checked out, is free.
    pub(crate) fn free(&self) {
        self.give_back(USED);
    }

    /// The message of a used place was checked out.
    pub(crate) fn hold(&self) {
        // Relaxed: a figure. It orders nothing.
        self.0.fetch_add(HELD, Ordering::Relaxed);
    }

    /// A message that was checked out was put back.
    pub(crate) fn put_back(&self) {
        self.give_back(HELD);
    }

    /// Whether nothing waits, and no send is under way.
    pub(crate) fn none_waits(&self) -> bool {
        // SeqCst, as `put_back`: for the meeting of `Signal`.
        let places = self.0.load(Ordering::SeqCst);
        used(places) == held(places)
    }

    /// A message that was checked out was settled.
    pub(crate) fn settle(&self) {
        self.give_back(USED + HELD);
    }

    /// Changes nothing. All that change this word have one order: whoever comes after this sees what
    /// was done before it, and whoever came before it is seen by what follows it.
    pub(crate) fn meet(&self) {
        self.0.fetch_add(0, Ordering::AcqRel);
    }

    /// How many messages wait, sends under way included.
    pub(crate) fn waiting(&self) -> usize {
        let places = self.0.load(Ordering::Relaxed);
        used(places).saturating_sub(held(places)) as usize
    }

    fn give_back(&self, places: u64) {
        // Acquire: pairs with `meet`, so that whoever waits for room is seen. SeqCst beyond that, for a
        // put-back: see `none_waits`.
        let before = self.0.fetch_sub(places, Ordering::SeqCst);
        debug_assert!(
            used(places) <= used(before) && held(places) <= held(before),
            "a place was given back that nobody had"
        );
    }

    /// Used and held.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u32, u32) {
        let places = self.0.load(Ordering::Acquire);
        (used(places), held(places))
    }
}
