//! The atomics of this crate, in one place so that a model checker can replace them.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
