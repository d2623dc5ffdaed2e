//! Slots: the right to run a handler, of which there are `max_concurrency`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use orch_core::MessagePriority;

use crate::run::Run;

/// One slot, given back when it is dropped.
pub(crate) struct Slot {
    run: Option<Arc<Run>>,
}

impl Slot {
    /// The caller has counted it.
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self { run: Some(run) }
    }

    /// Drops it without giving it back: the caller counts it back.
    pub(crate) fn forget(mut self) {
        self.run = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            run.give_slot_back();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// The slot of one attempt, which it frees while it waits.
#[derive(Debug)]
pub(crate) struct SlotHolder {
    held: Mutex<Option<Slot>>,
    /// One of several waits that end together asks for the slot, the others wait for that one.
    asking: tokio::sync::Mutex<()>,
}

impl SlotHolder {
    pub(crate) fn new(slot: Slot) -> Self {
        Self { held: Mutex::new(Some(slot)), asking: tokio::sync::Mutex::new(()) }
    }

    /// Frees the slot.
    pub(crate) fn release(&self) {
        drop(self.take());
    }

    /// Takes the slot out, if it is held.
    pub(crate) fn take(&self) -> Option<Slot> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a slot at this urgency, unless one is held.
    pub(crate) async fn acquire(&self, run: &Arc<Run>, urgency: MessagePriority) {
        let _asking = self.asking.lock().await;
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        let slot = run.ask_for_slot(urgency).await;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }
}
