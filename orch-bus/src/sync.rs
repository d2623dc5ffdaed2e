//! What threads meet at: the atomics, locks and sleepers of the mailbox, in one place so that a model
//! checker can replace them, and the points at which a test stops a thread.
//!
//! `--cfg orch_loom` puts loom here, `--cfg orch_shuttle` shuttle; see `docs/proofs.md`.

#[cfg(orch_loom)]
#[path = "sync/loom.rs"]
mod kind;
#[cfg(not(any(orch_loom, orch_shuttle)))]
#[path = "sync/real.rs"]
mod kind;
#[cfg(orch_shuttle)]
#[path = "sync/shuttle.rs"]
mod kind;
#[cfg(any(orch_loom, orch_shuttle))]
#[path = "sync/modelled.rs"]
mod modelled;
#[cfg(not(orch_loom))]
#[path = "sync/plain.rs"]
mod plain;

#[cfg(all(orch_loom, test))]
pub(crate) use kind::forget_freed;
pub(crate) use kind::{
    AtomicBool, AtomicCell, AtomicPtr, AtomicU64, Life, Mutex, MutexGuard, Notify, OnceBox,
    Ordering, SPINS, free, meet, spin, thread_local,
};

/// What a panic left behind is taken as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Where a thread that the operating system stops might do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// A sender has looked at the newest message of a lane, and not pushed its own yet.
    LookedNotPushed,
    /// A sender has pushed a message, and not linked it to the next older one.
    PushedNotLinked,
    /// A sender has announced the mailbox, and not yet noted so.
    AnnouncedNotRaised,
    /// A receiver has found nothing, and does not wait yet.
    FoundNoMessage,
    /// A receiver has found nothing, and has not said yet that it rests.
    FoundNothingNotResting,
    /// A sender has found no room, and does not wait yet.
    FoundNoRoom,
}

/// Tells that this thread passes `point`. Nothing happens, but in tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn pass(_: Point) {}

/// Tells that a receiver reads a node of a lane. Nothing happens, but in tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn touch() {}

#[cfg(test)]
pub(crate) use in_tests::{pass, touch};

#[cfg(test)]
#[path = "sync/in_tests.rs"]
pub(crate) mod in_tests;
