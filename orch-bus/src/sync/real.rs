//! What the mailbox is built on, but in models.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use once_cell::race::OnceBox;
pub(crate) use tokio::sync::Notify;

/// Stands between a step that others meet and the look for theirs. Nothing is needed: both are
/// `SeqCst`, and so are theirs.
pub(crate) const fn meet() {}

/// How often a receiver looks again for what a sender is about to write, before it looks elsewhere.
pub(crate) const SPINS: u32 = 8;

pub(crate) fn spin() {
    std::hint::spin_loop();
}

/// Tells a model checker who reads and who owns what this lies in. Here it is nothing.
#[derive(Debug)]
pub(crate) struct Life;

impl Life {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Somebody reads, or writes atomics.
    pub(crate) const fn shared(&self) {}

    /// The caller has it alone.
    pub(crate) const fn alone(&self) {}
}

/// Gives memory back, which a model checker must not let others have at once.
pub(crate) fn free<T>(memory: Box<T>) {
    drop(memory);
}
