//! The atomics of this crate, in one place so that a model checker can replace them, and the points
//! at which a test stops a thread.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Where a thread that the operating system stops might do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// A sender has announced the mailbox, and not yet noted so.
    AnnouncedNotRaised,
    /// A receiver has found nothing, and does not wait yet.
    FoundNoMessage,
    /// A sender has found no room, and does not wait yet.
    FoundNoRoom,
}

/// Tells that this thread passes `point`. Nothing happens, but in tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn pass(_: Point) {}

#[cfg(test)]
pub(crate) use in_tests::{at, pass};

#[cfg(test)]
mod in_tests {
    use std::cell::RefCell;

    use super::Point;

    type Plan = Option<(Point, Box<dyn FnOnce()>)>;

    thread_local! {
        static PLAN: RefCell<Plan> = const { RefCell::new(None) };
    }

    /// Runs `f` when this thread passes `point` next.
    pub(crate) fn at(point: Point, f: impl FnOnce() + 'static) {
        PLAN.set(Some((point, Box::new(f))));
    }

    pub(crate) fn pass(point: Point) {
        let planned = PLAN.with_borrow_mut(|plan| plan.take_if(|(at, _)| *at == point));
        if let Some((_, f)) = planned {
            f();
        }
    }
}
