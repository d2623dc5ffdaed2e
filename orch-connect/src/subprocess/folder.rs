//! The folder of a session: the program's HOME, TMPDIR and working folder.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use orch_core::AgentId;

/// A folder that only our user may enter. Removed when dropped; by then no process uses it, or its
/// keeper removes it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    mark: String,
}

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        // An id is new in this process and has random bits; and making a folder fails where one is,
        // or a link, so that nobody can have prepared it.
        let mark = AgentId::new().as_uuid().to_string();
        let path = std::path::absolute(std::env::temp_dir())?.join(format!("orch-{mark}"));
        let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        private(&path)?;
        let folder = Self { path, mark };
        for inner in [folder.home(), folder.tmp(), folder.work()] {
            private(&inner)?;
        }
        Ok(folder)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What no other session has.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.path.join("work")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.path.display(), %error, "a folder was left behind");
            }
            _ => {}
        }
    }
}
