//! The derived tables: one row for each key of the state, a function of the state alone.
//!
//! A digest over all rows, kept with the number of the last event, tells when a row was lost,
//! exchanged or changed.

use std::collections::HashMap;

use orch_core::{DeliveryState, IdMap, MessageId, StepKey, Usage};
use rusqlite::{CachedStatement, Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use crate::record::Seq;
use crate::state::{Delivery, Key, State, Step};

/// Kinds of rows in the table `live`. Never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveKind {
    Agent = 1,
    Counts = 2,
    Letter = 3,
    Question = 4,
    Grant = 5,
    Run = 6,
    Chain = 7,
    Conversation = 8,
}

/// The sum of the hashes of all rows. A sum, so that it follows each change of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DigestSum {
    pub(super) n_rows: u64,
    pub(super) sum: u64,
}

impl DigestSum {
    pub(super) fn count(&mut self, hash: u64) {
        self.n_rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    pub(super) fn forget(&mut self, hash: u64) {
        self.n_rows -= 1;
        self.sum = self.sum.wrapping_sub(hash);
    }
}

/// The rows that are in the tables, by the hash of each, so that the digest can follow.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Those of the table `mailbox`, by the number of the event.
    mailbox: IdMap<u64, u64>,
    /// The others, but for the table `dedup`, whose rows never change: their key says all of them.
    by_key: HashMap<Key, u64>,
    /// The last event that is in the file.
    last: Seq,
    pub(super) digest: DigestSum,
}

impl Written {
    /// Nothing yet, of a file that ends with this event.
    pub(super) fn up_to(last: Seq) -> Self {
        Self { last, ..Self::default() }
    }

    /// Counts a row that is in a table.
    pub(super) fn put(&mut self, key: Key, hash: u64) {
        self.digest.count(hash);
        let former = match key {
            Key::Delivery(event, _) => self.mailbox.insert(event.0, hash),
            Key::Dedup(..) => None,
            other => self.by_key.insert(other, hash),
        };
        if let Some(former) = former {
            self.digest.forget(former);
        }
    }

    /// Whether the row was in a table.
    fn remove(&mut self, key: &Key) -> bool {
        let former = match key {
            Key::Delivery(event, _) => self.mailbox.remove(&event.0),
            // It was written with its event.
            Key::Dedup(event, id) => (*event <= self.last).then(|| Row::dedup(*event, *id).hash()),
            other => self.by_key.remove(other),
        };
        former.inspect(|former| self.digest.forget(*former)).is_some()
    }
}

/// A row as it is written.
#[derive(Debug, PartialEq)]
pub(super) enum Row {
    Mailbox {
        event: i64,
        place: i64,
        attempt: u32,
        running: bool,
        ready_at: i64,
        run: i64,
        round: i64,
        errors: Option<String>,
    },
    Dedup {
        event: i64,
        message: [u8; 16],
    },
    Step {
        event: i64,
        n: u32,
        message: [u8; 16],
        first: i64,
        decided: Option<i64>,
        started: Option<bool>,
        answered: Option<i64>,
    },
    Live {
        kind: i64,
        key: Vec<u8>,
        value: String,
    },
}

/// Finds damage, as the checksum of an event does, at a tenth of the price of a cryptographic hash.
/// Spread over 64 bits, so that a sum over many of them does not run over.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    spread(crc32c::crc32c(bytes))
}

/// The same of at most eight numbers, each in eight bytes, and what follows them.
fn hash_of(numbers: &[i64], rest: &[&[u8]]) -> u64 {
    let mut bytes = [0; 64];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes[..numbers.len() * 8]);
    spread(rest.iter().fold(crc, |crc, it| crc32c::crc32c_append(crc, it)))
}

fn spread(crc: u32) -> u64 {
    u64::from(crc).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn number(seq: Seq) -> i64 {
    seq.0.cast_signed()
}

impl Row {
    /// The row of a key; `None` if the key has none now.
    pub(super) fn of(state: &State, key: &Key) -> Option<Self> {
        let live = |value: String| {
            let (kind, key) = live_key(key)?;
            Some(Self::Live { kind: kind as i64, key, value })
        };
        match key {
            Key::Delivery(_, id) => state.delivery(*id).map(Self::mailbox),
            Key::Dedup(seq, id) => {
                (state.dedup.known.get(id) == Some(seq)).then(|| Self::dedup(*seq, *id))
            }
            Key::Step(event, key) => state.steps.get(key).map(|step| Self::step(*event, key, step)),
            Key::Agent(id) => live(json(&state.agents.get(id).map(
                |it| object!({ "event": it.seq, "failed": it.failed, "restarts": it.restarts }),
            )?)),
            Key::Counts(id) => live(json(state.counts.get(id)?)),
            Key::Letter(seq) => {
                live(json(&object!({ "accepted": state.letters.get(seq)?.accepted })))
            }
            Key::Question(id) => live(json(state.questions.get(id)?)),
            Key::Grant(seq) => live(json(state.grants.get(seq)?)),
            Key::Run(run) => live(json(state.runs.get(run)?)),
            Key::Chain(chain) => {
                let usage = state.chains.get(chain)?.usage;
                live(json(Some(&usage).filter(|usage| **usage != Usage::default())?))
            }
            Key::Conversation(agent, name) => {
                let conversation = state.conversations.get(&(*agent, name.clone()))?;
                live(json(&object!({ "event": conversation.seq })))
            }
        }
    }

    fn mailbox(delivery: &Delivery) -> Self {
        let ready_at = match delivery.state {
            DeliveryState::Queued { ready_at, .. } => ready_at.as_millis().cast_signed(),
            _ => 0,
        };
        let errors = (!delivery.errors.is_empty()).then(|| json(&delivery.errors));
        Self::Mailbox {
            event: number(delivery.seq),
            place: number(delivery.place),
            attempt: delivery.attempt(),
            running: delivery.is_running(),
            ready_at,
            run: delivery.run.cast_signed(),
            round: delivery.round.cast_signed(),
            errors,
        }
    }

    fn step(event: Seq, key: &StepKey, step: &Step) -> Self {
        let tool = step.tool.as_ref();
        Self::Step {
            event: number(event),
            n: key.n,
            message: *key.delivery.as_uuid().as_bytes(),
            first: number(step.seq),
            decided: tool.map(|it| number(it.decided)),
            started: tool.and_then(|it| it.started),
            answered: step.answered.map(number),
        }
    }

    fn dedup(event: Seq, id: MessageId) -> Self {
        Self::Dedup { event: number(event), message: *id.as_uuid().as_bytes() }
    }

    /// What the digest counts of it: a table, then each column, one after the other.
    pub(super) fn hash(&self) -> u64 {
        let or = |optional: &Option<i64>| optional.unwrap_or(0);
        match self {
            Self::Mailbox { event, place, attempt, running, ready_at, run, round, errors } => {
                let flags = i64::from(*running) + 2 * i64::from(errors.is_some());
                let numbers =
                    [1, *event, *place, i64::from(*attempt), flags, *ready_at, *run, *round];
                hash_of(&numbers, &[errors.as_deref().unwrap_or_default().as_bytes()])
            }
            Self::Dedup { event, message } => hash_of(&[2, *event], &[message]),
            Self::Step { event, n, message, first, decided, started, answered } => {
                let started = started.map_or(0, |idempotent| 1 + i64::from(idempotent));
                let numbers =
                    [3, *event, i64::from(*n), *first, or(decided), started, or(answered)];
                hash_of(&numbers, &[message])
            }
            Self::Live { kind, key, value } => {
                hash_of(&[4, *kind, key.len() as i64], &[key, value.as_bytes()])
            }
        }
    }

    fn upsert(&self, tables: &mut Tables<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Mailbox { event, place, attempt, running, ready_at, run, round, errors } => {
                let row = params![event, place, attempt, running, ready_at, run, round, errors];
                tables.mailbox.execute(row)?;
            }
            Self::Dedup { event, message } => {
                tables.dedup.execute(params![event, message])?;
            }
            Self::Step { event, n, message, first, decided, started, answered } => {
                let sql = "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?, ?, ?)";
                let row = params![event, n, message, first, decided, started, answered];
                tables.db.prepare_cached(sql)?.execute(row)?;
            }
            Self::Live { kind, key, value } => {
                let sql = "INSERT OR REPLACE INTO live VALUES (?, ?, ?)";
                tables.db.prepare_cached(sql)?.execute(params![kind, key, value])?;
            }
        }
        Ok(())
    }
}

/// The statements of the tables whose rows are many are looked up once for each transaction.
struct Tables<'db> {
    db: &'db Connection,
    mailbox: CachedStatement<'db>,
    dedup: CachedStatement<'db>,
}

impl<'db> Tables<'db> {
    fn new(db: &'db Connection) -> rusqlite::Result<Self> {
        let mailbox = "INSERT OR REPLACE INTO mailbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let dedup = "INSERT OR REPLACE INTO dedup VALUES (?, ?)";
        Ok(Self { db, mailbox: db.prepare_cached(mailbox)?, dedup: db.prepare_cached(dedup)? })
    }
}

/// The place of a key in the table `live`; `None` if it has a table of its own.
fn live_key(key: &Key) -> Option<(LiveKind, Vec<u8>)> {
    let seq = |seq: &Seq| seq.0.to_be_bytes().to_vec();
    Some(match key {
        Key::Delivery(..) | Key::Dedup(..) | Key::Step(..) => return None,
        Key::Agent(id) => (LiveKind::Agent, id.as_uuid().as_bytes().to_vec()),
        Key::Counts(id) => (LiveKind::Counts, id.as_uuid().as_bytes().to_vec()),
        Key::Letter(it) => (LiveKind::Letter, seq(it)),
        Key::Question(id) => (LiveKind::Question, id.as_uuid().as_bytes().to_vec()),
        Key::Grant(it) => (LiveKind::Grant, seq(it)),
        Key::Run(run) => (LiveKind::Run, run.to_be_bytes().to_vec()),
        Key::Chain(chain) => (LiveKind::Chain, chain.as_uuid().as_bytes().to_vec()),
        Key::Conversation(agent, name) => {
            let key = [agent.as_uuid().as_bytes(), name.as_bytes()].concat();
            (LiveKind::Conversation, key)
        }
    })
}

/// Makes the tables say what the state says of these keys.
pub(super) fn write(
    db: &Connection,
    state: &State,
    keys: Vec<Key>,
    written: &mut Written,
) -> rusqlite::Result<()> {
    let mut tables = Tables::new(db)?;
    for key in keys {
        match Row::of(state, &key) {
            Some(row) => {
                row.upsert(&mut tables)?;
                written.put(key, row.hash());
            }
            // What came and went within one transaction was never in a table.
            None => {
                if written.remove(&key) {
                    delete(db, &key)?;
                }
            }
        }
    }
    written.last = state.last();
    Ok(())
}

fn delete(db: &Connection, key: &Key) -> rusqlite::Result<()> {
    match key {
        Key::Delivery(seq, _) => {
            db.prepare_cached("DELETE FROM mailbox WHERE event = ?")?.execute([number(*seq)])?;
        }
        Key::Dedup(seq, _) => {
            db.prepare_cached("DELETE FROM dedup WHERE event = ?")?.execute([number(*seq)])?;
        }
        Key::Step(seq, key) => {
            let sql = "DELETE FROM step WHERE event = ? AND n = ?";
            db.prepare_cached(sql)?.execute(params![number(*seq), key.n])?;
        }
        other => {
            let Some((kind, key)) = live_key(other) else { return Ok(()) };
            let sql = "DELETE FROM live WHERE kind = ? AND key = ?";
            db.prepare_cached(sql)?.execute(params![kind as i64, key])?;
        }
    }
    Ok(())
}

fn json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    value.to_string()
}
