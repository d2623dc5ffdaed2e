//! A list of agents that forgets those that are gone, without looking for each.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::registry::Entry;

/// Agents in the order in which they were registered. One that is gone is passed over, and dropped
/// when half of the list is gone: a constant cost for each, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    entries: VecDeque<Arc<Entry>>,
    /// How many of them are gone. A little wrong while agents go at the same time.
    n_gone: usize,
}

impl Roll {
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        self.entries.push_back(entry);
    }

    /// Notes that one of them is gone.
    pub(crate) fn note_gone(&mut self) {
        self.n_gone += 1;
        if 2 * self.n_gone > self.entries.len() {
            self.entries.retain(|entry| !entry.is_gone());
            self.entries.shrink_to(2 * self.entries.len());
            self.n_gone = 0;
        }
    }

    /// Takes the first that is not gone.
    pub(crate) fn pop(&mut self) -> Option<Arc<Entry>> {
        loop {
            let first = self.entries.pop_front()?;
            if !first.is_gone() {
                return Some(first);
            }
            self.n_gone = self.n_gone.saturating_sub(1);
        }
    }

    /// The first that is not gone and of which `is_it` holds.
    pub(crate) fn find(&self, is_it: impl Fn(&Entry) -> bool) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| !entry.is_gone() && is_it(entry))
    }

    /// Those that are not gone.
    pub(crate) fn present(&self) -> Vec<Arc<Entry>> {
        self.entries.iter().filter(|entry| !entry.is_gone()).cloned().collect()
    }
}
