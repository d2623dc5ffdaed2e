//! Questions to the table `event`.

use std::collections::HashSet;
use std::path::Path;

use orch_core::{AgentId, ChainId, MessageId, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, params};

use super::error::OpenError;
use super::event::{self, COLUMNS, Sealer};
use super::lock::{Lock, io_error};
use super::open::{SqliteOptions, look_at_wal};
use super::schema::{self, Kind};
use crate::record::{Entry, Record, Seq};
use crate::state::Run;
use crate::store::{Of, Stats, StoreError};

/// First and last event of a run; no last one while it is open.
type Range = (Seq, Option<(Seq, Timestamp)>);

/// Asks a journal that another process or thread may be writing. Sees what was committed when each
/// question began.
#[derive(Debug)]
pub struct SqliteReader {
    db: Connection,
}

impl SqliteReader {
    /// Opens a journal to ask it. It must be there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it is not there, or no journal.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        std::fs::metadata(path).map_err(|error| io_error(path, &error))?;
        // Only while nobody writes: a WAL that grows under the look has a torn end.
        if !matches!(Lock::take(path), Err(OpenError::InUse { .. })) {
            look_at_wal(path, &SqliteOptions::new())?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let name = path.display().to_string();
        match schema::check(&db, &name)? {
            Kind::Journal => Ok(Self { db }),
            Kind::Empty => Err(OpenError::NotAJournal { path: name }),
        }
    }

    /// At most `n_max` events, oldest first, from this number on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if one of them is not what was written.
    pub fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        events(&self.db, from, n_max)
    }

    /// The last `n_max` events of somebody or something, oldest first.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    pub fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        let range = self.runs()?;
        let range = |run: u64| range.iter().find(|it| it.run == run).map(|it| (it.first, it.ended));
        latest(&self.db, of, n_max, |agent| self.head(agent), range)
    }

    /// The runs, by number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>, StoreError> {
        let sql = "SELECT value FROM live WHERE kind = ? ORDER BY key";
        let mut all = self.db.prepare_cached(sql)?;
        let texts = all.query_map([super::rows::LiveKind::Run as i64], |row| row.get(0))?;
        let texts = texts.collect::<Result<Vec<String>, _>>()?;
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|error| StoreError::damaged("the table live", error))
        };
        texts.iter().map(read).collect()
    }

    fn head(&self, agent: AgentId) -> Result<Option<Seq>, StoreError> {
        let mut head = self.db.prepare_cached("SELECT head FROM agent WHERE id = ?")?;
        let id = agent.as_uuid();
        let head = head.query_row([id.as_bytes()], |row| row.get::<_, i64>(0)).optional()?;
        Ok(head.map(|it| Seq(it.cast_unsigned())))
    }
}

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
    let mut sealer = Sealer::default();
    let (mut found, mut next) = (Vec::new(), head);
    while let Some(seq) = next
        && found.len() < n_max
    {
        let Some(read) = event::one(&mut statement, seq, &mut sealer)? else {
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
    let messages: HashSet<MessageId> = candidates.iter().filter_map(of_chain).collect();
    let Some(first) = candidates.iter().find(|it| of_chain(it).is_some()) else {
        return Ok(Vec::new());
    };
    // Questions are asked before they are accepted, in the same set.
    let sql = "SELECT seq, message FROM event WHERE seq >= ? AND message IS NOT NULL \
               ORDER BY seq DESC";
    let mut all = db.prepare(sql)?;
    let mut rows = all.query([number(first.seq).saturating_sub(1_000)])?;
    let (mut seqs, mut sealer) = (Vec::new(), Sealer::default());
    while let Some(row) = rows.next()?
        && seqs.len() < n_max
    {
        let id = MessageId::from_uuid(uuid::Uuid::from_bytes(row.get(1)?));
        if messages.contains(&id) {
            seqs.push(Seq(row.get::<_, i64>(0)?.cast_unsigned()));
        }
    }
    seqs.into_iter().map(|seq| event::get(db, seq, &mut sealer)).collect()
}

fn select(db: &Connection, sql: &str, with: impl Params) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(with)?;
    let (mut found, mut sealer) = (Vec::new(), Sealer::default());
    while let Some(row) = rows.next()? {
        found.push(event::read(row, &mut sealer)?.entry(db)?);
    }
    Ok(found)
}

pub(super) fn count(db: &Connection, stats: &mut Stats) -> Result<(), StoreError> {
    let mut kinds = db.prepare_cached("SELECT kind, count(*) FROM event GROUP BY kind")?;
    let mut rows = kinds.query([])?;
    while let Some(row) = rows.next()? {
        let n: i64 = row.get(1)?;
        stats.n_by_kind.insert(Record::kind_name(row.get(0)?), n.cast_unsigned());
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
