//! `kill -9` at each write, sync, truncation, removal and renaming of the writer's thread, by `strace`;
//! and each of these calls fails once.
//!
//! Random kills (`kill.rs`) seldom hit the short steps of a checkpoint; these hit each of them once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use orch_core::{AgentId, AgentMessage, MessageId, Timestamp};
use orch_journal::{
    Entry, Illegal, Journal, Of, Prepared, Pruned, Record, Redactor, Seq, SqliteStore, State,
    Stats, Store, StoreError,
};

use crate::support::{fast_folder, is_deep, now, options, skip};

const CHILD: &str = "ORCH_TEST_STRACED_CHILD";
const PLANTED: &str = "ORCH_TEST_STRACED_ACK_BEFORE_COMMIT";
/// What changes a disk. Syncs of SQLite are `fdatasync`, those of a folder `fsync`. Nothing is renamed:
/// if that changes, its kills are there.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "rename"];
/// Every so many of them is enough for `ci`.
const STRIDE: usize = 7;

/// A store that is opened by whoever uses it first: the writer's thread, so that all its calls are
/// of one thread, whose calls `strace` counts apart.
struct Late {
    path: PathBuf,
    store: OnceCell<SqliteStore>,
    nothing: State,
}

impl Late {
    fn store(&mut self) -> &mut SqliteStore {
        let path = &self.path;
        // Moves the WAL into the file after nearly every commit.
        let options = || options().with_checkpoint_after(8);
        self.store.get_or_init(|| SqliteStore::open(path, options()).unwrap());
        self.store.get_mut().unwrap()
    }
}

impl Store for Late {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        self.store().append(sets)
    }

    fn state(&self) -> &State {
        self.store.get().map_or(&self.nothing, |store| store.state())
    }

    fn events(&self, _: Seq, _: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    fn latest(&self, _: Of, _: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        Ok(Stats::default())
    }

    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError> {
        self.store().prune(before, n_max)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.store().reopen()
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.store().maintain()
    }
}

fn record(message: &AgentMessage) -> Record {
    Record::Accepted { message: message.clone(), origin_run: 0, origin_round: 0, step: None }
}

/// The program that is killed, or ends at the first error. Checkpoints follow nearly every commit; that
/// of an opening, which empties the WAL, every fourth.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    #[cfg(feature = "planted")]
    if std::env::var_os(PLANTED).is_some() {
        orch_journal::planted::plant(orch_journal::planted::Plant::AckBeforeCommit);
    }
    let late = Late { path: path.into(), store: OnceCell::new(), nothing: State::new() };
    let journal = Journal::start(late, Redactor::new(), now()).unwrap();
    for index in 0..12 {
        let text = "x".repeat(index % 5 * 1_500);
        let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), text);
        if let Err(error) = journal.commit_blocking(now(), vec![record(&message)]) {
            println!("error {error}");
            return;
        }
        println!("accepted {}", message.id());
        if index % 4 == 3 && !matches!(journal.ask_blocking(|store| store.reopen()), Ok(Ok(()))) {
            println!("error in an opening");
            return;
        }
    }
}

fn traced(path: &Path, trace: &Path, inject: &[String], planted: bool) -> Output {
    let mut command = Command::new("strace");
    command.arg("-f").arg("-o").arg(trace).arg(format!("-etrace={}", CALLS.join(",")));
    command.args(inject).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "strace::child", "--nocapture", "--test-threads=1"]);
    if planted {
        command.env(PLANTED, "1");
    }
    command.env(CHILD, path).stderr(Stdio::piped()).output().unwrap()
}

/// How often the busiest thread of a trace makes each call. The others make none that counts.
fn n_calls(trace: &Path) -> Vec<(&'static str, usize)> {
    let text = std::fs::read_to_string(trace).unwrap();
    let n_of = |call: &str| {
        let mut by_thread = std::collections::HashMap::<&str, usize>::new();
        for line in text.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            if rest.trim_start().starts_with(&format!("{call}(")) {
                *by_thread.entry(thread).or_default() += 1;
            }
        }
        by_thread.into_values().max().unwrap_or(0)
    };
    CALLS.map(|call| (call, n_of(call))).into()
}

/// Why calls of a process cannot be traced here, if they cannot.
fn untraceable() -> Option<String> {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// What was acknowledged and is not there, or whatever else is wrong.
fn objection(path: &Path, said: &str) -> Option<String> {
    let ids = said.lines().filter_map(|line| line.split_once("accepted "));
    let ids: Vec<MessageId> = ids.filter_map(|(_, id)| id.trim().parse().ok()).collect();
    let store = match SqliteStore::open(path, options()) {
        Ok(store) => store,
        Err(error) => return Some(format!("refused: {error}")),
    };
    if let Some(lost) = ids.iter().find(|id| !store.state().knows(**id)) {
        return Some(format!("{lost} was acknowledged and is lost"));
    }
    let found = store.events(Seq(0), usize::MAX).unwrap();
    let found: Vec<MessageId> = found.iter().filter_map(|it| it.record.message()).collect();
    if !found.starts_with(&ids) || found.len() > ids.len() + 1 {
        return Some(format!("{} were acknowledged, {} are there", ids.len(), found.len()));
    }
    store.verify().err().map(|error| format!("verify says: {error}"))
}

/// What happens to every `stride`th call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    /// Killed, with a journal that acknowledges before it commits.
    KilledPlanted,
    /// It fails: a write for want of room, anything with an error of the device.
    Fails,
}

impl Fate {
    fn of(self, call: &str) -> &'static [&'static str] {
        match self {
            Self::Killed | Self::KilledPlanted => &["signal=KILL"],
            Self::Fails if call == "pwrite64" => &["error=ENOSPC", "error=EIO"],
            Self::Fails => &["error=EIO"],
        }
    }
}

/// What is wrong, and how many processes ended early by it.
fn at_each(stride: usize, fate: Fate) -> (Vec<String>, usize) {
    let folder = fast_folder();
    let trace = folder.path().join("trace");
    let planted = fate == Fate::KilledPlanted;
    let whole = traced(&folder.path().join("whole"), &trace, &[], planted);
    assert!(whole.status.success(), "{whole:?}");
    let (mut objections, mut n_ended) = (Vec::new(), 0);
    for (call, n) in n_calls(&trace) {
        let each =
            (1..=n).step_by(stride).flat_map(|when| fate.of(call).iter().map(move |it| (when, it)));
        for (when, what) in each {
            let path = folder.path().join(format!("{call}-{when}-{what}"));
            let inject = format!("-einject={call}:{what}:when={when}");
            let ended = traced(&path, &trace, &[inject], planted);
            let said = String::from_utf8_lossy(&ended.stdout);
            n_ended += usize::from(!ended.status.success() || said.contains("error "));
            let wrong = objection(&path, &said);
            objections.extend(wrong.map(|wrong| format!("{call} {when} {what}: {wrong}")));
        }
    }
    (objections, n_ended)
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_acknowledged() {
    if let Some(why) = untraceable() {
        return skip("strace::a_kill_at_any_call_loses_nothing_that_was_acknowledged", &why);
    }
    let (objections, n_kills) = at_each(if is_deep() { 1 } else { STRIDE }, Fate::Killed);
    println!("{n_kills} kills");
    assert_eq!(objections, Vec::<String>::new());
    assert!(n_kills >= 10, "only {n_kills} kills happened");
}

#[test]
fn a_call_that_fails_acknowledges_nothing_falsely_and_loses_nothing() {
    if let Some(why) = untraceable() {
        return skip(
            "strace::a_call_that_fails_acknowledges_nothing_falsely_and_loses_nothing",
            &why,
        );
    }
    let (objections, n_ended) = at_each(if is_deep() { 1 } else { STRIDE }, Fate::Fails);
    println!("{n_ended} journals stopped");
    assert_eq!(objections, Vec::<String>::new());
    assert!(n_ended >= 10, "only {n_ended} calls stopped a journal");
}

/// The planted bug: acknowledging before the commit must be noticed.
#[cfg(feature = "planted")]
#[test]
fn an_acknowledgement_before_the_commit_is_noticed_at_some_call() {
    if let Some(why) = untraceable() {
        return skip("strace::an_acknowledgement_before_the_commit_is_noticed_at_some_call", &why);
    }
    let (objections, n_kills) = at_each(STRIDE, Fate::KilledPlanted);
    println!("noticed at {} of {n_kills} kills", objections.len());
    assert!(!objections.is_empty(), "none of {n_kills} kills lost something");
}
