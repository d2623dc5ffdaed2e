//! No window of 60 minutes has more grants than the rate, whatever the clock does.

use orch_core::{Access, PermissionLevel, ToolCall, ToolPolicy};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};
use crate::some::{HOUR, MINUTE, at, engine};

/// Decides on a call at a time in milliseconds.
type Decide = Box<dyn FnMut(u64) -> bool>;

/// A rate and the readings of a clock that stands, runs, jumps and steps back.
fn any_clock() -> impl Strategy<Value = (u32, Vec<u64>)> {
    let step = prop_oneof![
        3 => Just(0_i64),
        4 => 0..20 * MINUTE as i64,
        2 => 0..3 * HOUR as i64,
        1 => Just(HOUR as i64),
        2 => -(2 * HOUR as i64)..0,
    ];
    (0_u32..5, vec(step, 0..60)).prop_map(|(n, steps)| (n, readings(&steps)))
}

fn steady_clock() -> impl Strategy<Value = (u32, Vec<u64>)> {
    let step =
        prop_oneof![Just(0), 0..20 * MINUTE as i64, Just(HOUR as i64), Just(HOUR as i64 - 1)];
    (0_u32..5, vec(step, 0..60)).prop_map(|(n, steps)| (n, readings(&steps)))
}

fn readings(steps: &[i64]) -> Vec<u64> {
    let tick = |now: &mut u64, step: &i64| {
        *now = now.saturating_add_signed(*step);
        Some(*now)
    };
    steps.iter().scan(10 * HOUR, tick).collect()
}

/// Counts the grants of every window that begins with a grant.
fn never_more(make: fn(u32) -> Decide, (n, clock): &(u32, Vec<u64>)) -> Result<(), String> {
    let mut decide = make(*n);
    let grants: Vec<u64> = clock.iter().copied().filter(|&now| decide(now)).collect();
    for &start in &grants {
        let count = grants.iter().filter(|&&it| start <= it && it < start + HOUR).count();
        if count > *n as usize {
            return Err(format!("{count} grants in the hour from {start}: {grants:?}"));
        }
    }
    Ok(())
}

fn real(n: u32) -> Decide {
    let limited = ToolPolicy::new("fs".to_owned(), PermissionLevel::ReadOnly).with_rate_limit(n);
    let (mut engine, agent) = engine(&[limited]);
    let call = ToolCall::new("fs", Access::Read);
    Box::new(move |now| engine.decide(at(now), agent, &call, &[]).is_allowed())
}

#[test]
fn no_hour_has_more_grants_than_the_rate() {
    holds(any_clock(), |input| never_more(real, input));
}

#[test]
fn a_token_bucket_is_caught() {
    is_caught(steady_clock(), |input| never_more(token_bucket, input));
}

#[test]
fn a_count_for_each_hour_of_the_clock_is_caught() {
    is_caught(steady_clock(), |input| never_more(each_clock_hour, input));
}

#[test]
fn a_window_that_forgets_when_the_clock_steps_back_is_caught() {
    is_caught(any_clock(), |input| never_more(trusting_window, input));
}

#[test]
fn a_window_that_trusts_the_latest_time_ever_seen_is_caught() {
    is_caught(any_clock(), |input| never_more(latest_window, input));
}

/// Starts with `n` and earns `n` an hour, at most `n`.
fn token_bucket(n: u32) -> Decide {
    let (n, mut last) = (u64::from(n) * HOUR, 0);
    let mut tokens = n;
    Box::new(move |now| {
        tokens = n.min(tokens.saturating_add((now - last).saturating_mul(n / HOUR)));
        last = now;
        let granted = tokens >= HOUR;
        tokens -= if granted { HOUR } else { 0 };
        granted
    })
}

fn each_clock_hour(n: u32) -> Decide {
    let (mut hour, mut count) = (0, 0);
    Box::new(move |now| {
        count = if now / HOUR == hour { count } else { 0 };
        hour = now / HOUR;
        count += 1;
        count <= n
    })
}

/// Keeps what lies in the hour before `now`, and so nothing of what lies after it.
fn trusting_window(n: u32) -> Decide {
    let mut grants = Vec::<u64>::new();
    Box::new(move |now| {
        let counted = grants.iter().filter(|&&it| it <= now && now < it + HOUR).count();
        let granted = counted < n as usize;
        grants.extend(granted.then_some(now));
        granted
    })
}

/// Takes every time before the latest for the latest, and so a jump ahead for an hour gone by.
fn latest_window(n: u32) -> Decide {
    let (mut grants, mut latest) = (Vec::<u64>::new(), 0);
    Box::new(move |now| {
        latest = now.max(latest);
        let counted = grants.iter().filter(|&&it| latest < it + HOUR).count();
        let granted = counted < n as usize;
        grants.extend(granted.then_some(latest));
        granted
    })
}

#[test]
fn on_a_steady_clock_nothing_is_denied_without_need() {
    holds(steady_clock(), |(n, clock)| {
        let (mut decide, mut grants) = (real(*n), Vec::<u64>::new());
        for &now in clock {
            let counted = grants.iter().filter(|&&it| now < it + HOUR).count();
            let granted = decide(now);
            if granted != (counted < *n as usize) {
                return Err(format!("granted = {granted} at {now} after {grants:?}"));
            }
            grants.extend(granted.then_some(now));
        }
        Ok(())
    });
}

#[test]
fn the_next_call_is_possible_when_the_denial_says_so_and_not_before() {
    holds((1_u32..5, any_clock()), |(n, (_, clock))| {
        let limited = ToolPolicy::new("fs".to_owned(), PermissionLevel::Full).with_rate_limit(*n);
        let (mut engine, agent) = engine(&[limited]);
        let call = ToolCall::new("fs", Access::Read);
        for &now in clock {
            let decision = engine.decide(at(now), agent, &call, &[]);
            let orch_core::Decision::Deny { possible_at, .. } = decision else { continue };
            let possible_at = possible_at.ok_or("a denial without a time")?.as_millis();
            let allowed_at = |now| engine.preview(at(now), agent, &call, &[]).is_allowed();
            if possible_at <= now || allowed_at(possible_at - 1) || !allowed_at(possible_at) {
                return Err(format!("denied at {now} until {possible_at}"));
            }
        }
        Ok(())
    });
}
