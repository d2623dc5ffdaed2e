//! Who is next: the most urgent first, equals in the order in which they became ready. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use orch_core::MessagePriority;

/// A place in the order. What becomes more urgent keeps its `since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    urgency: Reverse<MessagePriority>,
    since: u64,
}

impl Place {
    pub(crate) fn urgency(self) -> MessagePriority {
        self.urgency.0
    }
}

/// Everything that waits for a slot.
#[derive(Debug)]
pub(crate) struct ReadySet<T> {
    waiting: BTreeMap<Place, T>,
    next: u64,
}

impl<T> Default for ReadySet<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }
}

impl<T> ReadySet<T> {
    /// Adds what became ready just now.
    pub(crate) fn add(&mut self, urgency: MessagePriority, what: T) -> Place {
        let place = Place { urgency: Reverse(urgency), since: self.next };
        self.next += 1;
        self.waiting.insert(place, what);
        place
    }

    /// Changes how urgent something is; since when it is ready stays. `None` if it does not wait.
    pub(crate) fn change(&mut self, place: Place, urgency: MessagePriority) -> Option<Place> {
        let what = self.waiting.remove(&place)?;
        let place = Place { urgency: Reverse(urgency), ..place };
        self.waiting.insert(place, what);
        Some(place)
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        self.waiting.remove(&place)
    }

    /// Takes the next one.
    pub(crate) fn pop(&mut self) -> Option<(Place, T)> {
        self.waiting.pop_first()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(usize),
        Change(usize, usize),
        Remove(usize),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..4).prop_map(Step::Add),
            (0_usize..8, 0_usize..4).prop_map(|(i, p)| Step::Change(i, p)),
            (0_usize..8).prop_map(Step::Remove),
            Just(Step::Pop),
        ]
    }

    fn priority(i: usize) -> MessagePriority {
        MessagePriority::MOST_URGENT_FIRST[i]
    }

    proptest! {
        /// The model: a list in the order of becoming ready, searched for the most urgent.
        #[test]
        fn the_most_urgent_is_next_and_equals_keep_their_order(
            steps in prop::collection::vec(step(), 0..80)
        ) {
            let mut set = ReadySet::default();
            let mut model: Vec<(u32, MessagePriority, Place)> = Vec::new();
            for (name, step) in (0_u32..).zip(steps) {
                match step {
                    Step::Add(p) => {
                        let place = set.add(priority(p), name);
                        model.push((name, priority(p), place));
                    }
                    Step::Change(i, p) if i < model.len() => {
                        let place = set.change(model[i].2, priority(p)).unwrap();
                        (model[i].1, model[i].2) = (priority(p), place);
                    }
                    Step::Remove(i) if i < model.len() => {
                        let (name, _, place) = model.remove(i);
                        prop_assert_eq!(set.remove(place), Some(name));
                        prop_assert_eq!(set.remove(place), None);
                    }
                    Step::Pop => {
                        let most_urgent = model.iter().map(|(_, p, _)| *p).max();
                        let first = model.iter().position(|(_, p, _)| Some(*p) == most_urgent);
                        let expected = first.map(|i| model.remove(i).0);
                        prop_assert_eq!(set.pop().map(|(_, name)| name), expected);
                    }
                    Step::Change(..) | Step::Remove(_) => {}
                }
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
        }
    }
}
