//! Promises broken on purpose, for the harness that must notice: see `orch_journal::planted`.

use orch_journal::planted::{Plant, plant};

/// Breaks what `ORCH_PLANT` names.
pub(crate) fn look() {
    match std::env::var("ORCH_PLANT").as_deref() {
        Ok("ack-before-commit") => plant(Plant::AckBeforeCommit),
        Ok("skip-sync") => plant(Plant::SkipSync),
        _ => {}
    }
}
