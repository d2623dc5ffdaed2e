//! Why a journal does not open, and what SQLite's errors mean for a store.

use rusqlite::ErrorCode;

use crate::state::Illegal;
use crate::store::StoreError;

/// Why a journal was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or this one a second time.
    #[error("{path} is in use{}", holder_text(.holder))]
    InUse {
        /// The file.
        path: String,
        /// The number of the process, if it left one.
        holder: Option<u32>,
    },
    /// The file is something else.
    #[error("{path} is no journal")]
    NotAJournal {
        /// The file.
        path: String,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format {found}, and this program knows none above {known}: open it with a newer one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// A program wrote it that is older than the first release.
    #[error("{path} has format {found}, which was never released: begin a new journal")]
    Older {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
    },
    /// What is in the file is not what was written.
    #[error("{path} is damaged at {place}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// Where.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// The file cannot be read or written.
    #[error("failed to open {path}: {what}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        what: String,
    },
    /// The disk fails, or is full.
    #[error("failed to open {path}: {error}")]
    Store {
        /// The file.
        path: String,
        /// What went wrong.
        error: StoreError,
    },
    /// SQLite refuses.
    #[error("failed to read the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

fn holder_text(holder: &Option<u32>) -> String {
    holder.map_or_else(|| " by another process".to_owned(), |pid| format!(" by process {pid}"))
}

/// The code of SQLite for a sync that failed, with what it belongs to.
const IOERR_FSYNC: i32 = 1034;
const IOERR_DIR_FSYNC: i32 = 1290;

/// Where in a transaction an error came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the commit: nothing can have landed.
    Before,
    /// In the commit.
    Commit,
}

pub(super) fn store_error(error: &rusqlite::Error, phase: Phase) -> StoreError {
    let text = error.to_string();
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return StoreError::Failed(text);
    };
    match code.code {
        // The frame that would commit was not written, or not whole.
        ErrorCode::DiskFull => StoreError::Full(text),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::damaged("a page of the file", text)
        }
        _ if is_sync(code.extended_code) || phase == Phase::Commit => StoreError::Uncertain(text),
        _ => StoreError::Failed(text),
    }
}

fn is_sync(extended: i32) -> bool {
    [IOERR_FSYNC, IOERR_DIR_FSYNC].contains(&extended)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        store_error(&error, Phase::Before)
    }
}

/// Why a transaction broke off.
#[derive(Debug)]
pub(super) enum Broken {
    Store(StoreError),
    /// This set cannot have happened.
    Illegal(usize, Illegal),
}

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
