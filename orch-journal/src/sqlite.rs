//! The store on disk: one SQLite file.
//!
//! SQLite's own files beside it are `FILE-wal` and `FILE-shm`; `FILE-lock` keeps other writers away.

mod append;
mod content;
mod error;
mod event;
mod heads;
mod load;
mod lock;
mod open;
mod prune;
mod query;
mod reader;
mod rows;
mod schema;
mod verify;
mod wal;

use std::path::{Path, PathBuf};

use orch_core::Timestamp;
use rusqlite::Connection;

pub use error::OpenError;
pub use lock::Writer;
pub use open::{Durability, SqliteOptions};
pub use reader::SqliteReader;
pub use schema::FORMAT_VERSION;
pub use verify::Verified;
pub use wal::WalReport;

use self::content::Conversations;
use self::error::{Broken, Phase, store_error};
use self::event::RowHash;
use self::heads::Heads;
use self::lock::Lock;
use self::rows::Written;
use crate::prepared::Prepared;
use crate::record::{Entry, Seq};
use crate::state::{Illegal, State};
use crate::store::{Of, Pruned, Stats, Store, StoreError};

/// Keeps events in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    options: SqliteOptions,
    /// `None` between an error and the next [`Store::reopen`].
    live: Option<Live>,
    /// What `live` says while there is none.
    nothing: State,
    /// Invariant: outlives `live`. Dropped last.
    _lock: Lock,
}

/// What belongs to one opening of the file.
#[derive(Debug)]
struct Live {
    db: Connection,
    state: State,
    written: Written,
    heads: Heads,
    conversations: Conversations,
    /// The hash of the last event.
    hash: RowHash,
    /// What the WAL held when it was opened.
    wal: WalReport,
}

impl SqliteStore {
    /// Opens a journal, or makes it, with mode 0600.
    ///
    /// The live part is checked on the way: see [`verify`](Self::verify) for all of it. A tail of
    /// the WAL that never became a transaction is cut.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let lock = Lock::take(&path)?;
        let live = Live::open(&path, &options)?;
        Ok(Self { path, options, live: Some(live), nothing: State::new(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stood in the WAL when the file was opened last.
    #[must_use]
    pub fn wal_report(&self) -> WalReport {
        self.live.as_ref().map_or_else(WalReport::default, |it| it.wal)
    }

    /// Checks every event, every hash, every content, and that the derived tables are the fold of the
    /// events, as far as nothing was pruned.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] with the first place that is wrong.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let live = self.live()?;
        verify::verify(&live.db, &live.state, live.hash)
    }

    fn live(&self) -> Result<&Live, StoreError> {
        self.live.as_ref().ok_or_else(closed)
    }

    fn live_mut(&mut self) -> Result<&mut Live, StoreError> {
        self.live.as_mut().ok_or_else(closed)
    }

    /// Whatever failed, what is in memory may be ahead of the file.
    fn close_on_error<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.live = None;
        }
        result
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the journal is closed after an error".to_owned())
}

impl Store for SqliteStore {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        let mut refused: Vec<Option<Illegal>> = vec![None; sets.len()];
        // A set that is refused half-way costs a reload, and it is a mistake of the program.
        loop {
            match self.live_mut()?.append(sets, &refused) {
                Ok(answers) => return Ok(answers),
                Err(Broken::Illegal(index, illegal)) => {
                    refused[index] = Some(illegal);
                    self.reopen()?;
                }
                Err(Broken::Store(error)) => return self.close_on_error(Err(error)),
            }
        }
    }

    fn state(&self) -> &State {
        self.live.as_ref().map_or(&self.nothing, |live| &live.state)
    }

    fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        query::events(&self.live()?.db, from, n_max)
    }

    fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        let live = self.live()?;
        let run = |run: u64| live.state.runs().get(&run).map(|it| (it.first, it.ended));
        query::latest(&live.db, of, n_max, |agent| Ok(live.heads.head(agent)), run)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let live = self.live()?;
        let mut stats = Stats::of(&live.state);
        query::count(&live.db, &mut stats)?;
        stats.file_bytes = open::file_bytes(&self.path);
        Ok(stats)
    }

    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError> {
        let live = self.live_mut()?;
        let pruned = prune::prune(&live.db, &live.state, before, n_max);
        self.close_on_error(pruned)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        // The former handle is closed first: it may hold locks, and a failed one holds old pages.
        self.live = None;
        let live = Live::open(&self.path, &self.options).map_err(StoreError::from)?;
        self.live = Some(live);
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        let Some(live) = &self.live else { return Ok(()) };
        let result = open::checkpoint_if_long(&live.db, &self.path, &self.options);
        self.close_on_error(result)
    }
}

fn begin(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())
}

fn commit(db: &Connection) -> Result<(), StoreError> {
    let done = db.prepare_cached("COMMIT").and_then(|mut it| it.execute([]));
    done.map(|_| ()).map_err(|error| store_error(&error, Phase::Commit))
}
