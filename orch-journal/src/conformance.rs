//! What every store must hold to, as checks for the tests of any crate that writes one.
//!
//! A test names a function that makes an empty store; one line tests it all.
//!
//! ```
//! fn store() -> orch_journal::MemoryStore {
//!     orch_journal::MemoryStore::new()
//! }
//!
//! mod conforms {
//!     orch_journal::store_conformance!(super::store);
//! }
//! ```

mod checks;
mod history;

pub use checks::{
    appends_are_numbered_densely, duplicates_are_refused_alone, events_read_back,
    illegal_sets_leave_nothing, pruning_keeps_what_is_live, state_is_the_fold,
    state_survives_reopening, steps_are_not_taken_twice, timelines_agree,
};
pub use history::{History, Set};

/// Tests a store: one `#[test]` for each check of [`conformance`](crate::conformance).
///
/// The argument is a function that makes an empty store.
#[macro_export]
macro_rules! store_conformance {
    ($make:expr) => {
        $crate::store_conformance!(@ $make;
            appends_are_numbered_densely, duplicates_are_refused_alone, events_read_back,
            illegal_sets_leave_nothing, pruning_keeps_what_is_live, state_is_the_fold,
            state_survives_reopening, steps_are_not_taken_twice, timelines_agree
        );
    };
    (@ $make:expr; $($check:ident),*) => {
        $(
            #[test]
            fn $check() {
                $crate::conformance::$check($make());
            }
        )*
    };
}
