//! Appends sets in one transaction: their events, and what follows from them.

use orch_core::Timestamp;
use rusqlite::{CachedStatement, Connection};

use super::content::Conversations;
use super::error::Broken;
use super::event::{self, Fields, RowHash, Seal};
use super::heads::Heads;
use super::load::Tip;
use super::rows::{self, Written};
use super::{Live, begin, commit};
use crate::prepared::{Item, Prepared};
use crate::record::{Record, Seq};
use crate::state::{Illegal, State};

impl Live {
    /// One transaction. After an error the file has nothing of it, and memory must be read again.
    pub(super) fn append(
        &mut self,
        sets: &[Prepared],
        refused: &[Option<Illegal>],
    ) -> Result<Vec<Result<Seq, Illegal>>, Broken> {
        begin(&self.db)?;
        let written = self.transaction().and_then(|mut transaction| {
            let answers = transaction.append_sets(sets, refused)?;
            transaction.derive()?;
            Ok(answers)
        });
        match written {
            Ok(answers) => {
                commit(&self.db)?;
                Ok(answers)
            }
            Err(broken) => {
                // SQLite may have rolled back by itself; what failed is the error that counts.
                let _ = self.db.execute_batch("ROLLBACK");
                Err(broken)
            }
        }
    }

    fn transaction(&mut self) -> Result<Transaction<'_>, Broken> {
        let Self { db, state, written, heads, conversations, hash, .. } = self;
        let insert = db.prepare_cached(event::INSERT)?;
        Ok(Transaction { db, insert, state, written, heads, conversations, hash })
    }
}

/// What one transaction writes with, and what it changes in memory.
struct Transaction<'a> {
    db: &'a Connection,
    insert: CachedStatement<'a>,
    state: &'a mut State,
    written: &'a mut Written,
    heads: &'a mut Heads,
    conversations: &'a mut Conversations,
    /// The hash of the last event.
    hash: &'a mut RowHash,
}

impl Transaction<'_> {
    fn append_sets(
        &mut self,
        sets: &[Prepared],
        refused: &[Option<Illegal>],
    ) -> Result<Vec<Result<Seq, Illegal>>, Broken> {
        let mut answers = Vec::with_capacity(sets.len());
        for (index, (set, refused)) in sets.iter().zip(refused).enumerate() {
            let refused = refused.clone().or_else(|| self.expected_refusal(set));
            if let Some(illegal) = refused {
                answers.push(Err(illegal));
                continue;
            }
            answers.push(self.append_set(index, set)?);
        }
        Ok(answers)
    }

    /// What is no mistake is told before anything of a set is applied. A set of one record tells by
    /// itself.
    fn expected_refusal(&self, set: &Prepared) -> Option<Illegal> {
        if set.items.len() < 2 {
            return None;
        }
        self.state.expected_refusal(set.records())
    }

    fn append_set(&mut self, index: usize, set: &Prepared) -> Result<Result<Seq, Illegal>, Broken> {
        for (place, item) in set.items.iter().enumerate() {
            match self.append_item(set.at, item)? {
                Ok(()) => {}
                // What is refused changes nothing, and nothing came before it.
                Err(illegal) if place == 0 => return Ok(Err(illegal)),
                Err(illegal) => return Err(Broken::Illegal(index, illegal)),
            }
        }
        Ok(Ok(self.state.last()))
    }

    fn append_item(&mut self, at: Timestamp, item: &Item) -> Result<Result<(), Illegal>, Broken> {
        let (record, seq) = (&item.record, self.state.last().next());
        let former = match record {
            Record::Conversed { agent, conversation, .. } => {
                self.state.conversation(*agent, conversation).cloned()
            }
            _ => None,
        };
        if let Err(illegal) = self.state.apply_record(seq, at, record) {
            return Ok(Err(illegal));
        }
        let content = match &item.apart {
            Some(apart) => {
                let stored = self.conversations.store(self.db, record, apart, former.as_ref());
                Some(stored?)
            }
            None => None,
        };
        let (agent, prev) = match record.agent() {
            Some(agent) => {
                let (number, prev) = self.heads.link(agent, seq);
                (Some(number), prev)
            }
            None => (None, None),
        };
        let message = record.message().map(|id| *id.as_uuid().as_bytes());
        let fields = Fields { seq, at, kind: record.kind(), agent, prev, message, content };
        let seal = Seal::of(&fields, item.sum, self.hash);
        event::insert(&mut self.insert, &fields, &item.body, seal.crc, self.hash)?;
        *self.hash = seal.hash;
        Ok(Ok(()))
    }

    /// Writes what follows from the new events.
    fn derive(&mut self) -> Result<(), Broken> {
        let touched = self.state.take_touched();
        rows::write(self.db, self.state, touched, self.written)?;
        self.heads.write(self.db)?;
        let tip = Tip {
            seq: self.state.last(),
            at: self.state.at(),
            hash: *self.hash,
            rows: self.written.digest,
            heads: self.heads.digest,
        };
        tip.write(self.db)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orch_core::{AgentId, AgentMessage, MessageId, Usage};

    use super::*;
    use crate::redact::Redactor;
    use crate::sqlite::{Durability, SqliteOptions, SqliteReader, SqliteStore};
    use crate::state::DEDUP_WINDOW;
    use crate::store::Store;

    /// Accepted and handled in one set, so that nothing else is live.
    fn handled(ids: &mut Vec<MessageId>) -> [Record; 3] {
        let agent = AgentId::from_uuid(uuid::Uuid::from_u128(1));
        let accepted = AgentMessage::new(AgentId::OUTSIDE, agent, "");
        let (message, usage) = (accepted.id(), Usage::default());
        ids.push(message);
        [
            Record::Accepted { message: accepted, origin_run: 0, origin_round: 0, step: None },
            Record::AttemptStarted { agent, message, attempt: 1, round: 1 },
            Record::Settled { agent, message, attempt: 1, output: None, usage, handling_ms: 1 },
        ]
    }

    /// No random history is long enough for this.
    #[test]
    fn the_window_of_known_ids_moves_and_its_table_with_it() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("journal");
        let options = SqliteOptions::new().with_durability(Durability::Off);
        let mut store = SqliteStore::open(&path, options).expect("the folder is there");
        let mut ids = Vec::new();
        // Also more at once than there is room for: those never come into the table.
        for n in [1, 500, 700, DEDUP_WINDOW + 300, 1] {
            let records: Vec<Record> = (0..n).flat_map(|_| handled(&mut ids)).collect();
            let set = Prepared::new(Timestamp::now(), records, &Redactor::new()).expect("in order");
            store.append(&[set]).expect("the disk works")[0].clone().expect("it is legal");
            let n_forgotten = ids.len().saturating_sub(DEDUP_WINDOW);
            for _ in 0..2 {
                let knows = |id: &MessageId| store.state().knows(*id);
                assert!(!ids[..n_forgotten].iter().any(knows), "it knows one that is too old");
                assert!(ids[n_forgotten..].iter().all(knows), "it has forgotten one");
                // Its tables add up, or it would be refused.
                store.reopen().expect("it is in order");
            }
        }
        let reader = SqliteReader::open(&path).expect("it is in order");
        assert_eq!(reader.recent_messages().expect("it is in order").len(), DEDUP_WINDOW);
    }
}
