//! SQLite with the same tables, rows, settings and groups, and nothing else: no state, no check of what
//! may happen, no redaction, no checksum, no chain of hashes, no digest of the tables.

use std::path::Path;
use std::time::Duration;

use std::sync::Arc;

use orch_core::{AgentId, AgentMessage};
use orch_journal::Record;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{TEXT_BYTES, senders};

const TABLES: &str = "
    PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
    CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL,
        agent INTEGER, prev INTEGER, message BLOB, content INTEGER, body TEXT NOT NULL,
        crc INTEGER NOT NULL, before BLOB NOT NULL) STRICT;
    CREATE INDEX event_registered ON event(seq) WHERE kind = 4;
    CREATE TABLE mailbox(event INTEGER PRIMARY KEY, place INTEGER NOT NULL,
        attempt INTEGER NOT NULL, running INTEGER NOT NULL, ready_at INTEGER NOT NULL,
        run INTEGER NOT NULL, round INTEGER NOT NULL, errors TEXT) STRICT;
    CREATE TABLE dedup(event INTEGER PRIMARY KEY, message BLOB NOT NULL) STRICT;
    CREATE TABLE agent(number INTEGER PRIMARY KEY, id BLOB NOT NULL, head INTEGER NOT NULL) STRICT;
    PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;";

/// Where bodies come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Each sender writes its message as JSON, as whoever wants these rows must.
    Made,
    /// One that was made before, for all: what SQLite alone can do.
    Canned,
}

struct Job {
    sender: usize,
    message: [u8; 16],
    body: Option<String>,
    ack: oneshot::Sender<()>,
}

pub(crate) fn run(path: &Path, n_senders: usize, time: Duration, bodies: Bodies) -> f64 {
    let db = Connection::open(path).expect("the folder is there");
    db.execute_batch(TABLES).expect("the tables are right");
    let (jobs, waiting) = mpsc::channel::<Job>(4_096);
    let writer = std::thread::spawn(move || write(&db, waiting));
    let agents: Arc<[AgentId]> = (0..n_senders).map(|_| AgentId::new()).collect();
    let text: Arc<str> = "x".repeat(TEXT_BYTES).into();
    let rate = senders(n_senders, time, move |sender| {
        let (jobs, text, to) = (jobs.clone(), text.clone(), agents[sender]);
        async move {
            let (message, body) = match bodies {
                Bodies::Made => made(to, text),
                Bodies::Canned => ([7; 16], None),
            };
            let (ack, told) = oneshot::channel();
            let job = Job { sender, message, body, ack };
            jobs.send(job).await.expect("the writer lives");
            told.await.expect("the writer lives");
        }
    });
    writer.join().expect("the writer does not panic");
    rate
}

fn made(to: AgentId, text: Arc<str>) -> ([u8; 16], Option<String>) {
    let message = AgentMessage::new(AgentId::OUTSIDE, to, text);
    let id = *message.id().as_uuid().as_bytes();
    let record = Record::Accepted { message, origin_run: 0, origin_round: 0, step: None };
    (id, Some(serde_json::to_string(&record).expect("a record has JSON")))
}

fn write(db: &Connection, mut waiting: mpsc::Receiver<Job>) {
    // As long as the JSON of ours: some 300 bytes beside the text.
    let canned = format!("{{\"accepted\":{}}}", "y".repeat(TEXT_BYTES + 250));
    let tip = "z".repeat(220);
    let mut seq = 0_i64;
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < 512
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        commit(db, &mut seq, &group, &canned, &tip).expect("the disk works");
        group.into_iter().for_each(|job| {
            let _ = job.ack.send(());
        });
        checkpoint(db).expect("the disk works");
    }
}

fn commit(
    db: &Connection,
    seq: &mut i64,
    group: &[Job],
    canned: &str,
    tip: &str,
) -> rusqlite::Result<()> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let first = *seq;
    let sql = "INSERT INTO event VALUES (?, ?, 8, ?, ?, ?, NULL, ?, ?, ?)";
    let mut event = db.prepare_cached(sql)?;
    for job in group {
        *seq += 1;
        let body = job.body.as_deref().unwrap_or(canned);
        let row = params![
            *seq,
            1_i64 << 40,
            job.sender as i64,
            *seq - 1,
            job.message,
            body,
            *seq,
            [8_u8; 16]
        ];
        event.execute(row)?;
    }
    let sql = "INSERT OR REPLACE INTO mailbox VALUES (?, ?, 1, 0, ?, 0, 0, NULL)";
    let mut mailbox = db.prepare_cached(sql)?;
    let mut dedup = db.prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?, ?)")?;
    for (seq, job) in (first + 1..=*seq).zip(group) {
        mailbox.execute(params![seq, seq, 1_i64 << 40])?;
        dedup.execute(params![seq, job.message])?;
    }
    let mut agent = db.prepare_cached("INSERT OR REPLACE INTO agent VALUES (?, ?, ?)")?;
    for job in group {
        agent.execute(params![job.sender as i64 + 1, [7_u8; 16], *seq])?;
    }
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('tip', ?)")?.execute([tip])?;
    db.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    let mut state = db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let (all, moved) =
        state.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
    if all - moved >= 4_000 {
        db.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    }
    Ok(())
}
