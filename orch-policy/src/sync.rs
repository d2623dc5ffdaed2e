//! The locks that threads meet at, in one place so that a model checker can replace them:
//! `--cfg orch_shuttle` puts shuttle's here. See `docs/proofs.md`.

#[cfg(not(orch_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(orch_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// Takes a lock, also after a panic under it: what it protects is changed in whole steps alone.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
