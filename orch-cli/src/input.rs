//! What a team works on: files, standard input, or texts.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use orch_runtime::Content;

/// Why an input cannot be used. Nothing was started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadInput {
    Missing(String),
    Folder(String),
    Unreadable { name: String, error: String },
    TooLarge { name: String, bytes: u64, limit: usize },
    NotUtf8 { name: String, byte: usize },
    Empty(String),
}

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => write!(
                f,
                "input `{name}` is no file: check the path, or write `text:{name}` if it is a text"
            ),
            Self::Folder(name) => write!(f, "input `{name}` is a folder: name a file in it"),
            Self::Unreadable { name, error } => write!(f, "input `{name}` cannot be read: {error}"),
            Self::TooLarge { name, bytes, limit } => write!(
                f,
                "input `{name}` has {bytes} bytes or more, the limit of a message is {limit}: \
                 split it, or give the team its path as text"
            ),
            Self::NotUtf8 { name, byte } => write!(
                f,
                "input `{name}` is not UTF-8 text (at byte {byte}): agents pass text; \
                 give the team its path as text"
            ),
            Self::Empty(name) => write!(f, "input `{name}` is empty: there is nothing to work on"),
        }
    }
}

/// Reads all inputs, each with at most `limit` bytes.
pub(crate) fn read_all(inputs: &[String], limit: usize) -> Result<Vec<Content>, BadInput> {
    inputs.iter().map(|input| read(input, limit)).collect()
}

fn read(input: &str, limit: usize) -> Result<Content, BadInput> {
    if let Some(text) = input.strip_prefix("text:") {
        return content("text:", text.as_bytes().to_vec(), limit);
    }
    if input == "-" {
        return read_from("-", io::stdin().lock(), limit);
    }
    match fs::metadata(input) {
        Ok(meta) if meta.is_dir() => Err(BadInput::Folder(input.to_owned())),
        Ok(meta) if meta.len() > limit as u64 => Err(too_large(input, meta.len(), limit)),
        Ok(_) => match fs::File::open(input) {
            Ok(file) => read_from(input, file, limit),
            Err(error) => Err(unreadable(input, &error)),
        },
        Err(_) if looks_like_a_path(input) => Err(BadInput::Missing(input.to_owned())),
        Err(_) => content("(text)", input.as_bytes().to_vec(), limit),
    }
}

/// A slash or an ending, and no space: rather a misspelt path than a text.
fn looks_like_a_path(input: &str) -> bool {
    let has_ending = Path::new(input).extension().is_some_and(|ending| !ending.is_empty());
    !input.contains(char::is_whitespace) && (input.contains('/') || has_ending)
}

fn read_from(name: &str, from: impl Read, limit: usize) -> Result<Content, BadInput> {
    let mut bytes = Vec::new();
    // One more than allowed tells whether there is more.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    content(name, bytes, limit)
}

fn content(name: &str, bytes: Vec<u8>, limit: usize) -> Result<Content, BadInput> {
    if bytes.len() > limit {
        return Err(too_large(name, bytes.len() as u64, limit));
    }
    let text = String::from_utf8(bytes).map_err(|error| BadInput::NotUtf8 {
        name: name.to_owned(),
        byte: error.utf8_error().valid_up_to(),
    })?;
    if text.trim().is_empty() {
        return Err(BadInput::Empty(name.to_owned()));
    }
    Ok(Content::from(text))
}

fn too_large(name: &str, bytes: u64, limit: usize) -> BadInput {
    BadInput::TooLarge { name: name.to_owned(), bytes, limit }
}

fn unreadable(name: &str, error: &io::Error) -> BadInput {
    BadInput::Unreadable { name: name.to_owned(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_from_a_misspelt_path() {
        assert_eq!(read("write a haiku", 99), Ok("write a haiku".into()));
        assert_eq!(read("haiku", 99), Ok("haiku".into()));
        assert_eq!(read("no/such/file", 99), Err(BadInput::Missing("no/such/file".into())));
        assert_eq!(read("reprot.md", 99), Err(BadInput::Missing("reprot.md".into())));
        assert_eq!(read("text:a/b", 99), Ok("a/b".into()));
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let folder_name = folder.path().display().to_string();
        assert_eq!(read(&folder_name, 99), Err(BadInput::Folder(folder_name.clone())));
        let empty = file("empty", b" \n");
        assert_eq!(read(&empty, 99), Err(BadInput::Empty(empty.clone())));
        let binary = file("binary", b"ab\xff");
        assert_eq!(read(&binary, 99), Err(BadInput::NotUtf8 { name: binary.clone(), byte: 2 }));
        let large = file("large", &[b'x'; 100]);
        let too_large = BadInput::TooLarge { name: large.clone(), bytes: 100, limit: 99 };
        assert_eq!(read(&large, 99), Err(too_large));
        let fits = file("fits", &[b'x'; 99]);
        assert_eq!(read(&fits, 99).map(|content| content.len()), Ok(99));
    }
}
