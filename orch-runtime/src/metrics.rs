//! Figures, bumped where the thing happens and summed up when they are read. Reading them stops
//! nobody.
//!
//! What happens with each message is counted in [`Shard`]s, one for each worker, so that it costs a
//! load and a store in a cache line of the worker's own: [`Metrics::shard`]. Whoever is no worker
//! counts in [`Metrics::shared`]. No count is lost in either. What is rare is a [`Figure`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
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

    /// As [`add`](Self::add), for a figure that nobody else writes to meanwhile: some 0.3 ns, where a
    /// read-modify-write costs 2 to 6.
    fn add_alone(&self, n: u64) {
        let before = self.get();
        let after = before.wrapping_add(n);
        if cfg!(debug_assertions) {
            let added =
                self.0.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
            assert!(added.is_ok(), "two threads write to the shard of one worker");
        } else {
            self.set(after);
        }
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
    /// Counts `n` durations of this length each.
    fn record_with(&self, add: impl Fn(&Figure, u64), duration: Duration, n: u64) {
        add(&self.buckets[DurationHistogram::bucket_of(duration)], n);
        let micros = duration.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(duration.subsec_micros()));
        add(&self.sum_us, micros.saturating_mul(n));
    }

    fn add_to(&self, sum: &mut DurationHistogram) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        sum.sum_us = sum.sum_us.saturating_add(self.sum_us.get());
    }
}

/// What is counted of each message, by one worker or by all who are none.
///
/// Aligned to two cache lines, which some processors fetch together.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    writers: Writers,
    messages: Figure,
    wait_time: Histogram,
    handling_time: Histogram,
}

/// Who writes to a shard at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    One,
    Many,
}

impl Shard {
    fn new(writers: Writers) -> Self {
        Self {
            writers,
            messages: Figure::default(),
            wait_time: Histogram::default(),
            handling_time: Histogram::default(),
        }
    }
}

impl Shard {
    /// Counts messages that were handled.
    pub(crate) fn handled(&self, n: u64) {
        self.add(&self.messages, n);
    }

    /// Counts how long a message waited for its first attempt.
    pub(crate) fn waited(&self, duration: Duration) {
        self.wait_time.record_with(|figure, n| self.add(figure, n), duration, 1);
    }

    /// Counts `n` attempts that took `duration` each.
    pub(crate) fn took(&self, duration: Duration, n: u64) {
        self.handling_time.record_with(|figure, n| self.add(figure, n), duration, n);
    }
}

impl Shard {
    fn add(&self, figure: &Figure, n: u64) {
        match self.writers {
            Writers::One => figure.add_alone(n),
            Writers::Many => figure.add(n),
        }
    }

    fn add_to(&self, sum: &mut Totals) {
        sum.messages += self.messages.get();
        self.wait_time.add_to(&mut sum.wait_time);
        self.handling_time.add_to(&mut sum.handling_time);
    }
}

/// What all shards have counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) messages: u64,
    pub(crate) wait_time: DurationHistogram,
    pub(crate) handling_time: DurationHistogram,
}

impl Totals {
    fn since(&self, before: &Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(before.messages),
            wait_time: difference(&self.wait_time, &before.wait_time),
            handling_time: difference(&self.handling_time, &before.handling_time),
        }
    }
}

fn difference(now: &DurationHistogram, before: &DurationHistogram) -> DurationHistogram {
    DurationHistogram {
        buckets: std::array::from_fn(|i| now.buckets[i].saturating_sub(before.buckets[i])),
        sum_us: now.sum_us.saturating_sub(before.sum_us),
    }
}

/// Workers that have a shard of their own; further ones count in the shared one.
const SHARDS: usize = 64;

#[derive(Debug)]
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
    /// Made when the worker first asks for its own.
    shards: [OnceLock<Box<Shard>>; SHARDS],
    shared: Shard,
    /// What the shards had counted at the last reset. They are not set to zero: a worker that has
    /// read a figure and not yet written it would bring the old one back.
    before: Mutex<Totals>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            iterations: Figure::default(),
            messages: Figure::default(),
            retries: Figure::default(),
            errors: Figure::default(),
            dead_letters_before: Figure::default(),
            usage: Mutex::default(),
            wait_time: Histogram::default(),
            handling_time: Histogram::default(),
            shards: [const { OnceLock::new() }; SHARDS],
            shared: Shard::new(Writers::Many),
            before: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Where the worker of this number counts. Only one thread at a time may; if the worker moves to
    /// another, what it did before must happen before what it does there, as it does with a task.
    pub(crate) fn shard(&self, worker: usize) -> &Shard {
        let own = self.shards.get(worker);
        own.map_or(&self.shared, |own| own.get_or_init(|| Box::new(Shard::new(Writers::One))))
    }

    /// Where whoever is no worker counts.
    pub(crate) fn shared(&self) -> &Shard {
        &self.shared
    }
}

impl Metrics {
    /// What was counted of each message since the last reset.
    pub(crate) fn totals(&self) -> Totals {
        // Summed up under the lock: one after a reset finds no less than the reset did.
        let before = lock(&self.before);
        self.sum().since(&before)
    }

    fn sum(&self) -> Totals {
        let mut sum = Totals { messages: self.messages.get(), ..Totals::default() };
        self.wait_time.add_to(&mut sum.wait_time);
        self.handling_time.add_to(&mut sum.handling_time);
        self.shared.add_to(&mut sum);
        self.shards.iter().filter_map(OnceLock::get).for_each(|shard| shard.add_to(&mut sum));
        sum
    }

    pub(crate) fn reset(&self) {
        let Self { iterations, retries, errors, .. } = self;
        [iterations, retries, errors].into_iter().for_each(Figure::reset);
        *lock(&self.usage) = Usage::default();
        let mut before = lock(&self.before);
        *before = self.sum();
    }

    pub(crate) fn add_usage(&self, usage: Usage) {
        *lock(&self.usage) += usage;
    }

    pub(crate) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As much of a figure as the wider types of SPEC.md hold.
pub(crate) fn saturate(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    /// Enough that writers overlap, also where others use the processors.
    const N: u64 = 300_000;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// `n` messages as all of the writers of a test count them.
    fn count(shard: &Shard, n: u64) {
        for _ in 0..n {
            shard.handled(1);
            shard.waited(micros(3));
            shard.took(micros(100), 2);
        }
    }

    fn counted(n: u64) -> Totals {
        let mut totals = Totals { messages: n, ..Totals::default() };
        totals.wait_time.buckets[2] = n;
        totals.wait_time.sum_us = 3 * n;
        totals.handling_time.buckets[7] = 2 * n;
        totals.handling_time.sum_us = 200 * n;
        totals
    }

    #[test]
    fn no_count_of_workers_and_others_is_lost() {
        let metrics = &Metrics::default();
        // Two workers, two that have no shard of their own, and one that is no worker.
        let shards = [0, 1, SHARDS, SHARDS].map(|worker| metrics.shard(worker));
        let shards: Vec<_> = shards.into_iter().chain([metrics.shared()]).collect();
        let (done, begin) = (&AtomicBool::new(false), &Barrier::new(shards.len()));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let messages = metrics.totals().messages;
                    assert!(last <= messages);
                    last = messages;
                }
            });
            let writers = shards.iter().map(|shard| {
                scope.spawn(|| {
                    begin.wait();
                    count(shard, N);
                })
            });
            let writers: Vec<_> = writers.collect();
            metrics.messages.add(N);
            let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            // Before anything may fail, or the reader would not end.
            done.store(true, Ordering::Relaxed);
            ended.into_iter().chain([reader.join()]).for_each(Result::unwrap);
        });
        let expected = Totals { messages: 6 * N, ..counted(5 * N) };
        assert_eq!(metrics.totals(), expected);
    }

    #[test]
    fn a_reset_while_workers_count_holds() {
        let metrics = Metrics::default();
        thread::scope(|scope| {
            let writer = scope.spawn(|| count(metrics.shard(0), N));
            while !writer.is_finished() {
                count(metrics.shared(), 1);
                metrics.reset();
                assert!(metrics.totals().messages <= N);
            }
        });
        count(metrics.shared(), 1);
        metrics.reset();
        assert_eq!(metrics.totals(), Totals::default());
        count(metrics.shard(0), 1);
        count(metrics.shared(), 2);
        assert_eq!(metrics.totals(), counted(3));
    }

    #[test]
    fn a_worker_keeps_its_shard_and_shares_it_with_nobody() {
        let metrics = Metrics::default();
        assert!(std::ptr::eq(metrics.shard(3), metrics.shard(3)));
        assert!(!std::ptr::eq(metrics.shard(3), metrics.shard(4)));
        assert!(std::ptr::eq(metrics.shard(SHARDS), metrics.shared()));
        assert_eq!(metrics.shard(3).writers, Writers::One);
        assert_eq!(metrics.shared().writers, Writers::Many);
    }
}
