//! What people call agents and messages, for whom an id is too long.

use std::cell::OnceCell;
use std::collections::HashMap;

use orch_journal::{Record, Seq, SqliteReader, StoreError};
use orch_runtime::{AgentId, MessageId};

use crate::screen::one_line;

/// Characters of a name that are shown.
const NAME_WIDTH: usize = 30;

/// Agents by name. Messages by the number of the event that accepted them, or gave them up: ids of one thread differ
/// in their middle alone, so that no part of them is short and tells them apart.
#[derive(Debug)]
pub(crate) struct Names {
    agents: HashMap<AgentId, Name>,
    /// Those that were accepted last.
    recent: HashMap<MessageId, Seq>,
    /// All others, for which every event is looked at: only once one of them is asked for.
    old: OnceCell<HashMap<MessageId, Seq>>,
    reader: SqliteReader,
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
        let recent = reader.recent_messages()?.into_iter().map(|(seq, id)| (id, seq)).collect();
        let reader = SqliteReader::open(reader.path())?;
        Ok(Self { agents: shown(given), recent, old: OnceCell::new(), reader })
    }

    /// What cannot be read has no number: whoever shows it has read what matters.
    fn old(&self) -> &HashMap<MessageId, Seq> {
        let read = || self.reader.messages().unwrap_or_default();
        let is_old = |(_, id): &(Seq, MessageId)| !self.recent.contains_key(id);
        let all = || read().into_iter().filter(is_old).map(|(seq, id)| (id, seq)).collect();
        self.old.get_or_init(all)
    }

    /// Its name; with its id where another agent has the same, and the id alone if it has none.
    pub(crate) fn agent(&self, id: AgentId) -> String {
        match self.agents.get(&id) {
            Some(name) => name.shown.clone(),
            None if id == AgentId::OUTSIDE => "outside".to_owned(),
            None => id.to_string(),
        }
    }

    /// The number of the event that has it, or its id if that event was pruned.
    pub(crate) fn message(&self, id: MessageId) -> String {
        let seq = self.recent.get(&id).or_else(|| self.old().get(&id));
        seq.map_or_else(|| id.to_string(), |seq| seq.0.to_string())
    }

    /// All agents that were ever registered, with their names as they were given.
    pub(crate) fn agents(&self) -> impl Iterator<Item = (AgentId, &str)> {
        self.agents.iter().map(|(id, name)| (*id, name.given.as_str()))
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageId> {
        self.recent.keys().chain(self.old().keys()).copied()
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
