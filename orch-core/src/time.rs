//! A point in time as the pure layers see it: milliseconds, handed in as an argument.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mint;

/// Milliseconds since the Unix epoch. In JSON a plain number, as `Date` in JavaScript takes it.
///
/// Arithmetic saturates: a deadline that would lie beyond the end of time is the end of time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "number"))]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The largest timestamp; as a deadline it means "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// Reads the clock of this thread's [`mint`] source: the system's, unless a test replaced it.
    #[must_use]
    pub fn now() -> Self {
        mint::now()
    }

    /// The timestamp that lies `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This timestamp plus `by`. A part of a millisecond is rounded up, so that nothing that waits
    /// for the sum happens early.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let millis = by.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this timestamp; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_rounds_up_and_saturates() {
        let at = Timestamp::from_millis(10);
        assert_eq!(at.after(Duration::from_micros(1)), Timestamp::from_millis(11));
        assert_eq!(at.after(Duration::MAX), Timestamp::NEVER);
        assert_eq!(at.since(Timestamp::from_millis(12)), Duration::ZERO);
    }
}
