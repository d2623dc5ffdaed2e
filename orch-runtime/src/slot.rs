//! Slots: the right to run a handler, of which there are `max_concurrency`.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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

/// The slot of one attempt, which is free while the handler waits through its context.
///
/// The last wait that ends takes the slot again, not each of them: a handler that waits for two
/// answers together must not keep from the second one the slot that it takes.
///
/// A slot is dropped only after the lock, because dropping it takes the scheduler's; that one is
/// held when a slot is granted.
#[derive(Debug)]
pub(crate) struct SlotHolder {
    seat: Mutex<Seat>,
    /// Told when `wants_slot` or `is_over` has changed and somebody may wait for that.
    changed: Notify,
}

#[derive(Debug)]
struct Seat {
    /// Invariant: `None` while `n_waits` is not 0, or `is_queued`.
    slot: Option<Slot>,
    /// Waits under way.
    n_waits: usize,
    /// Whether this holder stands among those who are ready for a slot.
    is_queued: bool,
    /// Whether the turn is over, so that nothing needs the slot again.
    is_over: bool,
}

impl Seat {
    fn wants_slot(&self) -> bool {
        self.slot.is_none() && self.n_waits == 0 && !self.is_over
    }
}

impl SlotHolder {
    pub(crate) fn new(slot: Slot) -> Self {
        let seat = Seat { slot: Some(slot), n_waits: 0, is_queued: false, is_over: false };
        Self { seat: Mutex::new(seat), changed: Notify::new() }
    }

    /// Frees the slot for a wait. `tell` is called under the lock unless the turn is over; answers
    /// what it answers.
    pub(crate) fn begin_wait(&self, tell: impl FnOnce() -> bool) -> bool {
        let mut seat = self.seat();
        seat.n_waits += 1;
        let slot = seat.slot.take();
        let told = !seat.is_over && tell();
        drop(seat);
        // Another wait that has ended and wants the slot leaves it to this one.
        self.changed.notify_waiters();
        drop(slot);
        told
    }

    /// Ends a wait. True if the caller has to queue for the slot.
    #[must_use]
    pub(crate) fn end_wait(&self) -> bool {
        let mut seat = self.seat();
        seat.n_waits -= 1;
        let queues = seat.wants_slot() && !seat.is_queued;
        seat.is_queued |= queues;
        queues
    }

    /// Takes the slot that it queued for; gives it back if it is not needed any more.
    pub(crate) fn grant(&self, slot: Slot) -> Result<(), Slot> {
        let mut seat = self.seat();
        seat.is_queued = false;
        if !seat.wants_slot() {
            return Err(slot);
        }
        seat.slot = Some(slot);
        drop(seat);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Returns when the slot is held, or nothing needs it: another wait has begun, or the turn is
    /// over.
    pub(crate) async fn seated(&self) {
        self.until(|seat| !seat.wants_slot()).await;
    }

    /// Returns when the turn is over.
    pub(crate) async fn over(&self) {
        self.until(|seat| seat.is_over).await;
    }

    async fn until(&self, condition: impl Fn(&Seat) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before looking, or what changes in between is slept through.
            changed.as_mut().enable();
            if condition(&self.seat()) {
                return;
            }
            changed.await;
        }
    }

    /// Calls `tell` under the lock if the handler goes on: it waits for nothing, and its turn is not
    /// over.
    pub(crate) fn if_it_goes_on(&self, tell: impl FnOnce() -> bool) -> bool {
        let seat = self.seat();
        seat.n_waits == 0 && !seat.is_over && tell()
    }

    /// Notes that the turn is over. The slot stays until it is taken or a wait frees it.
    pub(crate) fn end_turn(&self) {
        let mut seat = self.seat();
        seat.is_over = true;
        let somebody_waits = seat.is_queued || seat.n_waits > 0;
        drop(seat);
        if somebody_waits {
            self.changed.notify_waiters();
        }
    }

    /// Takes the slot out, if it is held.
    pub(crate) fn take(&self) -> Option<Slot> {
        self.seat().slot.take()
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
