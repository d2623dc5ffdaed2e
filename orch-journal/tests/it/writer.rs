//! The writer: groups, answers, closing, recovery, and who else may open the file.

use std::sync::Arc;

use orch_core::{AgentConfig, AgentId, AgentMessage, AgentRole};
use orch_journal::conformance::History;
use orch_journal::{
    CommitError, Illegal, Journal, MemoryStore, Of, OpenError, Record, Redactor, Seq, SqliteReader,
    SqliteStore, StartError, Store,
};

use crate::support::{now, options};

fn message(to: AgentId, text: &str) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, text)
}

fn accepted(message: &AgentMessage) -> Record {
    let message = message.clone();
    Record::Accepted { message, origin_run: 0, origin_round: 0, step: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_many_are_all_written_and_those_of_one_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
    let journal = Arc::new(journal);
    let senders = (0..32).map(|_| {
        let journal = journal.clone();
        spawn(async move {
            let to = AgentId::new();
            let mut last = Seq(0);
            for index in 0..20 {
                let message = message(to, &index.to_string());
                let seq = journal.commit(now(), vec![accepted(&message)]).await.unwrap();
                assert!(last < seq, "{last} came before {seq}");
                last = seq;
            }
            to
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        let to = sender.await.unwrap();
        let of_one = journal.ask(move |store| store.latest(Of::Agent(to), 99)).await.unwrap();
        let texts = of_one.unwrap().into_iter().map(|entry| match entry.record {
            Record::Accepted { message, .. } => message.content().to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(texts.collect::<Vec<_>>(), (0..20).map(|it| it.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn closing_writes_what_was_queued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
    let to = AgentId::new();
    let all: Vec<_> = (0..500)
        .map(|it| journal.try_commit(now(), vec![accepted(&message(to, &it.to_string()))]).unwrap())
        .collect();
    journal.close();
    assert!(all.into_iter().all(|pending| pending.wait().is_ok()));
    assert_eq!(SqliteStore::open(&path, options()).unwrap().state().n_deliveries(), 500);
}

#[test]
fn a_set_that_is_wrong_is_told_and_the_next_is_written() {
    let journal = Journal::start(MemoryStore::new(), Redactor::new(), now()).unwrap();
    let message = message(AgentId::new(), "go");
    journal.commit_blocking(now(), vec![accepted(&message)]).unwrap();
    let again = journal.commit_blocking(now(), vec![accepted(&message)]).unwrap_err();
    assert_eq!(again.duplicate(), Some(message.id()));
    let settled = Record::Settled {
        agent: message.to(),
        message: message.id(),
        attempt: 1,
        output: None,
        usage: orch_core::Usage::default(),
        handling_ms: 1,
    };
    let wrong = journal.commit_blocking(now(), vec![settled]).unwrap_err();
    assert!(matches!(wrong, CommitError::Illegal(Illegal::Transition(_))), "{wrong:?}");
    assert!(matches!(journal.commit_blocking(now(), vec![]), Err(CommitError::Prepare(_))));
    assert_eq!(journal.commit_blocking(now(), vec![Record::Recovered {}]).unwrap(), Seq(2));
}

#[test]
fn an_attempt_that_killed_its_process_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let message = message(AgentId::new(), "poison");
    for attempt in 1..=3 {
        let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
        let mut records = vec![Record::AttemptStarted {
            agent: message.to(),
            message: message.id(),
            attempt,
            round: 1,
        }];
        if attempt == 1 {
            records.insert(0, accepted(&message));
        }
        journal.commit_blocking(now(), records).unwrap();
        // As if the process had ended here: nothing is told of how the attempt ended.
        drop(journal);
    }
    let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
    let state = journal.ask_blocking(|store| store.state().clone()).unwrap();
    let delivery = state.delivery(message.id()).unwrap();
    assert_eq!((delivery.attempt(), delivery.errors.len()), (4, 3));
    assert!(!state.is_cut_off());
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
    let refused = Journal::open(&path, options(), Redactor::new(), now()).unwrap_err();
    let StartError::Open(OpenError::InUse { path: named, holder }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((named, holder), (path.display().to_string(), Some(std::process::id())));
    // Whoever only asks is let in meanwhile.
    let to = AgentId::new();
    journal.commit_blocking(now(), vec![accepted(&message(to, "go"))]).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    assert_eq!(reader.latest(Of::Agent(to), 9).unwrap().len(), 1);
    drop(journal);
    assert!(Journal::open(&path, options(), Redactor::new(), now()).is_ok());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path, options(), Redactor::new(), now()).unwrap();
    journal.commit_blocking(now(), vec![accepted(&message(AgentId::new(), "go"))]).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.file_name());
    }
}

#[test]
fn no_secret_is_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let redactor = Redactor::new().with_secrets(["hunter2-hunter2"]);
    let journal = Journal::open(&path, options(), redactor, now()).unwrap();
    let agent = AgentId::new();
    let config = AgentConfig::new("a".into(), AgentRole::Worker, "function".into())
        .with_setting("api_key", "by-its-key")
        .with_setting("url", "http://x?k=hunter2-hunter2");
    let long = format!("{} hunter2-hunter2", "x".repeat(3_000));
    let records = vec![
        Record::AgentRegistered { agent, config, parent: None },
        accepted(&message(agent, "short hunter2-hunter2")),
        accepted(&message(agent, &long)),
        Record::Conversed { agent, conversation: "c".into(), text: long.into() },
    ];
    journal.commit_blocking(now(), records).unwrap();
    let state = journal.ask_blocking(|store| store.state().clone()).unwrap();
    journal.close();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has("hunter2-hunter2") && !has("by-its-key"));
    }
    let store = SqliteStore::open(&path, options()).unwrap();
    assert!(store.verify().unwrap().folded);
    assert!(*store.state() == state, "what was written is not what was told");
    let texts: Vec<_> = state.mailboxes().iter().map(|it| it.message.content().len()).collect();
    assert_eq!(texts, ["short ***".len(), 3_004]);
}

#[test]
fn files_of_others_and_of_other_formats_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let refusal = |sql: &str| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        SqliteStore::open(&path, options()).unwrap_err().to_string()
    };
    let foreign = refusal("CREATE TABLE t(x)");
    assert!(foreign.ends_with("is no journal"), "{foreign}");
    std::fs::remove_file(&path).unwrap();
    drop(SqliteStore::open(&path, options()).unwrap());
    let newer = refusal("PRAGMA user_version = 3");
    assert!(newer.contains("has format 3, and this program knows none above 2"), "{newer}");
    let older = refusal("PRAGMA user_version = 1");
    assert!(older.contains("has format 1"), "{older}");
    std::fs::write(&path, "some text that is long enough to be looked at by SQLite ".repeat(99))
        .unwrap();
    let text = SqliteStore::open(&path, options()).unwrap_err().to_string();
    assert!(text.ends_with("is no journal"), "{text}");
}

/// A growing chat is stored as what is new: 1,000 calls on 800 KB.
#[test]
fn a_growing_conversation_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let options = options().with_durability(orch_journal::Durability::Off);
    let journal = Journal::open(&path, options.clone(), Redactor::new(), now()).unwrap();
    let agent = AgentId::new();
    let (mut text, n_calls) = (String::new(), 1_000);
    for call in 0..n_calls {
        // 800 bytes of which nothing repeats.
        let mut history = History::new(call);
        let turn: String = (0..40).map(|_| format!("{:?}", history.next_set().at)).collect();
        text.extend(format!("{call}: {turn}").chars().cycle().take(800));
        let conversed =
            Record::Conversed { agent, conversation: "chat".into(), text: text.as_str().into() };
        journal.commit_blocking(now(), vec![conversed]).unwrap();
    }
    journal.close();
    let store = SqliteStore::open(&path, options).unwrap();
    assert_eq!(store.state().conversation(agent, "chat").unwrap(), text.as_str());
    assert!(store.verify().unwrap().folded);
    let file_bytes = store.stats().unwrap().file_bytes;
    let limit = (text.len() as u64) * 12 / 10 + n_calls * 2_048;
    println!("{file_bytes} bytes on disk for {} of text, limit {limit}", text.len());
    assert!(file_bytes <= limit, "{file_bytes} bytes, where {limit} are the limit");
}

#[test]
fn histories_of_any_seed_agree_in_both_stores() {
    let n_seeds = if crate::support::is_deep() { 2_000 } else { 40 };
    for seed in 100..100 + n_seeds {
        let folder = tempfile::tempdir().unwrap();
        let options = options().with_durability(orch_journal::Durability::Off);
        let mut sqlite = SqliteStore::open(folder.path().join("journal"), options).unwrap();
        let mut memory = MemoryStore::new();
        let mut history = History::new(seed);
        let sets: Vec<_> =
            (0..150).map(|_| crate::support::prepared(&history.next_set())).collect();
        // Groups of several lengths, so that rows come and go within a transaction too.
        let mut rest = &sets[..];
        let mut length = 1 + seed as usize % 7;
        while !rest.is_empty() {
            let (group, others) = rest.split_at(length.min(rest.len()));
            assert_eq!(sqlite.append(group).unwrap(), memory.append(group).unwrap(), "{seed}");
            (rest, length) = (others, length % 11 + 1);
        }
        assert!(sqlite.state() == memory.state(), "seed {seed}");
        // The tables are the fold of the events, and what they say is what is read from them.
        assert!(sqlite.verify().unwrap().folded);
        sqlite.reopen().unwrap();
        assert!(sqlite.state() == memory.state(), "seed {seed}, read anew");
    }
}

/// A task of this test, which joins it.
fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::runtime::Handle::current().spawn(task)
}
