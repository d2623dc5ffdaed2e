//! The clock of one run: it starts at the wall clock's time and then only goes on, so a wall clock
//! that jumps makes nothing early or late. Under tokio's paused time it is virtual.

use std::time::Duration;

use orch_core::Timestamp;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), started_at: Timestamp::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// Rounded down, so that what is due at the answer is due at `instant`.
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        let elapsed = instant.duration_since(self.started).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.started_at.as_millis().saturating_add(elapsed))
    }

    /// When `at` comes; `None` if that is beyond what an instant can say.
    pub(crate) fn instant(&self, at: Timestamp) -> Option<Instant> {
        self.started.checked_add(at.since(self.started_at))
    }

    /// When `wait` has gone by since the start; `None` for never.
    pub(crate) fn after_start(&self, wait: Duration) -> Option<Instant> {
        self.started.checked_add(wait)
    }
}
