//! One process writes a journal at a time.
//!
//! The lock is on a file of its own beside the journal: locks of SQLite end when any handle on the
//! journal is closed in this process, and a `flock` on it would say nothing to them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::OpenError;

/// Keeps a journal to this process until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// Who has a journal open to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The number of the process, if it left one.
    pub process: Option<u32>,
}

/// How often, and how long apart, a lock is tried that a look at it may be holding.
const LOOKS_MAX: u32 = 20;
const LOOK: Duration = Duration::from_millis(5);

impl Lock {
    pub(super) fn take(journal: &Path) -> Result<Self, OpenError> {
        let path = beside(journal, "-lock");
        let failed = |error: std::io::Error| io_error(&path, &error);
        let mut file = private().open(&path).map_err(failed)?;
        let mut n_looks = 0;
        while let Err(error) = file.try_lock() {
            let TryLockError::WouldBlock = error else { return Err(failed(error.into())) };
            let holder = process(&path);
            // A writer leaves its number; somebody who only looks does not, and is gone at once.
            if holder.is_some() || n_looks == LOOKS_MAX {
                return Err(OpenError::InUse { path: journal.display().to_string(), holder });
            }
            n_looks += 1;
            std::thread::sleep(LOOK);
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

/// Who holds the lock, without waiting for it. Nobody, where it cannot be told.
pub(super) fn writer(journal: &Path) -> Option<Writer> {
    let path = beside(journal, "-lock");
    let look = File::open(&path).ok()?.try_lock_shared();
    matches!(look, Err(TryLockError::WouldBlock)).then(|| Writer { process: process(&path) })
}

fn process(lock: &Path) -> Option<u32> {
    std::fs::read_to_string(lock).ok()?.trim().parse().ok()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file stays: whoever waits at it may have it open. Closing it unlocks it.
        let _ = self.file.set_len(0);
    }
}

/// Opens files that nobody but their owner reads, and makes them if they are missing.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The file that belongs to a journal under this ending.
pub(super) fn beside(journal: &Path, ending: &str) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(super) fn io_error(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Io { path: path.display().to_string(), what: error.to_string() }
}
