//! From a path to a team: the file is there, is a file, is text, and is not huge.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::problem::Problems;
use crate::team::{Team, TeamSource};
use crate::vars::Sets;

/// A team file has at most this many bytes.
pub const TEAM_FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a team cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is nothing at the path.
    #[error("{}: there is no such file", .0.display())]
    Missing(PathBuf),
    /// The path is a folder.
    #[error("{} is a folder; {hint}", .path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// What to name instead.
        hint: String,
    },
    /// The file is larger than any team.
    #[error("{} is larger than {TEAM_FILE_BYTES_MAX} bytes, which no team file is", .0.display())]
    TooLarge(PathBuf),
    /// The file is not text.
    #[error("{} is not a text file (line {line} is not UTF-8)", .path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
        /// The first line that is not, counted from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file says something wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

impl Team {
    /// Loads a team from its file, with `sets` in place of the defaults of its variables.
    ///
    /// Blocks while it reads the file, which has at most [`TEAM_FILE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; every problem of the file at once.
    pub fn load(path: &Path, sets: &Sets) -> Result<Self, LoadError> {
        let text = read(path)?;
        let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        let folder = absolute.parent().unwrap_or(&absolute).to_owned();
        let file = path.display().to_string();
        Ok(Self::parse(TeamSource { file, folder, text }, sets)?)
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
        _ => LoadError::Unreadable { path: path.to_owned(), error },
    };
    let meta = fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err(LoadError::Folder { path: path.to_owned(), hint: hint(path) });
    }
    let mut bytes = Vec::new();
    // Bounded while reading too: a device or a pipe tells no length.
    let mut bounded = File::open(path).map_err(unreadable)?.take(TEAM_FILE_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if TEAM_FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(LoadError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        LoadError::NotUtf8 { path: path.to_owned(), line }
    })
}

/// What to name instead of a folder.
fn hint(folder: &Path) -> String {
    let file = folder.join("team.toml");
    if file.is_file() {
        return format!("did you mean {}?", file.display());
    }
    "name the team file in it".to_owned()
}
