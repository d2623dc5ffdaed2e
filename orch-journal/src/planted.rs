//! Promises broken on purpose, so that the harnesses show that they would notice.
//!
//! Only with the feature `planted`, and only in a process that asks for it.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Waiters are told before the commit.
    AckBeforeCommit = 1,
    /// The disk is never asked to keep anything.
    SkipSync = 2,
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Breaks this promise in all journals that this process opens or writes from now on.
pub fn plant(what: Plant) {
    PLANTED.fetch_or(what as u8, Ordering::Relaxed);
}

pub(crate) fn is_planted(what: Plant) -> bool {
    PLANTED.load(Ordering::Relaxed) & what as u8 != 0
}
