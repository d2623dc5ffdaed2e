//! Stands in for `home.rs` in models: no limits but one, and nobody listens.

use std::ops::Deref;
use std::sync::Arc;

use orch_core::{AgentId, DeadLetter, MessagePriority};

use crate::counter::Counter;
use crate::dead_letters::DeadLetters;
use crate::mailbox::Mailbox;
use crate::ready;
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

/// Who is told of arrivals.
#[derive(Debug)]
pub(crate) enum Ready {
    /// In models of the mailbox alone: how many announcements the scheduler has not taken.
    Counts(AtomicU64),
    /// In models of whoever looks after mailboxes.
    Real(ready::Ready),
}

impl Default for Ready {
    fn default() -> Self {
        Self::Counts(AtomicU64::new(0))
    }
}

impl Ready {
    pub(crate) fn announce(&self, mailbox: &Arc<Mailbox>, priority: MessagePriority) {
        match self {
            Self::Counts(count) => drop(count.fetch_add(1, Ordering::AcqRel)),
            Self::Real(ready) => ready.announce(mailbox, priority),
        }
    }

    fn count(&self) -> &AtomicU64 {
        match self {
            Self::Counts(count) => count,
            Self::Real(_) => panic!("what is real is asked through an `Attachment`"),
        }
    }

    /// Whether there is an announcement. A load, as in `Attachment::has_announced`.
    pub(crate) fn has_announced(&self) -> bool {
        self.count().load(Ordering::Acquire) != 0
    }

    /// Whether there was an announcement.
    pub(crate) fn take(&self) -> bool {
        self.count().swap(0, Ordering::AcqRel) != 0
    }
}

impl Deref for Ready {
    type Target = ready::Ready;

    fn deref(&self) -> &ready::Ready {
        match self {
            Self::Counts(_) => panic!("this model counts announcements"),
            Self::Real(ready) => ready,
        }
    }
}

impl Home {
    /// With the real thing to announce to.
    pub(crate) fn with_ready() -> Arc<Self> {
        let mut home = Arc::new(Self::default());
        // In place: a checker's stacks are too small for a second one.
        let mine = Arc::get_mut(&mut home).expect("nobody else has it");
        mine.ready = Ready::Real(ready::Ready::default());
        home
    }

    pub(crate) fn give_up(&self, _: AgentId, letter: DeadLetter) {
        self.dead_letters.add(letter);
    }
}
