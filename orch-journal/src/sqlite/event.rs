//! One row of the table `event`: how it is sealed, written, read and checked.

use orch_core::Timestamp;
use rusqlite::{CachedStatement, Connection, Row, params};
use sha2::{Digest, Sha256};

use super::content;
use crate::hash::{BodySum, ContentHash};
use crate::prepared::with_content;
use crate::record::{Entry, Record, Seq};
use crate::store::StoreError;

/// The first half of a SHA-256: it tells that rows were lost or exchanged, and keeps nobody from
/// writing a whole journal anew.
pub(super) type RowHash = [u8; 16];

/// What a row says beside its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) kind: u8,
    /// The number of the agent in the table `agent`.
    pub(super) agent: Option<i64>,
    /// The event before it of that agent.
    pub(super) prev: Option<i64>,
    /// The message that it is about.
    pub(super) message: Option<[u8; 16]>,
    /// The number of its content in the table `content`, with its hash.
    pub(super) content: Option<(i64, ContentHash)>,
}

/// A row's checksum and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) crc: u32,
    pub(super) hash: RowHash,
}

impl Seal {
    /// What the row of these fields is sealed with: its columns, and what its body adds up to.
    pub(super) fn of(fields: &Fields, body: BodySum, before: &RowHash) -> Self {
        let mut bytes = [0; 49];
        let numbers = [
            fields.seq.0,
            fields.at.as_millis(),
            fields.agent.map_or(0, i64::cast_unsigned),
            fields.prev.map_or(0, i64::cast_unsigned),
        ];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[32..48].copy_from_slice(&fields.message.unwrap_or_default());
        bytes[48] = fields.kind;
        let content = fields.content.map(|(_, hash)| hash);
        let content = content.as_ref().map_or(&[][..], |hash| hash.as_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(body.crc, &bytes), content);
        let digest = Sha256::new_with_prefix(before).chain_update(bytes).chain_update(content);
        let digest = digest.chain_update(body.hash.as_bytes()).finalize();
        let mut hash = RowHash::default();
        hash.copy_from_slice(&digest[..16]);
        Self { crc, hash }
    }
}

/// What [`insert`] takes.
pub(super) const INSERT: &str = "INSERT INTO event(seq, at, kind, agent, prev, message, content, \
                                 body, crc, before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) fn insert(
    statement: &mut CachedStatement<'_>,
    fields: &Fields,
    body: &str,
    crc: u32,
    before: &RowHash,
) -> rusqlite::Result<()> {
    statement.execute(params![
        fields.seq.0.cast_signed(),
        fields.at.as_millis().cast_signed(),
        fields.kind,
        fields.agent,
        fields.prev,
        fields.message,
        fields.content.map(|(number, _)| number),
        body,
        crc,
        before,
    ])?;
    Ok(())
}

/// A row as it was read and found in order.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) fields: Fields,
    pub(super) body: String,
    /// The hash of the event before it, as the row states it.
    pub(super) before: RowHash,
    pub(super) seal: Seal,
}

/// The columns that [`read`] takes, from `event AS e`.
pub(super) const COLUMNS: &str = "e.seq, e.at, e.kind, e.agent, e.prev, e.message, e.content, e.body, e.crc, e.before, \
     (SELECT hash FROM content WHERE number = e.content)";

/// Reads a row and checks its checksum.
pub(super) fn read(row: &Row<'_>) -> Result<Read, StoreError> {
    let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
    let damaged = |what: &dyn ToString| StoreError::damaged(seq, what.to_string());
    let fields = || -> rusqlite::Result<Fields> {
        let content: Option<i64> = row.get(6)?;
        let hash: Option<[u8; 32]> = row.get(10)?;
        Ok(Fields {
            seq,
            at: Timestamp::from_millis(row.get::<_, i64>(1)?.cast_unsigned()),
            kind: row.get(2)?,
            agent: row.get(3)?,
            prev: row.get(4)?,
            message: row.get(5)?,
            // A content that is missing fails the checksum.
            content: content.zip(hash.map(ContentHash::from_bytes)),
        })
    };
    let fields = fields().map_err(|error| damaged(&error))?;
    let body: String = row.get(7).map_err(|error| damaged(&error))?;
    let crc: u32 = row.get(8).map_err(|error| damaged(&error))?;
    let before: RowHash = row.get(9).map_err(|error| damaged(&error))?;
    let seal = Seal::of(&fields, BodySum::of(&body), &before);
    if seal.crc != crc {
        return Err(damaged(&"its checksum does not fit"));
    }
    Ok(Read { fields, body, before, seal })
}

impl Read {
    /// The entry, with its content put in place.
    pub(super) fn entry(self, db: &Connection) -> Result<Entry, StoreError> {
        let Fields { seq, at, kind, content, .. } = self.fields;
        let no_record = |error: serde_json::Error| StoreError::damaged(seq, error);
        let record = match content {
            None => serde_json::from_str(&self.body).map_err(no_record)?,
            Some((number, hash)) => {
                let text = content::read(db, number, &hash)?;
                let value = serde_json::from_str(&self.body).map_err(no_record)?;
                with_content(value, Record::content_place(kind), &text).map_err(no_record)?
            }
        };
        Ok(Entry { seq, at, record })
    }
}

/// One event by its number.
pub(super) fn get(db: &Connection, seq: Seq) -> Result<Entry, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM event AS e WHERE e.seq = ?");
    let mut statement = db.prepare_cached(&sql)?;
    let read = one(&mut statement, seq)?;
    read.ok_or_else(|| StoreError::damaged(seq, "it is missing"))?.entry(db)
}

/// The event that a statement selects by number.
pub(super) fn one(
    statement: &mut CachedStatement<'_>,
    seq: Seq,
) -> Result<Option<Read>, StoreError> {
    let mut rows = statement.query([seq.0.cast_signed()])?;
    rows.next()?.map(read).transpose()
}
