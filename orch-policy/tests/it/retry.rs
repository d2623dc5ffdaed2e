//! Retries are never early, and their pauses grow up to the cap.

use std::time::Duration;

use orch_core::{DeadLetterReason, Failure, Timestamp};
use orch_policy::{RetryDecision, RetryPolicy};
use proptest::option;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};
use crate::some::at;

#[derive(Clone, Debug)]
struct Case {
    attempt: u32,
    retry_after: Option<u64>,
    now: u64,
    deadline: Option<u64>,
    random: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let attempt = prop_oneof![3 => 1_u32..12, 1 => any::<u32>()];
    let retry_after = option::of(prop_oneof![3 => 0..60_000_u64, 1 => 590_000..610_000_u64]);
    let deadline = option::of(0..700_000_u64);
    let parts = (attempt, retry_after, 0..10_000_u64, deadline, any::<u64>());
    parts.prop_map(|(attempt, retry_after, now, deadline, random)| {
        let deadline = deadline.map(|it| it + now);
        Case { attempt, retry_after, now, deadline, random }
    })
}

type Decide = fn(&Case, Duration) -> RetryDecision;

fn real(case: &Case, cap: Duration) -> RetryDecision {
    let mut failure = Failure::transient("busy");
    failure.retry_after_ms = case.retry_after;
    let policy = RetryPolicy::default().with_cap(cap);
    let deadline = case.deadline.map(at);
    policy.decide(case.attempt, u32::MAX, &failure, at(case.now), deadline, &mut || case.random)
}

/// Between the backoff and a fifth more, not before the provider's wish, not at the deadline.
fn never_early(decide: Decide, case: &Case) -> Result<(), String> {
    let cap = Duration::from_secs(30);
    let doublings = case.attempt.saturating_sub(1).min(20);
    let backoff = (100_u64 << doublings).min(30_000);
    let asked = case.retry_after.unwrap_or(0);
    let deadline = case.deadline.unwrap_or(u64::MAX);
    let fine = match decide(case, cap) {
        RetryDecision::At(at) => {
            let wait = at.as_millis() - case.now;
            let longest = (backoff + backoff / 5).max(asked);
            wait >= backoff && wait >= asked && wait <= longest && at.as_millis() < deadline
        }
        RetryDecision::GiveUp(DeadLetterReason::RetryAfterTooLong { retry_after_ms }) => {
            retry_after_ms == asked && (asked > 600_000 || case.now + asked > deadline)
        }
        RetryDecision::GiveUp(DeadLetterReason::Expired) => {
            case.now + (backoff + backoff / 5).max(asked) >= deadline
        }
        RetryDecision::GiveUp(_) => false,
    };
    fine.then_some(()).ok_or_else(|| format!("{:?}", decide(case, cap)))
}

#[test]
fn no_retry_is_early_or_too_late() {
    holds(case(), |case| never_early(real, case));
}

#[test]
fn a_retry_that_ignores_the_provider_is_caught() {
    is_caught(case(), |case| {
        never_early(|case, cap| real(&Case { retry_after: None, ..case.clone() }, cap), case)
    });
}

#[test]
fn a_retry_at_the_deadline_is_caught() {
    fn late(case: &Case, cap: Duration) -> RetryDecision {
        real(&Case { deadline: case.deadline.map(|it| it + 1_000), ..case.clone() }, cap)
    }
    is_caught(case(), |case| never_early(late, case));
}

#[test]
fn a_jitter_that_takes_away_is_caught() {
    fn earlier(case: &Case, cap: Duration) -> RetryDecision {
        match real(case, cap) {
            RetryDecision::At(at) => {
                RetryDecision::At(Timestamp::from_millis(at.as_millis() - case.random % 50))
            }
            other => other,
        }
    }
    is_caught(case(), |case| never_early(earlier, case));
}

#[test]
fn pauses_grow_with_the_attempts_and_with_the_cap() {
    let parts = (any::<u32>(), any::<u32>(), 0..100_000_u64, 0..100_000_u64, any::<u64>());
    holds(parts, |&(attempt, other, cap, wider, random)| {
        let wait = |attempt, cap| {
            let case = Case { attempt, retry_after: None, now: 0, deadline: None, random };
            match real(&case, Duration::from_millis(cap)) {
                RetryDecision::At(at) => Ok(at),
                RetryDecision::GiveUp(reason) => Err(reason.to_string()),
            }
        };
        let (earlier, later) = (attempt.min(other), attempt.max(other));
        let grows = wait(earlier, cap)? <= wait(later, cap)?
            && wait(attempt, cap.min(wider))? <= wait(attempt, cap.max(wider))?;
        grows.then_some(()).ok_or_else(|| "the pause shrank".to_owned())
    });
}

#[test]
fn the_random_part_is_uniform_over_whole_milliseconds() {
    let failure = Failure::transient("busy");
    let mut counts = [0_u32; 21];
    // Every 2^48th number stands for a uniform source.
    for step in 0..1_u64 << 16 {
        let mut random = || step << 48;
        let decision = RetryPolicy::default().decide(1, 1, &failure, at(0), None, &mut random);
        let RetryDecision::At(at) = decision else { panic!("{decision:?}") };
        counts[usize::try_from(at.as_millis() - 100).expect("it is small")] += 1;
    }
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(least >= Some(&3120) && most <= Some(&3121), "{counts:?}");
}
