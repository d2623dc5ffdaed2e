//! What several tests need.

use std::path::{Path, PathBuf};

use orch_core::Timestamp;
use orch_journal::conformance::{History, Set};
use orch_journal::{Entry, Prepared, Redactor, Seq, SqliteOptions, SqliteStore, State, Store};

/// Set to make the long form of a test run: `cargo xtask deep` does.
pub(crate) fn is_deep() -> bool {
    std::env::var_os("ORCH_DEEP").is_some()
}

/// The seed of a random test: another one with `ORCH_SEED`.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("ORCH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("ORCH_SEED={seed}");
    seed
}

/// Dice that are cheap and the same for a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n.max(1)
    }
}

pub(crate) fn prepared(set: &Set) -> Prepared {
    Prepared::new(set.at, set.records.clone(), &Redactor::new()).unwrap()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

pub(crate) fn options() -> SqliteOptions {
    SqliteOptions::new()
}

/// Says that a test cannot run here, past the runner, which would show it as passed: `cargo xtask`
/// counts these lines, and names them at its end.
pub(crate) fn skip(test: &str, why: &str) {
    use std::io::Write;
    let line = format!("\nskipped: test {test}, {}\n", why.replace('\n', " "));
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Appends so many sets, one transaction each, and tells the entries.
pub(crate) fn append(store: &mut impl Store, history: &mut History, n_sets: usize) {
    for _ in 0..n_sets {
        let set = prepared(&history.next_set());
        store.append(&[set]).unwrap()[0].clone().unwrap();
    }
}

/// The files of a journal: itself, its WAL.
pub(crate) fn files(path: &Path) -> [PathBuf; 2] {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    [path.to_owned(), wal.into()]
}

/// What a journal held after each of its transactions, by the number of its last event.
pub(crate) struct Prefixes {
    pub(crate) entries: Vec<Entry>,
    shown: Vec<String>,
    states: std::collections::BTreeMap<Seq, State>,
}

impl Prefixes {
    pub(crate) fn of(entries: Vec<Entry>, ends: &[Seq]) -> Self {
        let mut state = State::new();
        let mut states = std::collections::BTreeMap::from([(Seq(0), State::new())]);
        for entry in &entries {
            state.apply(entry).unwrap();
            if ends.contains(&entry.seq) {
                states.insert(entry.seq, state.clone());
            }
        }
        Self { shown: without_rounds(&entries), entries, states }
    }

    /// What is wrong with an opened journal, if it is no exact prefix. What it refuses to tell is
    /// no mistake.
    pub(crate) fn objection(&self, store: &SqliteStore) -> Option<String> {
        let last = store.state().last();
        let Some(expected) = self.states.get(&last) else {
            return Some(format!("it ends within a transaction, at {last}"));
        };
        if expected != store.state() {
            return Some(format!("its state is not that of {last}"));
        }
        let entries = store.events(Seq(0), usize::MAX).ok()?;
        if without_rounds(&entries) != self.shown[..usize::try_from(last.0).unwrap()] {
            return Some(format!("its events are not those up to {last}"));
        }
        None
    }
}

/// As JSON: a message that was not read back has its round in it as well.
fn without_rounds(entries: &[Entry]) -> Vec<String> {
    let show = |it: &Entry| format!("{} {} {:?}", it.seq, it.at, serde_json::to_string(&it.record));
    entries.iter().map(show).collect()
}

/// A folder in memory where there is one: for tests whose syncs go to a model of a disk, or are of no
/// interest.
pub(crate) fn fast_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(folder).unwrap()
}
