//! What people call agents and messages, for whom an id is too long.

use std::collections::HashMap;

use orch_journal::{Record, Seq, SqliteReader, StoreError};
use orch_runtime::{AgentId, MessageId};

use crate::screen::one_line;

/// Characters of a name that are shown.
const NAME_WIDTH: usize = 30;

/// Agents by name. Messages by the number of the first event that has them: ids of one thread differ
/// in their middle alone, so that no part of them is short and tells them apart.
#[derive(Debug, Default)]
pub(crate) struct Names {
    agents: HashMap<AgentId, Name>,
    messages: HashMap<MessageId, Seq>,
}

#[derive(Debug)]
struct Name {
    /// As it was given.
    given: String,
    shown: String,
}

impl Names {
    pub(crate) fn load(reader: &SqliteReader) -> Result<Self, StoreError> {
        let mut given = HashMap::new();
        for entry in reader.registrations()? {
            if let Record::AgentRegistered { agent, config, .. } = entry.record {
                given.insert(agent, config.name);
            }
        }
        let messages = reader.messages()?.into_iter().map(|(seq, id)| (id, seq)).collect();
        Ok(Self { agents: shown(given), messages })
    }

    /// Its name; with its id where another agent has the same, and the id alone if it has none.
    pub(crate) fn agent(&self, id: AgentId) -> String {
        match self.agents.get(&id) {
            Some(name) => name.shown.clone(),
            None if id == AgentId::OUTSIDE => "outside".to_owned(),
            None => id.to_string(),
        }
    }

    /// The number of its first event, or its id if that event was pruned.
    pub(crate) fn message(&self, id: MessageId) -> String {
        self.messages.get(&id).map_or_else(|| id.to_string(), |seq| seq.0.to_string())
    }

    /// All agents that were ever registered, with their names as they were given.
    pub(crate) fn agents(&self) -> impl Iterator<Item = (AgentId, &str)> {
        self.agents.iter().map(|(id, name)| (*id, name.given.as_str()))
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageId> {
        self.messages.keys().copied()
    }
}

fn shown(given: HashMap<AgentId, String>) -> HashMap<AgentId, Name> {
    let mut n_of: HashMap<String, usize> = HashMap::new();
    for name in given.values() {
        *n_of.entry(name.clone()).or_default() += 1;
    }
    let show = |(id, given): (AgentId, String)| {
        let mut shown = one_line(&given, NAME_WIDTH);
        if n_of.get(&given).is_some_and(|n| *n > 1) {
            shown = format!("{shown} ({id})");
        }
        (id, Name { given, shown })
    };
    given.into_iter().map(show).collect()
}
