//! Checks all of a journal.

use rusqlite::{Connection, OptionalExtension};

use super::event::{self, COLUMNS, RowHash};
use super::query::number;
use crate::record::{Entry, Seq};
use crate::state::State;
use crate::store::StoreError;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Events that were read and found in order.
    pub n_events: u64,
    /// Events that were pruned.
    pub n_pruned: u64,
    /// Whether the derived tables were compared with the fold of all events: only if none was pruned.
    pub folded: bool,
}

pub(super) fn verify(
    db: &Connection,
    state: &State,
    last_hash: RowHash,
) -> Result<Verified, StoreError> {
    check_pages(db)?;
    let mut verifier = Verifier { db, verified: Verified::default(), fold: Some(State::new()) };
    let hash = verifier.events()?;
    if hash != last_hash {
        return Err(StoreError::damaged(state.last(), "the journal ends elsewhere"));
    }
    if verifier.fold.as_ref().is_some_and(|fold| fold != state) {
        let what = "they are not the fold of the events";
        return Err(StoreError::damaged("the derived tables", what));
    }
    check_contents(db)?;
    let folded = verifier.fold.is_some();
    Ok(Verified { folded, ..verifier.verified })
}

struct Verifier<'a> {
    db: &'a Connection,
    verified: Verified,
    /// `None` once an event is known to be missing on purpose.
    fold: Option<State>,
}

impl Verifier<'_> {
    /// The hash of the last event.
    fn events(&mut self) -> Result<RowHash, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM event AS e ORDER BY e.seq");
        let mut all = self.db.prepare(&sql)?;
        let mut rows = all.query([])?;
        let (mut next, mut hash) = (Seq(1), RowHash::default());
        while let Some(row) = rows.next()? {
            let read = event::read(row)?;
            let (seq, seal) = (read.fields.seq, read.seal);
            while next != seq {
                (next, hash) = self.pruned(next)?;
                self.fold = None;
            }
            if read.before != hash {
                return Err(StoreError::damaged(seq, "it does not follow the event before it"));
            }
            let entry = read.entry(self.db)?;
            self.fold(&entry)?;
            self.verified.n_events += 1;
            (next, hash) = (seq.next(), seal.hash);
        }
        Ok(hash)
    }

    fn fold(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let Some(fold) = &mut self.fold else { return Ok(()) };
        let applied = fold.apply(entry);
        fold.take_touched();
        applied.map_err(|illegal| StoreError::damaged(entry.seq, illegal))
    }

    /// The event after a range that was pruned, and the hash that it must follow.
    fn pruned(&mut self, first: Seq) -> Result<(Seq, RowHash), StoreError> {
        let sql = "SELECT last, hash FROM pruned WHERE first = ?";
        let mut range = self.db.prepare_cached(sql)?;
        let range = range.query_row([number(first)], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        });
        let (last, hash) =
            range.optional()?.ok_or_else(|| StoreError::damaged(first, "it is missing"))?;
        if last < first.0 {
            return Err(StoreError::damaged("the table pruned", "a range ends before it begins"));
        }
        self.verified.n_pruned += last + 1 - first.0;
        Ok((Seq(last + 1), hash))
    }
}

/// What SQLite itself can say.
fn check_pages(db: &Connection) -> Result<(), StoreError> {
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::damaged("a page of the file", said)) }
}

/// Counts again who refers to each content.
fn check_contents(db: &Connection) -> Result<(), StoreError> {
    let sql = "WITH used(number, n) AS (SELECT number, sum(n) FROM (\
         SELECT content AS number, count(*) AS n FROM event WHERE content IS NOT NULL GROUP BY 1 \
         UNION ALL SELECT base, count(*) FROM content WHERE base IS NOT NULL GROUP BY 1) GROUP BY 1) \
         SELECT c.number FROM content AS c LEFT JOIN used USING (number) \
         WHERE c.refs <> coalesce(n, 0) LIMIT 1";
    let wrong: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    match wrong {
        None => Ok(()),
        Some(number) => {
            let what = "it is not referred to as often as it says";
            Err(StoreError::damaged(format!("content {number}"), what))
        }
    }
}
