//! Contents that are stored apart: once each, and a growing conversation as what is new.

use std::collections::HashMap;

use orch_core::{AgentId, Content};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::delta::Delta;
use crate::hash::ContentHash;
use crate::prepared::Apart;
use crate::record::Record;
use crate::store::StoreError;

/// A text is stored whole after so many steps from one that is: reading it takes as many look-ups.
const DEPTH_MAX: i64 = 4_096;

/// Where each conversation stands, so that only what is new is hashed and written.
#[derive(Debug, Default)]
pub(super) struct Conversations(HashMap<(AgentId, String), Tail>);

#[derive(Debug)]
struct Tail {
    number: i64,
    depth: i64,
    text: Content,
    hasher: Sha256,
}

impl Conversations {
    /// Stores a record's content; `former` is what the conversation said before, if it is one.
    pub(super) fn store(
        &mut self,
        db: &Connection,
        record: &Record,
        apart: &Apart,
        former: Option<&Content>,
    ) -> Result<(i64, ContentHash), StoreError> {
        match (record, apart.hash) {
            (_, Some(hash)) => Ok((keep_whole(db, &apart.text, &hash)?, hash)),
            (Record::Conversed { agent, conversation, .. }, None) => {
                self.converse(db, (*agent, conversation), &apart.text, former)
            }
            (_, None) => {
                let hash = ContentHash::of(apart.text.as_bytes());
                Ok((keep_whole(db, &apart.text, &hash)?, hash))
            }
        }
    }

    fn converse(
        &mut self,
        db: &Connection,
        (agent, name): (AgentId, &str),
        text: &Content,
        former: Option<&Content>,
    ) -> Result<(i64, ContentHash), StoreError> {
        let key = (agent, name.to_owned());
        let tail = match (self.0.remove(&key), former) {
            (Some(tail), Some(former)) if tail.text == *former => Some(tail),
            (_, Some(former)) => Tail::find(db, former)?,
            (_, None) => None,
        };
        let tail = match tail {
            Some(tail) => tail.follow(db, text)?,
            None => Tail::begin(db, text)?,
        };
        let stored = (tail.number, ContentHash::from_digest(tail.hasher.clone()));
        self.0.insert(key, tail);
        Ok(stored)
    }
}

impl Tail {
    fn begin(db: &Connection, text: &Content) -> Result<Self, StoreError> {
        let hasher = Sha256::new_with_prefix(text.as_bytes());
        let hash = ContentHash::from_digest(hasher.clone());
        let number = keep_whole(db, text, &hash)?;
        Ok(Self { number, depth: 0, text: text.clone(), hasher })
    }

    /// Where a text is stored that was written by an earlier process.
    fn find(db: &Connection, text: &Content) -> Result<Option<Self>, StoreError> {
        let hasher = Sha256::new_with_prefix(text.as_bytes());
        let hash = ContentHash::from_digest(hasher.clone());
        let sql = "SELECT number, depth FROM content WHERE hash = ?";
        let mut found = db.prepare_cached(sql)?;
        let found = found.query_row([hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
        let found = found.optional()?;
        Ok(found.map(|(number, depth)| Self { number, depth, text: text.clone(), hasher }))
    }

    fn follow(self, db: &Connection, text: &Content) -> Result<Self, StoreError> {
        let delta = Delta::between(self.text.as_bytes(), text.as_bytes());
        let grows = delta.keep == self.text.len();
        let hasher = if grows {
            self.hasher.chain_update(delta.new)
        } else {
            Sha256::new_with_prefix(text.as_bytes())
        };
        let hash = ContentHash::from_digest(hasher.clone());
        if delta.keep < text.len() / 2 || self.depth >= DEPTH_MAX {
            let number = keep_whole(db, text, &hash)?;
            return Ok(Self { number, depth: 0, text: text.clone(), hasher });
        }
        let depth = self.depth + 1;
        let base = Base { number: self.number, keep: delta.keep, depth };
        let (number, depth) = keep(db, &hash, text.len(), Some(base), delta.new)?;
        Ok(Self { number, depth, text: text.clone(), hasher })
    }
}

/// What a stored content begins with: the first `keep` bytes of another.
struct Base {
    number: i64,
    keep: usize,
    depth: i64,
}

fn keep_whole(db: &Connection, text: &str, hash: &ContentHash) -> Result<i64, StoreError> {
    keep(db, hash, text.len(), None, text.as_bytes()).map(|(number, _)| number)
}

/// Stores a content if it is new, and counts whoever refers to it. Its number and depth.
fn keep(
    db: &Connection,
    hash: &ContentHash,
    length: usize,
    base: Option<Base>,
    bytes: &[u8],
) -> Result<(i64, i64), StoreError> {
    let known = "UPDATE content SET refs = refs + 1 WHERE hash = ? RETURNING number, depth";
    let mut known = db.prepare_cached(known)?;
    let known = known.query_row([hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
    if let Some(known) = known.optional()? {
        return Ok(known);
    }
    let (number, kept, depth) =
        base.map_or((None, 0, 0), |it| (Some(it.number), it.keep, it.depth));
    let insert = "INSERT INTO content(hash, length, base, keep, depth, refs) \
                  VALUES (?, ?, ?, ?, ?, 1)";
    let row = params![hash.as_bytes(), length as i64, number, kept as i64, depth];
    db.prepare_cached(insert)?.execute(row)?;
    let new = db.last_insert_rowid();
    let insert = "INSERT INTO content_bytes(number, bytes) VALUES (?, ?)";
    db.prepare_cached(insert)?.execute(params![new, bytes])?;
    if number.is_some() {
        let refer = "UPDATE content SET refs = refs + 1 WHERE number = ?";
        db.prepare_cached(refer)?.execute([number])?;
    }
    Ok((new, depth))
}

/// A content, put together and checked against its hash.
pub(super) fn read(db: &Connection, number: i64, hash: &ContentHash) -> Result<String, StoreError> {
    let damaged = |what: &str| StoreError::damaged(format!("content {number}"), what);
    let bytes = put_together(db, number)?;
    if ContentHash::of(&bytes) != *hash {
        return Err(damaged("it does not have its hash"));
    }
    String::from_utf8(bytes).map_err(|_| damaged("it is no text"))
}

/// Follows the bases down to a text that is stored whole, then lays the ends over one another.
fn put_together(db: &Connection, number: i64) -> Result<Vec<u8>, StoreError> {
    let damaged = |what: &str| StoreError::damaged(format!("content {number}"), what);
    let sql = "SELECT c.base, c.keep, b.bytes FROM content AS c JOIN content_bytes AS b \
               USING (number) WHERE number = ?";
    let mut statement = db.prepare_cached(sql)?;
    let mut ends: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut next = Some(number);
    while let Some(number) = next {
        if ends.len() as i64 > DEPTH_MAX {
            return Err(damaged("it is made of too many"));
        }
        let part = statement.query_row([number], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        });
        let (base, keep, bytes) = part.optional()?.ok_or_else(|| damaged("a part is missing"))?;
        ends.push((usize::try_from(keep).unwrap_or(usize::MAX), bytes));
        next = base;
    }
    let mut text = Vec::new();
    for (keep, bytes) in ends.into_iter().rev() {
        if keep > text.len() {
            return Err(damaged("a part is too short"));
        }
        text.truncate(keep);
        text.extend(bytes);
    }
    Ok(text)
}

/// Takes back one reference; what nothing refers to any more goes, and with it what it was based on.
pub(super) fn release(db: &Connection, number: i64) -> rusqlite::Result<()> {
    let mut next = Some(number);
    while let Some(number) = next.take() {
        let take = "UPDATE content SET refs = refs - 1 WHERE number = ? RETURNING refs, base";
        let mut take = db.prepare_cached(take)?;
        let left = take.query_row([number], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)));
        if let Some((0, base)) = left.optional()? {
            db.prepare_cached("DELETE FROM content WHERE number = ?")?.execute([number])?;
            db.prepare_cached("DELETE FROM content_bytes WHERE number = ?")?.execute([number])?;
            next = base;
        }
    }
    Ok(())
}
