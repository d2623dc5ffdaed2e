//! The last event of each agent: where the links of its timeline begin.

use orch_core::{AgentId, IdMap};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::rows::{self, DigestSum};
use crate::record::Seq;

/// The agents that any event was about, also the retired ones.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_id: IdMap<AgentId, Head>,
    /// Whose head is not in the table yet.
    changed: Vec<AgentId>,
    pub(super) digest: DigestSum,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    number: i64,
    head: Seq,
    /// The head that is in the table.
    written: Option<Seq>,
}

impl Heads {
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut heads = Self::default();
        let mut all = db.prepare("SELECT number, id, head FROM agent")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let id = AgentId::from_uuid(Uuid::from_bytes(row.get(1)?));
            let head = Seq(row.get::<_, i64>(2)?.cast_unsigned());
            let head = Head { number: row.get(0)?, head, written: Some(head) };
            heads.digest.count(hash(id, head.number, head.head));
            heads.by_id.insert(id, head);
        }
        Ok(heads)
    }

    /// Links an event to the one before it of the same agent: the agent's number, and that event.
    pub(super) fn link(&mut self, id: AgentId, seq: Seq) -> (i64, Option<i64>) {
        let next = self.by_id.len() as i64 + 1;
        let head = self.by_id.entry(id).or_insert(Head { number: next, head: seq, written: None });
        let prev = (head.head != seq).then_some(head.head.0.cast_signed());
        head.head = seq;
        self.changed.push(id);
        (head.number, prev)
    }

    /// The last event of an agent.
    pub(super) fn head(&self, id: AgentId) -> Option<Seq> {
        self.by_id.get(&id).map(|it| it.head)
    }

    /// Writes the heads that changed.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let mut upsert = db.prepare_cached("INSERT OR REPLACE INTO agent VALUES (?, ?, ?)")?;
        for id in changed {
            let Some(head) = self.by_id.get_mut(&id) else { continue };
            let uuid = id.as_uuid();
            upsert.execute(params![head.number, uuid.as_bytes(), head.head.0.cast_signed()])?;
            if let Some(written) = head.written.replace(head.head) {
                self.digest.forget(hash(id, head.number, written));
            }
            self.digest.count(hash(id, head.number, head.head));
        }
        Ok(())
    }
}

fn hash(id: AgentId, number: i64, head: Seq) -> u64 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(id.as_uuid().as_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..].copy_from_slice(&head.0.to_le_bytes());
    rows::hash(&bytes)
}
