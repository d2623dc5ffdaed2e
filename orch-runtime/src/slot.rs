//! The slot of one attempt, which is free while the handler waits through its context.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::pool::Pool;

/// What an attempt does with its slot. The slot itself stays with the activation; here is whether it
/// is held, so that an attempt that never waits through its context costs nothing here.
///
/// The last wait that ends takes the slot again, not each of them: a handler that waits for two
/// answers together must not keep from the second one the slot that it takes.
#[derive(Debug)]
pub(crate) struct SlotHolder {
    pool: Arc<Pool>,
    /// Whether anything but the beginning is true of `seat`.
    is_touched: AtomicBool,
    seat: Mutex<Seat>,
    /// Told when `wants_slot` or `is_over` has changed and somebody may wait for that.
    changed: Notify,
}

#[derive(Debug)]
struct Seat {
    /// Invariant: false while `n_waits` is not 0, or `is_queued`.
    has_slot: bool,
    /// Waits under way.
    n_waits: usize,
    /// Whether this holder stands among those who are ready for a slot.
    is_queued: bool,
    /// Whether the turn is over, so that nothing needs the slot again.
    is_over: bool,
}

impl Seat {
    fn wants_slot(&self) -> bool {
        !self.has_slot && self.n_waits == 0 && !self.is_over
    }
}

impl SlotHolder {
    /// Of an attempt that has its slot.
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        let seat = Seat { has_slot: true, n_waits: 0, is_queued: false, is_over: false };
        Self {
            pool,
            is_touched: AtomicBool::new(false),
            seat: Mutex::new(seat),
            changed: Notify::new(),
        }
    }

    /// Whether it can serve another attempt: this one has held its slot all the time.
    pub(crate) fn is_as_new(&self) -> bool {
        !self.is_touched.load(Ordering::Acquire)
    }

    /// Frees the slot for a wait. `tell` is called under the lock unless the turn is over; answers
    /// what it answers.
    pub(crate) fn begin_wait(&self, tell: impl FnOnce() -> bool) -> bool {
        let mut seat = self.seat();
        seat.n_waits += 1;
        let had_slot = std::mem::take(&mut seat.has_slot);
        let told = !seat.is_over && tell();
        drop(seat);
        // Another wait that has ended and wants the slot leaves it to this one.
        self.changed.notify_waiters();
        if had_slot {
            self.pool.give_back();
        }
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

    /// Takes the slot that it queued for; false if it is not needed any more.
    pub(crate) fn grant(&self) -> bool {
        let mut seat = self.seat();
        seat.is_queued = false;
        seat.has_slot = seat.wants_slot();
        let is_taken = seat.has_slot;
        drop(seat);
        if is_taken {
            self.changed.notify_waiters();
        }
        is_taken
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

    /// Whether the slot is held; it is the caller's from then on.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut self.seat().has_slot)
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.is_touched.store(true, Ordering::Release);
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
