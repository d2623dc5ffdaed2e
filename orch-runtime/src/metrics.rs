//! Figures, bumped where the thing happens and summed up when they are read. Reading them stops
//! nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orch_core::{DurationHistogram, Usage};

/// Relaxed throughout: a figure orders nothing.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn bump(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn raise_to(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn reset(&self) {
        self.set(0);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Figure; DurationHistogram::BUCKETS],
    sum_us: Figure,
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        self.buckets[DurationHistogram::bucket_of(duration)].bump();
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self) -> DurationHistogram {
        DurationHistogram {
            buckets: std::array::from_fn(|i| self.buckets[i].get()),
            sum_us: self.sum_us.get(),
        }
    }

    pub(crate) fn reset(&self) {
        self.buckets.iter().for_each(Figure::reset);
        self.sum_us.reset();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) iterations: Figure,
    pub(crate) messages: Figure,
    pub(crate) retries: Figure,
    pub(crate) errors: Figure,
    /// Letters of the bus that are not counted: older ones, and those before a reset.
    pub(crate) dead_letters_before: Figure,
    /// What all agents used, those that are gone included.
    usage: Mutex<Usage>,
    pub(crate) wait_time: Histogram,
    pub(crate) handling_time: Histogram,
}

impl Metrics {
    pub(crate) fn reset(&self) {
        let Self { iterations, messages, retries, errors, .. } = self;
        [iterations, messages, retries, errors].into_iter().for_each(Figure::reset);
        *self.lock_usage() = Usage::default();
        self.wait_time.reset();
        self.handling_time.reset();
    }

    pub(crate) fn add_usage(&self, usage: Usage) {
        *self.lock_usage() += usage;
    }

    pub(crate) fn usage(&self) -> Usage {
        *self.lock_usage()
    }

    fn lock_usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a figure as the wider types of SPEC.md hold.
pub(crate) fn saturate(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(u32::MAX)
}
