//! The derived tables: one row for each key of the state, a function of the state alone.
//!
//! A digest over all rows, kept with the number of the last event, tells when a row was lost,
//! exchanged or changed.

use std::collections::HashMap;

use orch_core::{DeliveryState, Usage};
use rusqlite::{Connection, params};
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

/// The rows that are in the tables, by the hash of each, so that the digest can follow.
#[derive(Debug, Default)]
pub(super) struct Written {
    by_key: HashMap<Key, u64>,
    pub(super) digest: DigestSum,
}

impl Written {
    /// Counts a row that is in a table.
    pub(super) fn put(&mut self, key: Key, hash: u64) {
        self.digest.n_rows += 1;
        self.digest.sum = self.digest.sum.wrapping_add(hash);
        if let Some(former) = self.by_key.insert(key, hash) {
            self.forget(former);
        }
    }

    fn remove(&mut self, key: &Key) -> bool {
        let former = self.by_key.remove(key);
        former.inspect(|former| self.forget(*former)).is_some()
    }

    fn forget(&mut self, hash: u64) {
        self.digest.n_rows -= 1;
        self.digest.sum = self.digest.sum.wrapping_sub(hash);
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
    u64::from(crc32c::crc32c(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
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
            Key::Delivery(_, id) => state.deliveries.get(id).map(Self::mailbox),
            Key::Dedup(seq) => dedup(state, *seq),
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

    fn step(event: Seq, key: &crate::record::StepKey, step: &Step) -> Self {
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

    /// What the digest counts of it.
    pub(super) fn hash(&self) -> u64 {
        hash(&self.bytes())
    }

    /// One way to write it down, in the format of the file: a table, then each column.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        let mut put = |number: i64| bytes.extend(number.to_le_bytes());
        let or = |optional: &Option<i64>| optional.unwrap_or(0);
        match self {
            Self::Mailbox { event, place, attempt, running, ready_at, run, round, errors } => {
                let flags = i64::from(*running) + 2 * i64::from(errors.is_some());
                [1, *event, *place, i64::from(*attempt), flags, *ready_at, *run, *round]
                    .into_iter()
                    .for_each(put);
                bytes.extend(errors.as_deref().unwrap_or_default().as_bytes());
            }
            Self::Dedup { event, message } => {
                [2, *event].into_iter().for_each(put);
                bytes.extend(message);
            }
            Self::Step { event, n, message, first, decided, started, answered } => {
                let started = started.map_or(0, |idempotent| 1 + i64::from(idempotent));
                [3, *event, i64::from(*n), *first, or(decided), started, or(answered)]
                    .into_iter()
                    .for_each(put);
                bytes.extend(message);
            }
            Self::Live { kind, key, value } => {
                put(4);
                put(*kind);
                put(key.len() as i64);
                bytes.extend(key);
                bytes.extend(value.as_bytes());
            }
        }
        bytes
    }

    fn upsert(&self, db: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Mailbox { event, place, attempt, running, ready_at, run, round, errors } => {
                let sql = "INSERT OR REPLACE INTO mailbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
                let row = params![event, place, attempt, running, ready_at, run, round, errors];
                db.prepare_cached(sql)?.execute(row)?;
            }
            Self::Dedup { event, message } => {
                let sql = "INSERT OR REPLACE INTO dedup VALUES (?, ?)";
                db.prepare_cached(sql)?.execute(params![event, message])?;
            }
            Self::Step { event, n, message, first, decided, started, answered } => {
                let sql = "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?, ?, ?)";
                let row = params![event, n, message, first, decided, started, answered];
                db.prepare_cached(sql)?.execute(row)?;
            }
            Self::Live { kind, key, value } => {
                let sql = "INSERT OR REPLACE INTO live VALUES (?, ?, ?)";
                db.prepare_cached(sql)?.execute(params![kind, key, value])?;
            }
        }
        Ok(())
    }
}

fn dedup(state: &State, seq: Seq) -> Option<Row> {
    let order = &state.dedup.order;
    let index = order.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
    let message = *order.get(index)?.1.as_uuid().as_bytes();
    Some(Row::Dedup { event: number(seq), message })
}

/// The place of a key in the table `live`; `None` if it has a table of its own.
fn live_key(key: &Key) -> Option<(LiveKind, Vec<u8>)> {
    let seq = |seq: &Seq| seq.0.to_be_bytes().to_vec();
    Some(match key {
        Key::Delivery(..) | Key::Dedup(_) | Key::Step(..) => return None,
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
    for key in keys {
        match Row::of(state, &key) {
            Some(row) => {
                row.upsert(db)?;
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
    Ok(())
}

fn delete(db: &Connection, key: &Key) -> rusqlite::Result<()> {
    match key {
        Key::Delivery(seq, _) => {
            db.prepare_cached("DELETE FROM mailbox WHERE event = ?")?.execute([number(*seq)])?;
        }
        Key::Dedup(seq) => {
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
