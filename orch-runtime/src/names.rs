//! Who has which name.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use orch_core::{AgentId, IdMap};

use crate::registry::Entry;
use crate::roll::Roll;

/// The agents of each name. Most names have one agent, and cost no more than a pointer to it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By the hash of the name, so that a table that grows looks at no agent. Two names of one hash
    /// are as good as impossible, and share their namesakes.
    by_hash: IdMap<u64, Namesakes>,
    hasher: RandomState,
    n_added: u64,
}

#[derive(Debug)]
struct Namesakes {
    /// The first registered of them. Not gone.
    first: Arc<Entry>,
    others: Option<Box<Roll>>,
}

impl Names {
    /// Adds an agent, and numbers it.
    pub(crate) fn add(&mut self, mut entry: Entry) -> Arc<Entry> {
        entry.number = self.n_added;
        self.n_added += 1;
        let entry = Arc::new(entry);
        let hash = self.hash(&entry.config.name);
        self.by_hash
            .entry(hash)
            .and_modify(|them| them.others.get_or_insert_default().push(entry.clone()))
            .or_insert_with(|| Namesakes { first: entry.clone(), others: None });
        entry
    }

    /// The first registered of that name.
    pub(crate) fn first(&self, name: &str) -> Option<AgentId> {
        let them = self.by_hash.get(&self.hash(name))?;
        if them.first.config.name == name {
            return Some(them.first.id);
        }
        them.others.as_ref()?.find(|entry| entry.config.name == name).map(|entry| entry.id)
    }

    /// Notes that an agent is gone, once for each.
    pub(crate) fn note_gone(&mut self, entry: &Arc<Entry>) {
        let hash = self.hash(&entry.config.name);
        let Some(them) = self.by_hash.get_mut(&hash) else { return };
        if !Arc::ptr_eq(&them.first, entry) {
            if let Some(others) = &mut them.others {
                others.note_gone();
            }
            return;
        }
        match them.others.as_mut().and_then(|others| others.pop()) {
            Some(next) => them.first = next,
            None => drop(self.by_hash.remove(&hash)),
        }
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }
}

#[cfg(test)]
mod tests {
    use orch_core::{AgentConfig, AgentRole};

    use super::*;

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut names = Names::default();
        let entry = |name: &str| {
            Entry::new(AgentConfig::new(name.into(), AgentRole::Worker, "x".into()), None, 0)
        };
        let [a, b] = ["a", "b"].map(|name| names.add(entry(name)));
        // As if both had the hash of the first.
        let (hash_a, hash_b) = (names.hash("a"), names.hash("b"));
        let mut them = names.by_hash.remove(&hash_a).unwrap();
        them.others.get_or_insert_default().push(b.clone());
        names.by_hash.insert(hash_b, them);
        assert_eq!(names.first("b"), Some(b.id));
        let them = names.by_hash.remove(&hash_b).unwrap();
        names.by_hash.insert(hash_a, them);
        assert_eq!((names.first("a"), names.first("b")), (Some(a.id), None));
    }
}
