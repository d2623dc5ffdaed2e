//! Figures, bumped where the thing happens and summed up when they are read. Reading them stops
//! nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orch_core::DurationHistogram;

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

    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
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
    pub(crate) dead_letters: Figure,
    pub(crate) wait_time: Histogram,
    pub(crate) handling_time: Histogram,
}

impl Metrics {
    pub(crate) fn reset(&self) {
        let Self { iterations, messages, retries, errors, dead_letters, .. } = self;
        [iterations, messages, retries, errors, dead_letters].into_iter().for_each(Figure::reset);
        self.wait_time.reset();
        self.handling_time.reset();
    }
}

/// As much of a figure as the wider types of SPEC.md hold.
pub(crate) fn saturate(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(u32::MAX)
}
