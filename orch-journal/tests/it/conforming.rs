//! Both stores hold to the suite.

use std::cell::RefCell;

use orch_journal::{MemoryStore, SqliteOptions, SqliteStore};

thread_local! {
    /// They go with the thread of their test.
    static FOLDERS: RefCell<Vec<tempfile::TempDir>> = const { RefCell::new(Vec::new()) };
}

fn sqlite() -> SqliteStore {
    let folder = crate::support::fast_folder();
    let path = folder.path().join("journal");
    FOLDERS.with_borrow_mut(|folders| folders.push(folder));
    let options = SqliteOptions::new().with_durability(orch_journal::Durability::Off);
    SqliteStore::open(path, options).unwrap()
}

mod in_memory {
    orch_journal::store_conformance!(super::MemoryStore::new);
}

mod in_sqlite {
    orch_journal::store_conformance!(super::sqlite);
}
