//! When the next attempt begins, or why there is none.

use std::time::Duration;

use orch_core::{DeadLetterReason, Failure, Timestamp};

/// The longest `Retry-After` that is waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// A nanosecond doubled as often is more than [`Duration::MAX`], so nothing grows beyond it.
const ATTEMPTS_THAT_MATTER: u32 = 96;

/// A fifth on top at most: 20 %.
const JITTER_PART: u64 = 5;

/// The pause between attempts: doubled each time, capped, with a random part on top.
///
/// After failed attempt `n` (counted from 1) it is `base · 2^(n-1)`, at most `cap`, then 0–20 % more
/// so that many that failed together do not come back together, and never shorter than what the
/// provider asked for.
///
/// # Examples
///
/// ```
/// use orch_core::{Failure, Timestamp};
/// use orch_policy::{RetryDecision, RetryPolicy};
///
/// let (policy, now) = (RetryPolicy::default(), Timestamp::from_millis(1_000));
/// let failure = Failure::transient("the model is busy");
/// let retry = policy.decide(2, 3, &failure, now, None, &mut || 0);
/// assert_eq!(retry, RetryDecision::At(Timestamp::from_millis(1_200)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    base: Duration,
    cap: Duration,
}

/// What follows a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum RetryDecision {
    /// The next attempt begins at this time, not before.
    At(Timestamp),
    /// There is none; the message becomes a dead letter.
    GiveUp(DeadLetterReason),
}

impl Default for RetryPolicy {
    /// 100 ms, at most 30 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// Sets the pause after the first attempt. Zero tries again at once, for ever.
    #[must_use]
    pub const fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the longest pause, before the random part. A cap below the base wins over it.
    #[must_use]
    pub const fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The pause after failed attempt `attempt`, without its random part. 0 is taken as 1.
    #[must_use]
    pub fn backoff(&self, attempt: u32) -> Duration {
        let last = attempt.min(ATTEMPTS_THAT_MATTER);
        (1..last).fold(self.base, |pause, _| pause.saturating_mul(2)).min(self.cap)
    }

    /// What follows failed attempt `attempt`, counted from 1.
    ///
    /// `max_retries` are the attempts after the first: 3 means at most four attempts, `u32::MAX` any
    /// number. No attempt begins at or after `deadline`.
    ///
    /// `random` yields numbers that are uniform over all of `u64`; it is asked at most once, and the
    /// random part is then uniform over the whole milliseconds from 0 to a fifth of the backoff.
    ///
    /// The reasons to give up, the first that holds: the failure is final; no attempt is left; the
    /// provider asked for more than 10 minutes, or for a time beyond the deadline; the deadline
    /// comes before the next attempt.
    pub fn decide(
        &self,
        attempt: u32,
        max_retries: u32,
        failure: &Failure,
        now: Timestamp,
        deadline: Option<Timestamp>,
        random: &mut impl FnMut() -> u64,
    ) -> RetryDecision {
        use DeadLetterReason::{AttemptsExhausted, Expired, FinalFailure, RetryAfterTooLong};
        let deadline = deadline.unwrap_or(Timestamp::NEVER);
        if !failure.is_transient() {
            return RetryDecision::GiveUp(FinalFailure);
        }
        if attempt > max_retries {
            return RetryDecision::GiveUp(AttemptsExhausted);
        }
        let retry_after = failure.retry_after().unwrap_or_default();
        let is_beyond = now < deadline && now.after(retry_after) > deadline;
        if retry_after > RETRY_AFTER_MAX || is_beyond {
            let retry_after_ms = failure.retry_after_ms.unwrap_or_default();
            return RetryDecision::GiveUp(RetryAfterTooLong { retry_after_ms });
        }
        let at = now.after(with_jitter(self.backoff(attempt), random()).max(retry_after));
        if at >= deadline {
            return RetryDecision::GiveUp(Expired);
        }
        RetryDecision::At(at)
    }
}

fn with_jitter(backoff: Duration, random: u64) -> Duration {
    let parts = backoff.as_millis() / u128::from(JITTER_PART) + 1;
    // Scaled by multiplication: a remainder would favour small numbers.
    let millis = u64::try_from(parts).map_or(0, |parts| scale(random, parts));
    backoff.saturating_add(Duration::from_millis(millis))
}

/// A number below `bound`, uniform if `random` is uniform.
fn scale(random: u64, bound: u64) -> u64 {
    let high = (u128::from(random) * u128::from(bound)) >> 64;
    u64::try_from(high).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn busy() -> Failure {
        Failure::transient("busy")
    }

    /// What follows an attempt at 1,000 ms, without a random part.
    fn decide(attempt: u32, max_retries: u32, failure: &Failure, deadline: u64) -> RetryDecision {
        let deadline = Some(at(deadline));
        RetryPolicy::default().decide(attempt, max_retries, failure, at(1_000), deadline, &mut || 0)
    }

    #[test]
    fn the_backoff_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let schedule: Vec<_> = (1..=11).map(|n| policy.backoff(n).as_millis()).collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000];
        assert_eq!(schedule, expected);
        for attempt in [33, 34, 65, 200, u32::MAX] {
            assert_eq!(policy.backoff(attempt), Duration::from_secs(30), "{attempt}");
        }
        assert_eq!(policy.backoff(0), policy.backoff(1));
        let tiny = policy.with_base(Duration::from_nanos(1));
        assert_eq!(tiny.backoff(34), Duration::from_nanos(1 << 33));
    }

    #[test]
    fn the_largest_settings_do_not_overflow() {
        let policy = RetryPolicy::default().with_base(Duration::MAX).with_cap(Duration::MAX);
        assert_eq!(policy.backoff(200), Duration::MAX);
        let decision = policy.decide(200, u32::MAX, &busy(), at(1), None, &mut || u64::MAX);
        assert_eq!(decision, RetryDecision::GiveUp(DeadLetterReason::Expired));
    }

    #[test]
    fn jitter_adds_up_to_a_fifth() {
        let jittered = |random| with_jitter(Duration::from_millis(100), random).as_millis();
        assert_eq!(jittered(0), 100);
        assert_eq!(jittered(u64::MAX / 2), 110);
        assert_eq!(jittered(u64::MAX), 120);
    }

    #[test]
    fn three_retries_are_four_attempts() {
        let exhausted = RetryDecision::GiveUp(DeadLetterReason::AttemptsExhausted);
        assert_eq!(decide(3, 3, &busy(), u64::MAX), RetryDecision::At(at(1_400)));
        assert_eq!(decide(4, 3, &busy(), u64::MAX), exhausted);
        assert_eq!(decide(1, 0, &busy(), u64::MAX), exhausted);
    }

    #[test]
    fn the_largest_number_of_retries_is_no_limit() {
        let retry = RetryDecision::At(at(31_000));
        assert_eq!(decide(u32::MAX, u32::MAX, &busy(), u64::MAX), retry);
    }

    #[test]
    fn a_final_failure_is_not_tried_again() {
        let gone = Failure::last("gone").with_retry_after(Duration::from_secs(1));
        let expected = RetryDecision::GiveUp(DeadLetterReason::FinalFailure);
        assert_eq!(decide(1, 3, &gone, u64::MAX), expected);
    }

    fn too_long(retry_after_ms: u64) -> RetryDecision {
        RetryDecision::GiveUp(DeadLetterReason::RetryAfterTooLong { retry_after_ms })
    }

    #[test]
    fn the_provider_is_left_alone_as_long_as_it_asked_up_to_ten_minutes() {
        let asks = |millis| busy().with_retry_after(Duration::from_millis(millis));
        assert_eq!(decide(1, 3, &asks(50), u64::MAX), RetryDecision::At(at(1_100)));
        assert_eq!(decide(1, 3, &asks(600_000), u64::MAX), RetryDecision::At(at(601_000)));
        assert_eq!(decide(1, 3, &asks(600_001), u64::MAX), too_long(600_001));
    }

    #[test]
    fn the_provider_is_not_waited_for_beyond_the_deadline() {
        let asks = busy().with_retry_after(Duration::from_secs(5));
        let expired = RetryDecision::GiveUp(DeadLetterReason::Expired);
        assert_eq!(decide(1, 3, &asks, 5_999), too_long(5_000));
        assert_eq!(decide(1, 3, &asks, 6_000), expired);
        assert_eq!(decide(1, 3, &asks, 6_001), RetryDecision::At(at(6_000)));
    }

    #[test]
    fn no_attempt_begins_at_or_after_the_deadline() {
        let expired = RetryDecision::GiveUp(DeadLetterReason::Expired);
        assert_eq!(decide(1, 3, &busy(), 1_100), expired);
        assert_eq!(decide(1, 3, &busy(), 1_101), RetryDecision::At(at(1_100)));
        assert_eq!(decide(1, 3, &busy(), 900), expired);
        let asks = busy().with_retry_after(Duration::from_secs(5));
        assert_eq!(decide(1, 3, &asks, 900), expired);
    }
}
