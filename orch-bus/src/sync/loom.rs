//! What the mailbox is built on under loom, which tries all orders and all that the memory model
//! lets a thread see.

use std::any::Any;
use std::cell::RefCell;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) use super::modelled::{AtomicCell, Notify, OnceBox};

/// Loom takes `SeqCst` for acquire and release, but for fences.
pub(crate) fn meet() {
    atomic::fence(Ordering::SeqCst);
}

/// None: that the sender goes on meanwhile is one of the orders that loom tries anyway.
pub(crate) const SPINS: u32 = 0;

pub(crate) fn spin() {
    loom::hint::spin_loop();
}

/// A cell without content: loom fails if two threads use it at once, unless both only share it.
#[derive(Debug)]
pub(crate) struct Life(loom::cell::UnsafeCell<()>);

impl Life {
    pub(crate) fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(()))
    }

    pub(crate) fn shared(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn alone(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Loom's own does not know `const`.
macro_rules! local {
    ($(#[$about:meta])* static $name:ident: $type:ty = const $start:block;) => {
        loom::thread_local! { $(#[$about])* static $name: $type = $start; }
    };
}
pub(crate) use local as thread_local;

std::thread_local! {
    static FREED: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the memory to the end of the run. If it came back at once, then at other addresses in other
/// runs, and loom needs runs that it can repeat; and a use after this is found by [`Life`].
pub(crate) fn free<T: 'static>(memory: Box<T>) {
    FREED.with_borrow_mut(|freed| freed.push(memory));
}

/// Between two runs.
#[cfg(test)]
pub(crate) fn forget_freed() {
    FREED.take();
}

/// An atomic of loom behind a gate.
///
/// Loom skips orders in which nothing can differ. For that it compares each step with the last one on the
/// same atomic alone: the read-modify-write of a thread that has loaded before is compared with that load
/// of its own, and so the loads of others are forgotten, and never tried after it. A step on a second
/// atomic before each makes any two steps depend on each other; being Relaxed, it shows nothing to anyone.
macro_rules! atomic {
    ($name:ident $(<$t:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name $(<$t>)? {
            gate: atomic::AtomicUsize,
            inner: atomic::$name $(<$t>)?,
        }

        impl $(<$t>)? $name $(<$t>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self { gate: atomic::AtomicUsize::new(0), inner: atomic::$name::new(value) }
            }

            fn step(&self) -> &atomic::$name $(<$t>)? {
                self.gate.fetch_add(1, Ordering::Relaxed);
                &self.inner
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.step().load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.step().store(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.step().swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.step().compare_exchange(current, new, success, failure)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);
atomic!(AtomicU64, u64);

impl AtomicU64 {
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.step().fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.step().fetch_sub(value, order)
    }

    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        self.step().fetch_or(value, order)
    }

    pub(crate) fn fetch_update(
        &self,
        success: Ordering,
        failure: Ordering,
        mut update: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        let mut before = self.load(failure);
        while let Some(after) = update(before) {
            match self.compare_exchange(before, after, success, failure) {
                Ok(before) => return Ok(before),
                Err(other) => before = other,
            }
        }
        Err(before)
    }
}
