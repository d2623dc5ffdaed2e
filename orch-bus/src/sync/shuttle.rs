//! What the mailbox is built on under shuttle, which tries many orders at random.

pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

pub(crate) use super::modelled::{Notify, OnceBox};

/// Nothing: all steps under shuttle have one order.
pub(crate) const fn meet() {}

/// None: that the sender goes on meanwhile is one of the orders that shuttle tries anyway.
pub(crate) const SPINS: u32 = 0;

pub(crate) fn spin() {
    shuttle::hint::spin_loop();
}

/// Nothing: shuttle does not look for races.
#[derive(Debug)]
pub(crate) struct Life;

impl Life {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) const fn shared(&self) {}

    pub(crate) const fn alone(&self) {}
}

/// At once, so that the next node has the same address, as it often has in a program.
pub(crate) fn free<T>(memory: Box<T>) {
    drop(memory);
}
