//! What a walk asks the file system.

use std::io;
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    Missing,
    /// Something that is neither a folder nor a symbolic link.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, with its target as it is written in the link.
    Link(PathBuf),
}

/// Tells what stands where. Tests have one in memory; [`OsLinks`](super::OsLinks) is the real one.
pub trait Links {
    /// What stands at `path`, a link itself and not what it leads to.
    ///
    /// `path` is absolute, and all but its last component are folders that were asked for before.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from saying so. That nothing is there is no error, but [`Node::Missing`].
    fn kind(&self, path: &Path) -> io::Result<Node>;
}
