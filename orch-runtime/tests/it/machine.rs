//! A store that outlives its process, whose disk can be full, and whose writes can be held up.

use std::sync::{Arc, Condvar, Mutex};

use orch_journal::{
    Entry, Illegal, MemoryStore, Of, Prepared, Pruned, Redactor, Seq, State, Stats, Store,
    StoreError,
};
use orch_runtime::{Journal, Timestamp};

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// Writes are refused.
    Full,
    /// Writes wait.
    Held,
    /// Its process is dead: whatever it still says comes to nothing.
    Dead,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is on disk while no process has it.
    kept: Mutex<MemoryStore>,
    /// And how many writes wait.
    mood: Mutex<(Mood, usize)>,
    changed: Condvar,
}

/// A machine with a disk; processes come and go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(Arc<Shared>);

impl Machine {
    /// A process takes the disk, until its journal is dropped.
    pub(crate) fn open(&self) -> Arc<Journal> {
        let memory = std::mem::take(&mut *self.0.kept.lock().unwrap());
        let store = Process { machine: self.clone(), memory, nothing: State::new(), is_open: true };
        Arc::new(Journal::start(store, Redactor::new(), Timestamp::now()).unwrap())
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.0.mood.lock().unwrap().0 = mood;
        self.0.changed.notify_all();
    }

    /// Whether a write waits.
    pub(crate) fn holds(&self) -> bool {
        self.0.mood.lock().unwrap().1 > 0
    }

    /// What is on disk, after the process.
    pub(crate) fn state(&self) -> State {
        self.0.kept.lock().unwrap().state().clone()
    }

    fn write(&self) -> Result<(), StoreError> {
        let mut mood = self.0.mood.lock().unwrap();
        mood.1 += 1;
        let mut mood = self.0.changed.wait_while(mood, |it| it.0 == Mood::Held).unwrap();
        mood.1 -= 1;
        match mood.0 {
            Mood::Dead => Err(StoreError::Uncertain("killed".to_owned())),
            Mood::Full => Err(StoreError::Full("no room".to_owned())),
            Mood::Good | Mood::Held => Ok(()),
        }
    }
}

/// As a file does, it shows nothing between an error and the next look at it.
struct Process {
    machine: Machine,
    memory: MemoryStore,
    nothing: State,
    is_open: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        *self.machine.0.kept.lock().unwrap() = std::mem::take(&mut self.memory);
    }
}

impl Store for Process {
    fn append(&mut self, sets: &[Prepared]) -> Result<Vec<Result<Seq, Illegal>>, StoreError> {
        if !self.is_open {
            return Err(StoreError::Failed("closed after an error".to_owned()));
        }
        if let Err(error) = self.machine.write() {
            self.is_open = false;
            return Err(error);
        }
        self.memory.append(sets)
    }

    fn state(&self) -> &State {
        if self.is_open { self.memory.state() } else { &self.nothing }
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
        self.is_open = true;
        Ok(())
    }
}
