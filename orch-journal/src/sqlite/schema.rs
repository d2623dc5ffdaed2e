//! The tables, and what a file says about itself.

use std::fmt::Write;

use rusqlite::Connection;

use super::error::OpenError;

/// The format that is written.
///
/// 1 sealed an event with its body instead of the body's sums; no program was released that wrote it.
pub const FORMAT_VERSION: i64 = 2;

/// `orch` in ASCII: tells a journal from any other SQLite file.
const APPLICATION_ID: i64 = 0x6f72_6368;

/// Fixed: the look at the WAL before SQLite opens it needs no more than the file's own word.
const PAGE_BYTES: u32 = 4_096;

/// Every table and index, in the order of its making. What stands in the file is compared with it.
///
/// `event` has an index of registrations alone, which are few: whoever shows a name needs all of them.
/// The events of one agent are linked (`prev`, and `agent.head`), because an index would cost a page of
/// the WAL for each agent and commit; those of a run lie together.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"),
    (
        "event",
        "CREATE TABLE event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL, \
         agent INTEGER, prev INTEGER, message BLOB, content INTEGER, body TEXT NOT NULL, \
         crc INTEGER NOT NULL, before BLOB NOT NULL) STRICT",
    ),
    ("event_registered", "CREATE INDEX event_registered ON event(seq) WHERE kind = 4"),
    (
        "mailbox",
        "CREATE TABLE mailbox(event INTEGER PRIMARY KEY, place INTEGER NOT NULL, \
         attempt INTEGER NOT NULL, running INTEGER NOT NULL, ready_at INTEGER NOT NULL, \
         run INTEGER NOT NULL, round INTEGER NOT NULL, errors TEXT) STRICT",
    ),
    ("dedup", "CREATE TABLE dedup(event INTEGER PRIMARY KEY, message BLOB NOT NULL) STRICT"),
    (
        "step",
        "CREATE TABLE step(event INTEGER NOT NULL, n INTEGER NOT NULL, message BLOB NOT NULL, \
         first INTEGER NOT NULL, decided INTEGER, started INTEGER, answered INTEGER, \
         PRIMARY KEY(event, n)) STRICT, WITHOUT ROWID",
    ),
    (
        "live",
        "CREATE TABLE live(kind INTEGER NOT NULL, key BLOB NOT NULL, value TEXT NOT NULL, \
         PRIMARY KEY(kind, key)) STRICT, WITHOUT ROWID",
    ),
    (
        "agent",
        "CREATE TABLE agent(number INTEGER PRIMARY KEY, id BLOB NOT NULL, head INTEGER NOT NULL) \
         STRICT",
    ),
    (
        "content",
        "CREATE TABLE content(number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, \
         length INTEGER NOT NULL, base INTEGER, keep INTEGER NOT NULL, depth INTEGER NOT NULL, \
         refs INTEGER NOT NULL) STRICT",
    ),
    (
        "content_bytes",
        "CREATE TABLE content_bytes(number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
    ),
    (
        "pruned",
        "CREATE TABLE pruned(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, hash BLOB NOT NULL) \
         STRICT",
    ),
];

/// Makes the tables in a file that has none.
pub(super) fn create(db: &Connection) -> rusqlite::Result<()> {
    let mut sql = format!("PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;");
    sql.push_str("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;");
    for (_, table) in TABLES {
        sql.push_str(table);
        sql.push(';');
    }
    // A String takes all that is written.
    let _ = write!(
        sql,
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
    );
    db.execute_batch(&sql)
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Journal,
}

/// Looks at what a file says that it is, and at its tables.
pub(super) fn check(db: &Connection, path: &str) -> Result<Kind, OpenError> {
    let number = |pragma: &str| {
        let found = db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
        found.map_err(|error| not_read(error, path))
    };
    let (application, version): (i64, i64) = (number("application_id")?, number("user_version")?);
    let mut tables = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let found = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = found.collect::<Result<Vec<(String, String)>, _>>()?;
    if found.is_empty() && application == 0 && version == 0 {
        return Ok(Kind::Empty);
    }
    if application != APPLICATION_ID {
        return Err(OpenError::NotAJournal { path: path.to_owned() });
    }
    if version > FORMAT_VERSION {
        let (found, known) = (version, FORMAT_VERSION);
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    if version < FORMAT_VERSION {
        return Err(OpenError::Older { path: path.to_owned(), found: version });
    }
    for (name, sql) in TABLES {
        if !found.iter().any(|(known, text)| known == name && text == sql) {
            let kind = if sql.starts_with("CREATE INDEX") { "index" } else { "table" };
            let (place, what) = (format!("{kind} {name}"), "it is not as it was made".to_owned());
            return Err(OpenError::Damaged { path: path.to_owned(), place, what });
        }
    }
    Ok(Kind::Journal)
}

/// SQLite says so of any file that does not begin as its own do.
fn not_read(error: rusqlite::Error, path: &str) -> OpenError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
        return OpenError::NotAJournal { path: path.to_owned() };
    }
    error.into()
}
