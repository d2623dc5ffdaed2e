//! Asks a journal that somebody else may be writing.

use std::path::{Path, PathBuf};

use orch_core::{AgentId, MessageId};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::error::OpenError;
use super::heads::Heads;
use super::load::{self, Tip};
use super::lock::{self, Writer, io_error};
use super::open::{self, SqliteOptions, look_at_wal};
use super::query;
use super::schema::{self, Kind};
use super::verify::{self, Verified};
use crate::record::{Entry, Seq};
use crate::state::{Run, State};
use crate::store::{Of, Stats, StoreError};

/// Asks a journal that another process or thread may be writing. Sees what was committed when each
/// question began.
#[derive(Debug)]
pub struct SqliteReader {
    db: Connection,
    path: PathBuf,
    writer: Option<Writer>,
}

impl SqliteReader {
    /// Opens a journal to ask it. It must be there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it is not there, or no journal.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        std::fs::metadata(&path).map_err(|error| io_error(&path, &error))?;
        let writer = lock::writer(&path);
        // Only while nobody writes: a WAL that grows under the look has a torn end.
        if writer.is_none()
            && let Err(error) = look_at_wal(&path, &SqliteOptions::new())
            && lock::writer(&path).is_none()
        {
            return Err(error);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let name = path.display().to_string();
        match schema::check(&db, &name)? {
            Kind::Journal => Ok(Self { db, path, writer }),
            Kind::Empty => Err(OpenError::NotAJournal { path: name }),
        }
    }

    /// Who had it open to write when this reader was opened.
    #[must_use]
    pub const fn writer(&self) -> Option<Writer> {
        self.writer
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// At most `n_max` events, oldest first, from this number on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if one of them is not what was written.
    pub fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| query::events(db, from, n_max))
    }

    /// The last `n_max` events of somebody or something, oldest first.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    pub fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| {
            let runs = runs(db)?;
            let run =
                |run: u64| runs.iter().find(|it| it.run == run).map(|it| (it.first, it.ended));
            query::latest(db, of, n_max, |agent| head(db, agent), run)
        })
    }

    /// The runs, by number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.read(runs)
    }

    /// All registrations, of agents that were retired too.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    pub fn registrations(&self) -> Result<Vec<Entry>, StoreError> {
        self.read(query::registrations)
    }

    /// The messages that were accepted last, as many as are known when they are sent again
    /// ([`DEDUP_WINDOW`](crate::DEDUP_WINDOW)), by the event that has each.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn recent_messages(&self) -> Result<Vec<(Seq, MessageId)>, StoreError> {
        self.read(query::recent_messages)
    }

    /// The messages that were accepted or given up, by the first event that has each. Looks at every
    /// event.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn messages(&self) -> Result<Vec<(Seq, MessageId)>, StoreError> {
        self.read(query::messages)
    }

    /// What is live after the last event.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the derived tables are not what was written.
    pub fn state(&self) -> Result<State, StoreError> {
        self.read(|db| Ok(state(db)?.0))
    }

    /// What is in it, in figures.
    ///
    /// # Errors
    ///
    /// As [`state`](Self::state).
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.read(|db| {
            let mut stats = Stats::of(&state(db)?.0);
            query::count(db, &mut stats)?;
            stats.file_bytes = open::file_bytes(&self.path);
            Ok(stats)
        })
    }

    /// As [`SqliteStore::verify`](crate::SqliteStore::verify). A writer goes on meanwhile, but its
    /// WAL grows until this is done.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] with the first place that is wrong.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        self.read(|db| {
            let (state, tip) = state(db)?;
            let tip = tip.unwrap_or_default();
            open::check_end(db)?;
            open::check_heads(&Heads::load(db)?, &tip)?;
            verify::verify(db, &state, tip.hash)
        })
    }

    /// One view of the file, whatever is committed or pruned meanwhile.
    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let view = self.db.unchecked_transaction()?;
        question(&view)
    }
}

fn state(db: &Connection) -> Result<(State, Option<Tip>), StoreError> {
    match Tip::read(db)? {
        Some(tip) => Ok((load::load(db, &tip)?.0, Some(tip))),
        None => Ok((State::new(), None)),
    }
}

fn runs(db: &Connection) -> Result<Vec<Run>, StoreError> {
    let sql = "SELECT value FROM live WHERE kind = ? ORDER BY key";
    let mut all = db.prepare_cached(sql)?;
    let texts = all.query_map([super::rows::LiveKind::Run as i64], |row| row.get(0))?;
    let texts = texts.collect::<Result<Vec<String>, _>>()?;
    let read = |text: &String| {
        serde_json::from_str(text).map_err(|error| StoreError::damaged("the table live", error))
    };
    texts.iter().map(read).collect()
}

fn head(db: &Connection, agent: AgentId) -> Result<Option<Seq>, StoreError> {
    let mut head = db.prepare_cached("SELECT head FROM agent WHERE id = ?")?;
    let id = agent.as_uuid();
    let head = head.query_row([id.as_bytes()], |row| row.get::<_, i64>(0)).optional()?;
    Ok(head.map(|it| Seq(it.cast_unsigned())))
}
