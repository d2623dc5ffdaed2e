//! What the mailbox is built on, but in models.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread_local;

pub(crate) use crossbeam_utils::atomic::AtomicCell;
pub(crate) use once_cell::race::OnceBox;
pub(crate) use tokio::sync::Notify;

pub(crate) use super::plain::{Life, free};

/// Stands between a step that others meet and the look for theirs. Nothing is needed: both are
/// `SeqCst`, and so are theirs.
pub(crate) const fn meet() {}

/// How often a receiver looks again for what a sender is about to write, before it looks elsewhere.
pub(crate) const SPINS: u32 = 8;

pub(crate) fn spin() {
    std::hint::spin_loop();
}
