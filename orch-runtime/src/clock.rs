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

/// A reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: Instant,
    pub(crate) now: Timestamp,
}

impl Clock {
    pub(crate) fn read(&self) -> Moment {
        let at = Instant::now();
        Moment { at, now: self.at(at) }
    }
}

/// Readings that messages in a row share, because a reading costs as much as a short handler: up to
/// `SHARED` of them, if those before took less than `SLOW` together. So one long message may share a
/// reading with short ones; then its time is shared among them too. Only within one shift of a worker;
/// whoever waits reads the clock, and so does whatever a time decides.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    last: Option<(u64, Moment)>,
    /// Messages since then, and how many may be.
    n: u32,
    n_max: u32,
    /// How long a message took before then.
    average: Duration,
}

const SHARED: u32 = 16;
const SLOW: Duration = Duration::from_millis(1);

impl Ticker {
    /// When an activation begins. `shift` is the number of the worker's shift; `None` for a task.
    pub(crate) fn begin(&mut self, clock: &Clock, shift: Option<u64>) -> Moment {
        match self.last {
            Some((of, last)) if Some(of) == shift => last,
            _ => self.anew(clock, shift),
        }
    }

    /// When a message ends that began at `began`, and how long it took: on the average, if it shares
    /// a reading with others.
    pub(crate) fn end(
        &mut self,
        clock: &Clock,
        shift: Option<u64>,
        began: Moment,
    ) -> (Moment, Duration) {
        let Some((_, last)) = self.last.filter(|(of, _)| Some(*of) == shift) else {
            let end = self.anew(clock, shift);
            return (end, end.at.duration_since(began.at));
        };
        self.n += 1;
        if self.n <= self.n_max {
            return (last, self.average);
        }
        let end = clock.read();
        let together = end.at.duration_since(last.at);
        self.average = together / self.n;
        self.n_max = if together > SLOW { 0 } else { (self.n_max * 2 + 1).min(SHARED) };
        self.n = 0;
        self.last = shift.map(|shift| (shift, end));
        (end, self.average)
    }

    fn anew(&mut self, clock: &Clock, shift: Option<u64>) -> Moment {
        let moment = clock.read();
        *self = Self { last: shift.map(|shift| (shift, moment)), ..Self::default() };
        moment
    }
}

/// How long a worker goes on before tokio's timers and I/O have their turn. That turn costs some 6 µs, as it
/// often wakes another thread: after each 128 messages, a hop took 160 ns and not 115.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    n: u32,
    /// When to look, and after how many messages more the next time.
    look_at: u32,
    step: u32,
}

impl Watch {
    const SHIFT: Duration = Duration::from_micros(250);
    /// For a clock that stands still.
    const MESSAGES_MAX: u32 = 8_192;

    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), n: 0, look_at: 1, step: 1 }
    }

    /// Counts messages, and says whether it is time. Looks at the clock soon, if messages are slow, and
    /// seldom while they are fast.
    pub(crate) fn is_over(&mut self, n_messages: u32) -> bool {
        const STEP_MAX: u32 = 64;
        self.n += n_messages.max(1);
        if self.n < self.look_at {
            return false;
        }
        self.step = (self.step * 2).min(STEP_MAX);
        self.look_at = self.n + self.step;
        self.n >= Self::MESSAGES_MAX || self.began.elapsed() >= Self::SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_share_a_reading_only_while_they_are_fast() {
        let clock = Clock::start();
        let mut ticker = Ticker::default();
        let mut n_read = 0;
        let mut last = ticker.begin(&clock, Some(1));
        for _ in 0..200 {
            tokio::time::advance(Duration::from_micros(10)).await;
            let (end, took) = ticker.end(&clock, Some(1), last);
            n_read += u32::from(end.at != last.at);
            assert!(took == Duration::from_micros(10), "{took:?}");
            assert!(clock.read().at.duration_since(end.at) <= Duration::from_micros(160));
            last = end;
        }
        assert!(n_read < 20, "{n_read}");
        // From the first slow one on, each is read for itself.
        for n in 0..40 {
            tokio::time::advance(Duration::from_millis(5)).await;
            let (end, took) = ticker.end(&clock, Some(1), last);
            assert!(n < 17 || took == Duration::from_millis(5), "{n}: {took:?}");
            last = end;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shift_ends_by_time_and_after_one_message_that_is_slow() {
        let advance = |micros| tokio::time::advance(Duration::from_micros(micros));
        let mut watch = Watch::start();
        advance(250).await;
        assert!(watch.is_over(1));
        let mut watch = Watch::start();
        let mut n = 0;
        while !watch.is_over(1) {
            advance(1).await;
            n += 1;
        }
        assert!((250..250 + 64).contains(&n), "{n}");
        let mut stands_still = Watch::start();
        assert_eq!((1..).find(|_| stands_still.is_over(64)), Some(Watch::MESSAGES_MAX / 64));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_shares_a_reading_with_another_shift_or_a_task() {
        let clock = Clock::start();
        let mut ticker = Ticker::default();
        let begun = ticker.begin(&clock, Some(1));
        tokio::time::advance(Duration::from_secs(5)).await;
        let (end, took) = ticker.end(&clock, None, begun);
        assert_eq!(took, Duration::from_secs(5));
        assert_eq!(end.at, clock.read().at);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(ticker.begin(&clock, Some(2)).at, clock.read().at);
    }
}
