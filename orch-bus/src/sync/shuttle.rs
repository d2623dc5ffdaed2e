//! What the mailbox is built on under shuttle, which tries many orders at random.

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use shuttle::thread_local;

pub(crate) use super::modelled::{AtomicCell, Notify, OnceBox};
pub(crate) use super::plain::{Life, free};

/// Nothing: all steps under shuttle have one order.
pub(crate) const fn meet() {}

/// None: that the sender goes on meanwhile is one of the orders that shuttle tries anyway.
pub(crate) const SPINS: u32 = 0;

pub(crate) fn spin() {
    shuttle::hint::spin_loop();
}
