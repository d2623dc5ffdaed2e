//! Finds a program as the child would, so that a missing one is found before anything runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::env;
use super::settings::ProgramSettings;
use crate::ConnectError;

/// The file of the program: searched in the PATH that it will see, or, if its name has a slash,
/// relative to `cwd` (to the host's folder, if there is none).
pub(super) fn find(settings: &ProgramSettings) -> Result<PathBuf, ConnectError> {
    let name = settings.program.as_str();
    if name.contains('/') {
        return beside(settings);
    }
    let path = env::path(settings);
    let searched = format!("PATH {}", path.to_string_lossy());
    let mut seen = None;
    // A relative folder would mean another place for the child than for us.
    for folder in std::env::split_paths(&path).filter(|folder| folder.is_absolute()) {
        let file = folder.join(name);
        match problem(&file) {
            None => return Ok(file),
            Some(Problem::Missing) => {}
            Some(other) => seen = seen.or(Some((file, other))),
        }
    }
    Err(missing(name, &searched, seen))
}

fn beside(settings: &ProgramSettings) -> Result<PathBuf, ConnectError> {
    let name = settings.program.as_str();
    let file = match &settings.cwd {
        Some(cwd) => cwd.join(name),
        None => std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name)),
    };
    check_file(&file, name, &file.to_string_lossy()).map(|()| file)
}

/// Checks that this file can be executed.
pub(super) fn check_file(file: &Path, name: &str, searched: &str) -> Result<(), ConnectError> {
    match problem(file) {
        None => Ok(()),
        Some(Problem::Missing) => Err(missing(name, searched, None)),
        Some(other) => Err(missing(name, searched, Some((file.to_owned(), other)))),
    }
}

enum Problem {
    Missing,
    Folder,
    NotExecutable,
}

fn problem(file: &Path) -> Option<Problem> {
    match std::fs::metadata(file) {
        Err(_) => Some(Problem::Missing),
        Ok(found) if found.is_dir() => Some(Problem::Folder),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some(Problem::NotExecutable),
        Ok(_) => None,
    }
}

fn missing(name: &str, searched: &str, seen: Option<(PathBuf, Problem)>) -> ConnectError {
    let searched = match seen {
        Some((file, Problem::Folder)) => format!("{searched}; {} is a folder", file.display()),
        Some((file, _)) => format!("{searched}; {} is not executable", file.display()),
        None => searched.to_owned(),
    };
    ConnectError::MissingProgram { program: name.to_owned(), searched }
}
