//! Stands in for `home.rs` and `ready.rs` in models: announcements are counted.

use std::sync::Arc;

use orch_core::{AgentId, DeadLetter, MessagePriority};

use crate::counter::Counter;
use crate::dead_letters::DeadLetters;
use crate::mailbox::Mailbox;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Home {
    pub(crate) limits: Limits,
    pub(crate) ready: Ready,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
}

#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) lane_capacity: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lane_capacity: u32::MAX }
    }
}

/// How many announcements the scheduler has not taken.
#[derive(Debug)]
pub(crate) struct Ready(AtomicU64);

impl Default for Ready {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Ready {
    pub(crate) fn announce(&self, _: &Arc<Mailbox>, _: MessagePriority) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether there is one. A load, as in `Attachment::has_announced`.
    pub(crate) fn has_announced(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Whether there was one.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) != 0
    }
}

impl Home {
    pub(crate) fn give_up(&self, _: AgentId, letter: DeadLetter) {
        self.dead_letters.add(letter);
    }
}
