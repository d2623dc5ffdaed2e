//! A store that outlives its process, and whose process is killed at a commit.

use std::sync::{Arc, Mutex};

use orch_journal::{
    Entry, Illegal, MemoryStore, Of, Prepared, Pruned, Redactor, Seq, State, Stats, Store,
    StoreError,
};
use orch_runtime::{Journal, Timestamp};

/// What of the commit at which a process is killed is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// Nothing, and nobody was told that it was.
    Before,
    /// All of it, and nobody was told.
    After,
    /// Nothing from then on, and everybody was told that it was: what must not happen, as a control.
    AfterALie,
}

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<MemoryStore>>, Arc<Mutex<Condition>>);

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Good,
    Full,
    /// Its process is dead: whatever it still says comes to nothing.
    Frozen,
}

impl Disk {
    /// A process that is killed at its commit number `at`, counted from 0.
    pub(crate) fn open(&self, kill: Option<(usize, Kill)>) -> (Journal, Arc<Mutex<usize>>) {
        let n_commits = Arc::new(Mutex::new(0));
        let store = Process {
            memory: self.0.lock().unwrap().clone(),
            disk: self.0.clone(),
            condition: self.1.clone(),
            kill,
            n_commits: n_commits.clone(),
        };
        (Journal::start(store, Redactor::new(), Timestamp::now()).unwrap(), n_commits)
    }

    /// From now on there is no room.
    pub(crate) fn fill(&self) {
        *self.1.lock().unwrap() = Condition::Full;
    }

    /// From now on nothing is written.
    pub(crate) fn freeze(&self) {
        *self.1.lock().unwrap() = Condition::Frozen;
    }

    /// From now on everything is written again.
    pub(crate) fn thaw(&self) {
        *self.1.lock().unwrap() = Condition::Good;
    }

    pub(crate) fn events(&self) -> Vec<Entry> {
        self.0.lock().unwrap().events(Seq(1), usize::MAX).unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.0.lock().unwrap().state().clone()
    }
}

struct Process {
    memory: MemoryStore,
    disk: Arc<Mutex<MemoryStore>>,
    condition: Arc<Mutex<Condition>>,
    kill: Option<(usize, Kill)>,
    n_commits: Arc<Mutex<usize>>,
}

impl Store for Process {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        let mut n_commits = self.n_commits.lock().unwrap();
        let commit = *n_commits;
        *n_commits += 1;
        match *self.condition.lock().unwrap() {
            Condition::Good => {}
            Condition::Full => return Err(StoreError::Full("no room".to_owned())),
            Condition::Frozen => return Err(StoreError::Uncertain("killed".to_owned())),
        }
        let killed = || StoreError::Uncertain("killed".to_owned());
        match self.kill {
            Some((at, Kill::Before)) if commit >= at => return Err(killed()),
            Some((at, Kill::AfterALie)) if commit >= at => return self.memory.append(sets),
            _ => {}
        }
        let answers = self.memory.append(sets)?;
        *self.disk.lock().unwrap() = self.memory.clone();
        match self.kill {
            Some((at, Kill::After)) if commit >= at => Err(killed()),
            _ => Ok(answers),
        }
    }

    fn state(&self) -> &State {
        self.memory.state()
    }

    fn events(&self, from: Seq, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.memory.events(from, n_max)
    }

    fn latest(&self, of: Of, n_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.memory.latest(of, n_max)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        self.memory.stats()
    }

    fn prune(&mut self, before: Timestamp, n_max: usize) -> Result<Pruned, StoreError> {
        self.memory.prune(before, n_max)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
