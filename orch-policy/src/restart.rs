//! Restart intensity: how often a failed agent is restarted before its supervisor gives up.

use std::time::Duration;

use orch_core::Timestamp;

use crate::window::Window;

/// Restarts that are allowed in any window of time. By default 3 in 60 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RestartIntensity {
    /// Restarts in any window; 0 for none at all.
    pub restarts_max: u32,
    /// The length of the window. Half-open: a restart at `t` no longer counts at `t + window`.
    pub window: Duration,
}

impl RestartIntensity {
    /// At most `restarts_max` restarts in any window of this length.
    #[must_use]
    pub const fn new(restarts_max: u32, window: Duration) -> Self {
        Self { restarts_max, window }
    }
}

impl Default for RestartIntensity {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(60))
    }
}

/// What a supervisor does with an agent that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RestartDecision {
    /// It is restarted.
    Restart {
        /// Restarts in the window that ends now, this one included.
        count: u32,
    },
    /// It failed too often and stays failed.
    GiveUp,
}

/// Counts the restarts of one agent. Another chance for it is a new one of these.
///
/// A clock that steps back allows no more restarts than one that does not.
#[derive(Clone, Debug)]
pub struct Restarts {
    intensity: RestartIntensity,
    window: Window,
}

impl Restarts {
    /// No restart so far.
    #[must_use]
    pub fn new(intensity: RestartIntensity) -> Self {
        Self { intensity, window: Window::default() }
    }

    /// Decides on an agent that failed at `now`, and counts the restart if there is one.
    pub fn on_failure(&mut self, now: Timestamp) -> RestartDecision {
        let RestartIntensity { restarts_max, window } = self.intensity;
        if self.window.room(now, restarts_max, window).is_err() {
            return RestartDecision::GiveUp;
        }
        self.window.record(now, restarts_max);
        // A window of no length holds not even this one.
        let count = self.window.count(now, window).max(1);
        RestartDecision::Restart { count: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows failures at these seconds: the count of restarts, or 0 for giving up.
    fn counts(intensity: RestartIntensity, seconds: &[u64]) -> Vec<u32> {
        let mut restarts = Restarts::new(intensity);
        let mut decide = |&second: &u64| {
            let now = Timestamp::from_millis(second * 1_000);
            match restarts.on_failure(now) {
                RestartDecision::Restart { count } => count,
                RestartDecision::GiveUp => 0,
            }
        };
        seconds.iter().map(&mut decide).collect()
    }

    #[track_caller]
    fn check(seconds: &[u64], expected: &[u32]) {
        assert_eq!(counts(RestartIntensity::default(), seconds), expected);
    }

    #[test]
    fn the_fourth_failure_within_the_window_is_one_too_many() {
        check(&[10, 20, 30, 69], &[1, 2, 3, 0]);
        check(&[10, 20, 30, 70], &[1, 2, 3, 3]);
        check(&[10, 10, 10, 10], &[1, 2, 3, 0]);
    }

    #[test]
    fn restarts_that_are_far_apart_never_end() {
        check(&[0, 60, 120, 180, 240], &[1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_clock_that_steps_back_allows_no_more() {
        check(&[100, 0, 0, 0, 159, 160], &[1, 2, 3, 0, 0, 1]);
        check(&[100, 100, 160, 110], &[1, 2, 1, 0]);
    }

    #[test]
    fn an_intensity_of_zero_never_restarts() {
        let never = RestartIntensity::new(0, Duration::from_secs(60));
        assert_eq!(counts(never, &[0, 1_000]), [0, 0]);
    }

    #[test]
    fn a_window_of_no_length_always_restarts() {
        assert_eq!(counts(RestartIntensity::new(1, Duration::ZERO), &[5, 5, 5]), [1, 1, 1]);
    }
}
