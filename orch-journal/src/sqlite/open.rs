//! Opening a file: what is looked at first, and what SQLite is told.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::Live;
use super::content::Conversations;
use super::error::{OpenError, Phase, store_error};
use super::event::{self, COLUMNS, RowHash};
use super::heads::Heads;
use super::load::{self, Tip};
use super::lock::{beside, io_error, private};
use super::rows::Written;
use super::schema::{self, Kind};
use super::wal::{self, WalReport};
use crate::record::Seq;
use crate::state::State;
use crate::store::StoreError;

/// When a commit is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has said that it has it. Survives the loss of power, on a disk that keeps its
    /// word.
    #[default]
    Sync,
    /// Once the operating system has it. Survives `kill -9`; the loss of power may take the last
    /// commits, and may leave a WAL that is taken for damaged.
    Os,
    /// As `Os`, and the loss of power may take the whole file.
    Off,
}

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    durability: Durability,
    cuts_damage: bool,
    vfs: Option<String>,
    checkpoint_frames: i64,
}

/// Frames of the WAL after which its pages go into the file, some 16 MiB.
const CHECKPOINT_FRAMES: i64 = 4_000;

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            cuts_damage: false,
            vfs: None,
            checkpoint_frames: CHECKPOINT_FRAMES,
        }
    }
}

impl SqliteOptions {
    /// [`Durability::Sync`], and damage is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when a commit is done.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Takes the first damaged frame of the WAL for its end, and so gives up all transactions behind
    /// it: for an operator who has read [`OpenError::Damaged`] and has no better copy.
    #[must_use]
    pub fn cutting_damage(mut self) -> Self {
        self.cuts_damage = true;
        self
    }

    /// Goes through another VFS of SQLite: for tests, whose disks fail.
    #[doc(hidden)]
    #[must_use]
    pub fn with_vfs(mut self, name: impl Into<String>) -> Self {
        self.vfs = Some(name.into());
        self
    }

    /// Moves the WAL's pages into the file after so many frames: for tests, which write few.
    #[doc(hidden)]
    #[must_use]
    pub fn with_checkpoint_after(mut self, n_frames: i64) -> Self {
        self.checkpoint_frames = n_frames;
        self
    }
}

impl Live {
    pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let wal = look_at_wal(path, options)?;
        make_file(path)?;
        refuse_lost_file(path, wal)?;
        let db = connect(path, options)?;
        if schema::check(&db, &name)? == Kind::Empty {
            schema::create(&db)?;
        }
        configure(&db, options)?;
        let live = Self::load(db, wal).map_err(|error| open_error(&name, error))?;
        // What an earlier process could not sync is written and synced anew; and the WAL is empty
        // before anything is appended, so that nothing old stands behind what is new.
        live.db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| open_error(&name, store_error(&error, Phase::Before)))?;
        Ok(live)
    }

    fn load(db: Connection, wal: WalReport) -> Result<Self, StoreError> {
        let conversations = Conversations::default();
        let hash = check_end(&db)?;
        let (state, written) = match Tip::read(&db)? {
            Some(tip) => load::load(&db, &tip)?,
            None => (State::new(), Written::default()),
        };
        let heads = Heads::load(&db)?;
        check_heads(&heads, &Tip::read(&db)?.unwrap_or_default())?;
        Ok(Self { db, state, written, heads, conversations, hash, wal })
    }
}

pub(super) fn check_heads(heads: &Heads, tip: &Tip) -> Result<(), StoreError> {
    if heads.digest == tip.heads {
        return Ok(());
    }
    let what = "rows were lost or changed: they do not add up to what was written";
    Err(StoreError::damaged("the table agent", what))
}

/// Compares the last event with what the tip says of it. Its hash.
pub(super) fn check_end(db: &Connection) -> Result<RowHash, StoreError> {
    let tip = Tip::read(db)?;
    let sql = format!("SELECT {COLUMNS} FROM event AS e ORDER BY e.seq DESC LIMIT 1");
    let mut last = db.prepare(&sql)?;
    let mut rows = last.query([])?;
    let last = rows.next()?.map(event::read).transpose()?;
    let found =
        last.as_ref().map_or((Seq(0), RowHash::default()), |it| (it.fields.seq, it.seal.hash));
    let expected = tip.map_or((Seq(0), RowHash::default()), |it| (it.seq, it.hash));
    if found != expected {
        return Err(StoreError::damaged(
            expected.0,
            "the journal ends elsewhere, or it was changed",
        ));
    }
    Ok(found.1)
}

pub(super) fn look_at_wal(path: &Path, options: &SqliteOptions) -> Result<WalReport, OpenError> {
    let wal_path = beside(path, "-wal");
    match wal::scan(&wal_path).map_err(|error| io_error(&wal_path, &error))? {
        Ok(report) => Ok(report),
        Err(_) if options.cuts_damage => Ok(WalReport { n_committed: 0, torn: true }),
        Err(damage) => Err(OpenError::Damaged {
            path: wal_path.display().to_string(),
            place: format!("frame {} (offset {})", damage.frame, damage.offset),
            what: damage.what.to_owned(),
        }),
    }
}

/// An empty file is a new journal, and SQLite would throw its WAL away.
fn refuse_lost_file(path: &Path, wal: WalReport) -> Result<(), OpenError> {
    let length = std::fs::metadata(path).map_err(|error| io_error(path, &error))?.len();
    if length == 0 && wal.n_committed > 0 {
        let what = "it is empty, but its WAL has transactions".to_owned();
        let (path, place) = (path.display().to_string(), "its beginning".to_owned());
        return Err(OpenError::Damaged { path, place, what });
    }
    Ok(())
}

/// SQLite would make it readable for everybody whom the process's mask lets.
fn make_file(path: &Path) -> Result<(), OpenError> {
    if path.exists() {
        return Ok(());
    }
    private().open(path).map_err(|error| io_error(path, &error))?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // The name itself must survive too.
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| io_error(folder, &error))
}

fn connect(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(path, flags)?,
    };
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn configure(db: &Connection, options: &SqliteOptions) -> Result<(), OpenError> {
    let synchronous = match options.durability {
        Durability::Sync if planted::skips_sync() => "OFF",
        Durability::Sync => "FULL",
        Durability::Os => "NORMAL",
        Durability::Off => "OFF",
    };
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA busy_timeout = 5000;"
    ))?;
    Ok(())
}

/// Moves pages from a long WAL into the file. Not within a commit: an error there would not say
/// whether the commit had landed.
pub(super) fn checkpoint_if_long(
    db: &Connection,
    path: &Path,
    options: &SqliteOptions,
) -> Result<(), StoreError> {
    let mut state = db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let (n_frames, n_moved) =
        state.query_row([], |row| Ok((row.get(1)?, row.get::<_, i64>(2)?)))?;
    let long: i64 = n_frames;
    if long - n_moved < options.checkpoint_frames {
        return Ok(());
    }
    let moved = db.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()));
    match moved.map_err(|error| store_error(&error, Phase::Commit)) {
        Ok(()) => Ok(()),
        // All of it is in the WAL still.
        Err(StoreError::Full(error)) => {
            tracing::warn!(target: "orch", path = %path.display(), error, "no space to move the WAL");
            Ok(())
        }
        Err(other) => Err(other),
    }
}

pub(super) fn file_bytes(path: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |it| it.len());
    length(path) + length(&beside(path, "-wal"))
}

fn open_error(path: &str, error: StoreError) -> OpenError {
    let path = path.to_owned();
    match error {
        StoreError::Damaged { place, what } => OpenError::Damaged { path, place, what },
        error => OpenError::Store { path, error },
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged { place, what, .. } => Self::Damaged { place, what },
            OpenError::Sqlite(error) => store_error(&error, Phase::Before),
            OpenError::Store { error, .. } => error,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// What harnesses must catch.
mod planted {
    #[cfg(feature = "planted")]
    pub(super) fn skips_sync() -> bool {
        crate::planted::is_planted(crate::planted::Plant::SkipSync)
    }

    #[cfg(not(feature = "planted"))]
    pub(super) const fn skips_sync() -> bool {
        false
    }
}
