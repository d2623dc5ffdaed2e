//! SQLite with the same tables, rows, settings and groups, and nothing else: no record, no state, no
//! checksum. Its bodies are made before.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{TEXT_BYTES, senders};

const TABLES: &str = "
    PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
    CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL,
        agent INTEGER, prev INTEGER, message BLOB, content INTEGER, body TEXT NOT NULL,
        crc INTEGER NOT NULL, before BLOB NOT NULL) STRICT;
    CREATE TABLE mailbox(event INTEGER PRIMARY KEY, place INTEGER NOT NULL,
        attempt INTEGER NOT NULL, running INTEGER NOT NULL, ready_at INTEGER NOT NULL,
        run INTEGER NOT NULL, round INTEGER NOT NULL, errors TEXT) STRICT;
    CREATE TABLE dedup(event INTEGER PRIMARY KEY, message BLOB NOT NULL) STRICT;
    CREATE TABLE agent(number INTEGER PRIMARY KEY, id BLOB NOT NULL, head INTEGER NOT NULL) STRICT;
    PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;";

type Job = (usize, oneshot::Sender<()>);

pub(crate) fn run(path: &Path, n_senders: usize, time: Duration) -> f64 {
    let db = Connection::open(path).expect("the folder is there");
    db.execute_batch(TABLES).expect("the tables are right");
    let (jobs, waiting) = mpsc::channel::<Job>(4_096);
    let writer = std::thread::spawn(move || write(&db, waiting));
    let rate = senders(n_senders, time, move |sender| {
        let jobs = jobs.clone();
        async move {
            let (ack, told) = oneshot::channel();
            jobs.send((sender, ack)).await.expect("the writer lives");
            told.await.expect("the writer lives");
        }
    });
    writer.join().expect("the writer does not panic");
    rate
}

fn write(db: &Connection, mut waiting: mpsc::Receiver<Job>) {
    // As long as the JSON of ours: some 300 bytes beside the text.
    let body = format!("{{\"accepted\":{}}}", "y".repeat(TEXT_BYTES + 250));
    let tip = "z".repeat(220);
    let mut seq = 0_i64;
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < 512
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        commit(db, &mut seq, &group, &body, &tip).expect("the disk works");
        group.into_iter().for_each(|(_, ack)| {
            let _ = ack.send(());
        });
        checkpoint(db).expect("the disk works");
    }
}

fn commit(
    db: &Connection,
    seq: &mut i64,
    group: &[Job],
    body: &str,
    tip: &str,
) -> rusqlite::Result<()> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let first = *seq;
    for (sender, _) in group {
        *seq += 1;
        let sql = "INSERT INTO event VALUES (?, ?, 8, ?, ?, ?, NULL, ?, ?, ?)";
        let row = params![
            *seq,
            1_i64 << 40,
            *sender as i64,
            *seq - 1,
            [7_u8; 16],
            body,
            *seq,
            [8_u8; 16]
        ];
        db.prepare_cached(sql)?.execute(row)?;
    }
    for seq in first + 1..=*seq {
        let sql = "INSERT OR REPLACE INTO mailbox VALUES (?, ?, 1, 0, ?, 0, 0, NULL)";
        db.prepare_cached(sql)?.execute(params![seq, seq, 1_i64 << 40])?;
        let sql = "INSERT OR REPLACE INTO dedup VALUES (?, ?)";
        db.prepare_cached(sql)?.execute(params![seq, [7_u8; 16]])?;
    }
    for (sender, _) in group {
        let sql = "INSERT OR REPLACE INTO agent VALUES (?, ?, ?)";
        db.prepare_cached(sql)?.execute(params![*sender as i64 + 1, [7_u8; 16], *seq])?;
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
