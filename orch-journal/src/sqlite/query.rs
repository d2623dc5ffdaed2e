//! Questions to the table `event`.

use std::collections::HashSet;

use orch_core::{AgentId, ChainId, IdState, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::event::{self, COLUMNS};
use crate::record::{Entry, Record, Seq};
use crate::store::{Of, Stats, StoreError};

type IdSet = HashSet<MessageId, IdState>;

/// First and last event of a run; no last one while it is open.
type Range = (Seq, Option<(Seq, Timestamp)>);

pub(super) fn events(db: &Connection, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM event AS e WHERE e.seq >= ? ORDER BY e.seq LIMIT ?");
    let found = select(db, &sql, params![number(from), limit(n_max)])?;
    for pair in found.windows(2) {
        if let [one, next] = pair
            && next.seq != one.seq.next()
            && !is_pruned(db, one.seq.next(), next.seq)?
        {
            return Err(StoreError::damaged(one.seq.next(), "it is missing"));
        }
    }
    Ok(found)
}

/// Whether all events from `from` up to `to`, without that, were pruned.
pub(super) fn is_pruned(db: &Connection, from: Seq, to: Seq) -> rusqlite::Result<bool> {
    let sql = "SELECT last FROM pruned WHERE first <= ?1 AND last >= ?1";
    let mut range = db.prepare_cached(sql)?;
    let mut next = number(from);
    while next < number(to) {
        match range.query_row([next], |row| row.get::<_, i64>(0)).optional()? {
            Some(last) => next = last + 1,
            None => return Ok(false),
        }
    }
    Ok(true)
}

pub(super) fn latest(
    db: &Connection,
    of: Of,
    n_max: usize,
    head: impl FnOnce(AgentId) -> Result<Option<Seq>, StoreError>,
    run: impl FnOnce(u64) -> Option<Range>,
) -> Result<Vec<Entry>, StoreError> {
    let mut found = match of {
        Of::All => between(db, Seq(0), None, n_max)?,
        Of::Run(number) => match run(number) {
            Some((first, ended)) => between(db, first, ended.map(|(last, _)| last), n_max)?,
            None => Vec::new(),
        },
        Of::Agent(agent) => of_agent(db, head(agent)?, n_max)?,
        Of::Message(message) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM event AS e WHERE e.message = ? ORDER BY e.seq DESC LIMIT ?"
            );
            select(db, &sql, params![message.as_uuid().as_bytes(), limit(n_max)])?
        }
        Of::Chain(chain) => of_chain(db, chain, n_max)?,
    };
    found.reverse();
    Ok(found)
}

fn between(
    db: &Connection,
    first: Seq,
    last: Option<Seq>,
    n_max: usize,
) -> Result<Vec<Entry>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event AS e WHERE e.seq BETWEEN ? AND ? ORDER BY e.seq DESC LIMIT ?"
    );
    let last = last.map_or(i64::MAX, number);
    select(db, &sql, params![number(first), last, limit(n_max)])
}

/// Follows the links from the last event backwards. They end where events were pruned.
fn of_agent(db: &Connection, head: Option<Seq>, n_max: usize) -> Result<Vec<Entry>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM event AS e WHERE e.seq = ?");
    let mut statement = db.prepare_cached(&sql)?;
    let (mut found, mut next) = (Vec::new(), head);
    while let Some(seq) = next
        && found.len() < n_max
    {
        let Some(read) = event::one(&mut statement, seq)? else {
            if is_pruned(db, seq, seq.next())? {
                break;
            }
            return Err(StoreError::damaged(seq, "it is missing"));
        };
        next = read.fields.prev.map(|prev| Seq(prev.cast_unsigned()));
        found.push(read.entry(db)?);
    }
    Ok(found)
}

fn of_chain(db: &Connection, chain: ChainId, n_max: usize) -> Result<Vec<Entry>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event AS e WHERE e.kind = ? AND instr(e.body, ?) ORDER BY e.seq"
    );
    let candidates = select(db, &sql, params![Record::ACCEPTED, chain.as_uuid().to_string()])?;
    let of_chain = |entry: &Entry| match &entry.record {
        Record::Accepted { message, .. } if message.chain() == chain => Some(message.id()),
        _ => None,
    };
    let messages: IdSet = candidates.iter().filter_map(of_chain).collect();
    let Some(first) = candidates.iter().find(|it| of_chain(it).is_some()) else {
        return Ok(Vec::new());
    };
    // Questions are asked before they are accepted, in the same set.
    let sql = "SELECT seq, message FROM event WHERE seq >= ? AND message IS NOT NULL \
               ORDER BY seq DESC";
    let mut all = db.prepare(sql)?;
    let mut rows = all.query([number(first.seq).saturating_sub(1_000)])?;
    let mut seqs = Vec::new();
    while let Some(row) = rows.next()?
        && seqs.len() < n_max
    {
        let id = MessageId::from_uuid(uuid::Uuid::from_bytes(row.get(1)?));
        if messages.contains(&id) {
            seqs.push(Seq(row.get::<_, i64>(0)?.cast_unsigned()));
        }
    }
    seqs.into_iter().map(|seq| event::get(db, seq)).collect()
}

/// All registrations, by their index: it is for this number as it stands in the text.
pub(super) fn registrations(db: &Connection) -> Result<Vec<Entry>, StoreError> {
    let kind = Record::AGENT_REGISTERED;
    let sql = format!("SELECT {COLUMNS} FROM event AS e WHERE e.kind = {kind} ORDER BY e.seq");
    select(db, &sql, [])
}

/// The last messages that were accepted, by the event that did.
pub(super) fn recent_messages(db: &Connection) -> Result<Vec<(Seq, MessageId)>, StoreError> {
    let mut all = db.prepare_cached("SELECT event, message FROM dedup ORDER BY event")?;
    let mut rows = all.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = MessageId::from_uuid(uuid::Uuid::from_bytes(row.get(1)?));
        found.push((Seq(row.get::<_, i64>(0)?.cast_unsigned()), id));
    }
    Ok(found)
}

/// Messages with the first event that has each. Looks at every event.
pub(super) fn messages(db: &Connection) -> Result<Vec<(Seq, MessageId)>, StoreError> {
    let sql = "SELECT seq, message FROM event WHERE kind IN (?, ?) ORDER BY seq";
    let mut all = db.prepare_cached(sql)?;
    let mut rows = all.query(params![Record::ACCEPTED, Record::DEAD_LETTERED])?;
    // Grouped here: SQLite would sort them twice.
    let (mut found, mut known) = (Vec::new(), IdSet::default());
    while let Some(row) = rows.next()? {
        let id = MessageId::from_uuid(uuid::Uuid::from_bytes(row.get(1)?));
        if known.insert(id) {
            found.push((Seq(row.get::<_, i64>(0)?.cast_unsigned()), id));
        }
    }
    Ok(found)
}

fn select(db: &Connection, sql: &str, with: impl Params) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(with)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(event::read(row)?.entry(db)?);
    }
    Ok(found)
}

pub(super) fn count(db: &Connection, stats: &mut Stats) -> Result<(), StoreError> {
    // Counted here: SQLite would sort all of them.
    let mut kinds = db.prepare_cached("SELECT kind FROM event")?;
    let mut rows = kinds.query([])?;
    let mut n_by_kind = [0; 256];
    while let Some(row) = rows.next()? {
        n_by_kind[usize::from(row.get::<_, u8>(0)?)] += 1;
    }
    for (kind, n) in (0..=u8::MAX).zip(n_by_kind).filter(|(_, n)| *n > 0) {
        *stats.n_by_kind.entry(Record::kind_name(kind)).or_default() += n;
    }
    stats.n_events = stats.n_by_kind.values().sum();
    Ok(())
}

pub(super) fn number(seq: Seq) -> i64 {
    seq.0.cast_signed()
}

fn limit(n_max: usize) -> i64 {
    i64::try_from(n_max).unwrap_or(i64::MAX)
}
