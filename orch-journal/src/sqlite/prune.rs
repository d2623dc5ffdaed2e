//! Removes events of finished runs, so many at a time.

use orch_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::content;
use super::error::{Phase, store_error};
use super::event::{self, COLUMNS, RowHash};
use super::query::number;
use crate::record::Seq;
use crate::state::State;
use crate::store::{Pruned, StoreError};

pub(super) fn prune(
    db: &Connection,
    state: &State,
    before: Timestamp,
    n_max: usize,
) -> Result<Pruned, StoreError> {
    let done = super::begin(db).map_err(StoreError::from).and_then(|()| {
        let pruned = within(db, state, before, n_max)?;
        super::commit(db)?;
        Ok(pruned)
    });
    if done.is_err() {
        // SQLite may have rolled back by itself; what failed is the error that counts.
        let _ = db.execute_batch("ROLLBACK");
        return done;
    }
    // Pages that hold nothing any more go back to the file system, also a bounded number of them.
    db.execute_batch("PRAGMA incremental_vacuum(2000)")
        .map_err(|error| store_error(&error, Phase::Commit))?;
    done
}

fn within(
    db: &Connection,
    state: &State,
    before: Timestamp,
    n_max: usize,
) -> Result<Pruned, StoreError> {
    let live = state.referred();
    let mut n_removed = 0;
    for (first, last) in state.finished_before(before) {
        let sql =
            format!("SELECT {COLUMNS} FROM event AS e WHERE e.seq BETWEEN ? AND ? ORDER BY e.seq");
        let mut events = db.prepare_cached(&sql)?;
        let mut rows = events.query(params![number(first), number(last)])?;
        while let Some(row) = rows.next()? {
            let read = event::read(row)?;
            let seq = read.fields.seq;
            if live.contains(&seq) {
                continue;
            }
            if n_removed == n_max {
                return Ok(Pruned { n_removed, more: true });
            }
            db.prepare_cached("DELETE FROM event WHERE seq = ?")?.execute([number(seq)])?;
            if let Some((content, _)) = read.fields.content {
                content::release(db, content)?;
            }
            note(db, seq, &read.seal.hash)?;
            n_removed += 1;
        }
    }
    Ok(Pruned { n_removed, more: false })
}

/// Notes that an event was removed, with its hash, so that the chain of hashes goes on behind it.
fn note(db: &Connection, seq: Seq, hash: &RowHash) -> rusqlite::Result<()> {
    let sql = "SELECT first FROM pruned WHERE last = ?";
    let mut former = db.prepare_cached(sql)?;
    let former = former.query_row([number(seq) - 1], |row| row.get::<_, i64>(0)).optional()?;
    let first = former.unwrap_or_else(|| number(seq));
    let sql = "INSERT OR REPLACE INTO pruned(first, last, hash) VALUES (?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![first, number(seq), hash])?;
    Ok(())
}
