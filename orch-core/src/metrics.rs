//! Figures of an orchestrator, as a snapshot.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AgentId, MessagePriority, Usage};

/// What an orchestrator has done since it was made (or `reset_metrics`). Counts saturate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
#[non_exhaustive]
pub struct OrchestratorMetrics {
    /// The highest round of hand-outs of any run.
    pub total_iterations: u32,
    /// Messages that were handled.
    pub total_messages: u64,
    /// Messages that each agent handled.
    pub messages_per_agent: HashMap<AgentId, u32>,
    /// Attempts after the first.
    pub retry_count: u64,
    /// Attempts that failed.
    pub error_count: u64,
    /// Messages that wait in mailboxes.
    pub queue_depth: usize,
    /// The same by priority.
    pub queue_depth_by_priority: PriorityDepth,
    /// Handlers that run or wait.
    pub in_flight: usize,
    /// Dead letters that were made.
    pub dead_letter_count: u64,
    /// From acceptance to the first attempt, for each message.
    pub wait_time: DurationHistogram,
    /// Of each attempt, from its beginning to its end.
    pub handling_time: DurationHistogram,
    /// What all agents used together.
    pub usage: Usage,
    /// What each agent used.
    pub usage_per_agent: HashMap<AgentId, Usage>,
}

/// Messages that wait, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct PriorityDepth {
    /// Critical ones.
    pub critical: usize,
    /// High ones.
    pub high: usize,
    /// Normal ones.
    pub normal: usize,
    /// Low ones.
    pub low: usize,
}

impl PriorityDepth {
    /// All of them together.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.critical + self.high + self.normal + self.low
    }

    /// Those of one priority.
    #[must_use]
    pub const fn of(&self, priority: MessagePriority) -> usize {
        match priority {
            MessagePriority::Critical => self.critical,
            MessagePriority::High => self.high,
            MessagePriority::Normal => self.normal,
            MessagePriority::Low => self.low,
        }
    }

    /// Counts `n` more of one priority.
    pub const fn add(&mut self, priority: MessagePriority, n: usize) {
        let depth = match priority {
            MessagePriority::Critical => &mut self.critical,
            MessagePriority::High => &mut self.high,
            MessagePriority::Normal => &mut self.normal,
            MessagePriority::Low => &mut self.low,
        };
        *depth += n;
    }
}

/// Durations, counted in buckets whose bounds double: bucket `i` has those below 2^i microseconds
/// that no smaller bucket has; the last one has all the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct DurationHistogram {
    /// Durations by bucket; 32 buckets, the largest bound is 2^31 µs (36 minutes).
    pub buckets: [u64; Self::BUCKETS],
    /// The sum of all of them in microseconds.
    pub sum_us: u64,
}

impl DurationHistogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = 32;

    /// The bucket that a duration belongs to.
    #[must_use]
    #[inline]
    pub const fn bucket_of(duration: Duration) -> usize {
        let bits = u64::BITS - micros(duration).leading_zeros();
        if (bits as usize) < Self::BUCKETS { bits as usize } else { Self::BUCKETS - 1 }
    }

    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        self.buckets[Self::bucket_of(duration)] += 1;
        self.sum_us = self.sum_us.saturating_add(micros(duration));
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean; zero if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.sum_us.checked_div(self.count()).unwrap_or(0))
    }

    /// An upper bound of the `q`-quantile (`q` from 0 to 1), at most twice the true value.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = (q.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= wanted && seen > 0 {
                return Duration::from_micros(1 << i);
            }
        }
        Duration::ZERO
    }
}

/// Whole microseconds, at most `u64::MAX`. Without the 128-bit division of `Duration::as_micros`.
const fn micros(duration: Duration) -> u64 {
    let of_seconds = duration.as_secs().saturating_mul(1_000_000);
    of_seconds.saturating_add(duration.subsec_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_double_and_the_last_takes_the_rest() {
        let bucket = |micros| DurationHistogram::bucket_of(Duration::from_micros(micros));
        assert_eq!([0, 1, 2, 3, 4, 1 << 30].map(bucket), [0, 1, 2, 2, 3, 31]);
        assert_eq!(DurationHistogram::bucket_of(Duration::MAX), 31);
    }

    #[test]
    fn microseconds_are_whole_and_saturate() {
        assert_eq!(micros(Duration::new(3, 1_999)), 3_000_001);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_quantile_is_an_upper_bound_of_the_true_one() {
        let mut histogram = DurationHistogram::default();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 100);
        assert!(histogram.quantile(0.5) >= Duration::from_micros(50));
        assert!(histogram.quantile(0.5) <= Duration::from_micros(100));
        assert_eq!(histogram.mean(), Duration::from_micros(50));
    }
}
