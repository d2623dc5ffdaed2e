//! At most `n` in any window of a given length, exactly: the one rule behind rates and restarts.

use std::collections::VecDeque;
use std::time::Duration;

use orch_core::Timestamp;

/// When the last ones happened, as many as the limit is, so that the next can be judged.
///
/// The window is half-open: what happened at `t` no longer counts at exactly `t + length`.
///
/// A clock that steps back opens nothing. Each entry is kept at the time that was given, or at that
/// of the entry before it if the clock stepped back; and the next is judged against the time that is
/// given, not against the latest ever seen. So any `n + 1` entries lie at least `length` apart, by
/// the clock as it was read and by the times that were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Invariant: ascending.
    times: VecDeque<Timestamp>,
}

/// No more fits now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// When the next fits, if none comes before; `None` for never.
    pub(crate) possible_at: Option<Timestamp>,
}

impl Window {
    pub(crate) fn from_times(mut times: Vec<Timestamp>) -> Self {
        times.sort_unstable();
        Self { times: times.into() }
    }

    /// Whether one more fits at `now`.
    pub(crate) fn room(&self, now: Timestamp, n: u32, length: Duration) -> Result<(), Full> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let Some(index) = self.times.len().checked_sub(n) else {
            return Ok(());
        };
        match self.times.get(index) {
            Some(&oldest) if now.since(oldest) >= length => Ok(()),
            Some(&oldest) => Err(Full { possible_at: end_of_window(oldest, length) }),
            // Only with n = 0: there is no entry whose end could be waited for.
            None => Err(Full { possible_at: None }),
        }
    }

    /// Counts one more. Keeps no more than `n`, since older ones never decide.
    pub(crate) fn record(&mut self, now: Timestamp, n: u32) {
        let at = self.times.back().map_or(now, |&last| last.max(now));
        self.times.push_back(at);
        let excess = self.times.len().saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
        self.times.drain(..excess);
    }

    /// How many count at `now`.
    pub(crate) fn count(&self, now: Timestamp, length: Duration) -> usize {
        self.times.len() - self.times.partition_point(|&at| now.since(at) >= length)
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.times.iter().copied()
    }
}

/// `None` if the window would end after the end of time.
fn end_of_window(start: Timestamp, length: Duration) -> Option<Timestamp> {
    Some(start.after(length)).filter(|end| end.since(start) >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn full_until(millis: u64) -> Result<(), Full> {
        Err(Full { possible_at: Some(at(millis)) })
    }

    #[track_caller]
    fn check(times: &[u64], now: u64, n: u32, expected: Result<(), Full>) {
        let window = Window::from_times(times.iter().copied().map(at).collect());
        assert_eq!(window.room(at(now), n, LENGTH), expected);
    }

    #[test]
    fn the_window_is_half_open() {
        check(&[7], 106, 1, full_until(107));
        check(&[7], 107, 1, Ok(()));
    }

    #[test]
    fn only_the_last_n_decide() {
        check(&[0, 50, 60], 99, 3, full_until(100));
        check(&[0, 50, 60], 99, 2, full_until(150));
        check(&[0, 50, 60], 99, 4, Ok(()));
    }

    #[test]
    fn zero_is_never() {
        check(&[], 500, 0, Err(Full { possible_at: None }));
        check(&[1], 500, 0, Err(Full { possible_at: None }));
    }

    #[test]
    fn a_step_back_is_judged_by_the_time_given_and_kept_at_the_time_before() {
        let mut window = Window::from_times(vec![at(0), at(200)]);
        assert_eq!(window.room(at(10), 2, LENGTH), full_until(100));
        window.record(at(120), 2);
        assert_eq!(window.times().collect::<Vec<_>>(), [at(200), at(200)]);
    }

    #[test]
    fn the_end_of_time_opens_nothing() {
        let late = u64::MAX - 10;
        check(&[late], u64::MAX, 1, Err(Full { possible_at: None }));
    }

    #[test]
    fn memory_is_bounded_by_the_limit() {
        let mut window = Window::default();
        (0..1_000).for_each(|millis| window.record(at(millis), 3));
        assert_eq!(window.times().count(), 3);
    }
}
