//! One process writes a journal at a time.
//!
//! The lock is on a file of its own beside the journal: locks of SQLite end when any handle on the
//! journal is closed in this process, and a `flock` on it would say nothing to them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// Keeps a journal to this process until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn take(journal: &Path) -> Result<Self, OpenError> {
        let path = beside(journal, "-lock");
        let failed = |error: std::io::Error| io_error(&path, &error);
        let mut file = private().open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it is told if it can be; that it is held is certain.
                let _ = file.read_to_string(&mut text);
                let holder = text.trim().parse().ok();
                return Err(OpenError::InUse { path: journal.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
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
