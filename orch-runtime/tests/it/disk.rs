//! A store that outlives its process, and whose process is killed at a commit.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_journal::{
    Durability, Entry, Illegal, MemoryStore, Of, Prepared, Pruned, Redactor, Seq, SqliteOptions,
    SqliteStore, State, Stats, Store, StoreError,
};
use orch_runtime::{
    Journal, Orchestrator, RetryPolicy, StartError, StopLimits, StopReason, Timestamp,
};
use tempfile::TempDir;

use crate::support::{LIMIT, ms, orchestrator};

/// What of the commit at which a process is killed is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// Nothing, and nobody was told that it was.
    Before,
    /// All of it, and nobody was told.
    After,
    /// Nothing from then on, and everybody was told that it was: what must not happen, as a control.
    /// Only in memory.
    AfterALie,
}

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    kept: Kept,
    condition: Arc<Mutex<Condition>>,
}

#[derive(Clone, Debug)]
enum Kept {
    Memory(Arc<Mutex<MemoryStore>>),
    /// In a file of SQLite's.
    File(Arc<TempDir>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Memory(Arc::default())
    }
}

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Good,
    Full,
    /// It answers nothing until it is thawed.
    Held,
    /// Its process is dead: whatever it still says comes to nothing.
    Frozen,
}

impl Disk {
    /// One on which the journal is a file.
    pub(crate) fn with_file() -> Self {
        let kept = Kept::File(Arc::new(tempfile::tempdir().unwrap()));
        Self { kept, condition: Arc::default() }
    }

    /// A process that is killed at its commit number `at`, counted from 0.
    pub(crate) fn open(&self, kill: Option<(usize, Kill)>) -> (Journal, Arc<Mutex<usize>>) {
        let n_commits = Arc::new(Mutex::new(0));
        let store = Process {
            store: self.store(),
            condition: self.condition.clone(),
            kill,
            n_commits: n_commits.clone(),
        };
        (Journal::start(store, Redactor::new(), Timestamp::now()).unwrap(), n_commits)
    }

    fn store(&self) -> Opened {
        match &self.kept {
            Kept::Memory(disk) => {
                let memory = Box::new(disk.lock().unwrap().clone());
                Opened::Memory { memory, disk: disk.clone() }
            }
            Kept::File(folder) => {
                // It is the process that is killed here, not the machine.
                let options = SqliteOptions::new().with_durability(Durability::Os);
                Opened::File(Box::new(
                    SqliteStore::open(folder.path().join("journal"), options).unwrap(),
                ))
            }
        }
    }

    /// From now on there is no room.
    pub(crate) fn fill(&self) {
        *self.condition.lock().unwrap() = Condition::Full;
    }

    /// From now on it answers nothing.
    pub(crate) fn hold(&self) {
        *self.condition.lock().unwrap() = Condition::Held;
    }

    /// From now on nothing is written.
    pub(crate) fn freeze(&self) {
        *self.condition.lock().unwrap() = Condition::Frozen;
    }

    /// From now on everything is written again.
    pub(crate) fn thaw(&self) {
        *self.condition.lock().unwrap() = Condition::Good;
    }

    /// All events. If they are in a file, no process has it.
    pub(crate) fn events(&self) -> Vec<Entry> {
        self.store().as_store().events(Seq(1), usize::MAX).unwrap()
    }

    /// As [`events`](Self::events), what follows from them.
    pub(crate) fn state(&self) -> State {
        self.store().as_store().state().clone()
    }
}

/// A store as one process has it.
enum Opened {
    Memory { memory: Box<MemoryStore>, disk: Arc<Mutex<MemoryStore>> },
    File(Box<SqliteStore>),
}

impl Opened {
    fn as_store(&self) -> &dyn Store {
        match self {
            Self::Memory { memory, .. } => &**memory,
            Self::File(store) => &**store,
        }
    }

    fn as_store_mut(&mut self) -> &mut dyn Store {
        match self {
            Self::Memory { memory, .. } => &mut **memory,
            Self::File(store) => &mut **store,
        }
    }
}

struct Process {
    store: Opened,
    condition: Arc<Mutex<Condition>>,
    kill: Option<(usize, Kill)>,
    n_commits: Arc<Mutex<usize>>,
}

impl Process {
    fn condition(&self) -> Condition {
        loop {
            match *self.condition.lock().unwrap() {
                Condition::Held => {}
                condition => return condition,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Store for Process {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        let mut n_commits = self.n_commits.lock().unwrap();
        let commit = *n_commits;
        *n_commits += 1;
        let killed = || StoreError::Uncertain("killed".to_owned());
        match self.condition() {
            Condition::Good | Condition::Held => {}
            Condition::Full => return Err(StoreError::Full("no room".to_owned())),
            Condition::Frozen => return Err(killed()),
        }
        match self.kill {
            Some((at, Kill::Before)) if commit >= at => return Err(killed()),
            Some((at, Kill::AfterALie)) if commit >= at => {
                return self.store.as_store_mut().append(sets);
            }
            _ => {}
        }
        let answers = self.store.as_store_mut().append(sets)?;
        if let Opened::Memory { memory, disk } = &self.store {
            *disk.lock().unwrap() = MemoryStore::clone(memory);
        }
        match self.kill {
            Some((at, Kill::After)) if commit >= at => Err(killed()),
            _ => Ok(answers),
        }
    }

    fn state(&self) -> &State {
        self.store.as_store().state()
    }

    fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.as_store().events(from, n_max)
    }

    fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.as_store().latest(of, n_max)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        self.store.as_store().stats()
    }

    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError> {
        self.store.as_store_mut().prune(before, n_max)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A process, from its start to its death, or to the end of `live`; whether `live` came to its end, and
/// how many commits there were.
pub(crate) fn process<F: Future<Output = bool>>(
    disk: &Disk,
    kill: Option<(usize, Kill)>,
    live: impl FnOnce(Journal) -> F,
) -> (bool, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (journal, n_commits) = disk.open(kill);
    let ended = runtime.block_on(live(journal));
    drop(runtime);
    let n_commits = *n_commits.lock().unwrap();
    (ended, n_commits)
}

/// An orchestrator over a journal, made for being killed; `None` if it was before it could begin.
pub(crate) async fn mortal(
    journal: Journal,
    with: impl FnOnce(Orchestrator) -> Orchestrator,
) -> Option<Orchestrator> {
    let orchestrator = orchestrator()
        .with_retry_policy(RetryPolicy::default().with_base(ms(2)))
        .with_stop_limits(StopLimits::new(ms(0), LIMIT));
    with(orchestrator).with_journal(journal).await.ok()
}

/// Runs to the end; `None` if the process was killed.
pub(crate) async fn run_until_killed(orchestrator: &Orchestrator) -> Option<StopReason> {
    let ended = tokio::time::timeout(LIMIT, orchestrator.start()).await;
    match ended.expect("a run ends") {
        Ok(StopReason::JournalFailed { .. }) | Err(StartError::Journal(_)) => None,
        Ok(reason) => Some(reason),
        Err(error) => panic!("{error}"),
    }
}

/// Kills a process at each of its commits, before and after it; another one lives to its end. Then the
/// disk and the world outside of the processes are looked at.
pub(crate) fn at_each_kill<W: Default, F: Future<Output = bool>>(
    live: impl Fn(Journal, Arc<W>) -> F,
    check: impl Fn(&Disk, &W, &str),
) {
    let lives = |kill: Option<(usize, Kill)>| {
        let (disk, world) = (Disk::default(), Arc::new(W::default()));
        let mut lived = process(&disk, kill, |journal| live(journal, world.clone()));
        // One that recorded its end has nothing to take up.
        let runs = disk.state().runs().clone();
        let is_over = runs.last_key_value().is_some_and(|(_, run)| run.reason.is_some());
        if kill.is_some() && !(lived.0 && is_over) {
            lived = process(&disk, None, |journal| live(journal, world.clone()));
        }
        let when = format!("killed at {kill:?}");
        assert!(lived.0, "{when}: the last process comes to an end");
        check(&disk, &world, &when);
        lived.1
    };
    let n_commits = lives(None);
    for at in 0..n_commits {
        lives(Some((at, Kill::Before)));
        lives(Some((at, Kill::After)));
    }
}
