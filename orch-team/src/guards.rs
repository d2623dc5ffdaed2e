//! `[guards]` and `[run]`: what stops a run, and how wide it is.

use std::time::Duration;

use orch_runtime::LoopGuard;

use crate::reader::{Reader, Section};

/// How wide a team runs, and how long its stop may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunLimits {
    /// Handlers that run at once in the whole team, at least 1. Default 64.
    pub max_concurrency: u32,
    /// How long a stop waits for handlers in flight. Default 5 s.
    pub grace: Duration,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { max_concurrency: 64, grace: Duration::from_secs(5) }
    }
}

pub(crate) fn read_guards(r: &mut Reader<'_>, root: &mut Section<'_>) -> LoopGuard {
    let mut guards = LoopGuard::default();
    let Some(mut section) = root.section(r, "guards", "[guards]".to_owned()) else {
        return guards;
    };
    if let Some(count) = read_count(r, &mut section, "max_iterations") {
        guards.max_iterations = count;
    }
    if let Some(count) = read_count(r, &mut section, "max_messages_per_agent") {
        guards.max_messages_per_agent = count;
    }
    if let Some(millis) = read_millis(r, &mut section, "max_execution_time") {
        guards.max_execution_time_ms = millis;
    }
    section.finish(r);
    guards
}

fn read_count(r: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) -> Option<u32> {
    if section.is_unlimited(key) {
        section.value(key);
        return Some(u32::MAX);
    }
    section.count(r, key, 1).map(|at| at.value)
}

/// Milliseconds of a duration, or no limit.
pub(crate) fn read_millis(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Option<u64> {
    if section.is_unlimited(key) {
        section.value(key);
        return Some(u64::MAX);
    }
    let duration = section.duration(r, key)?.value;
    Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn read_run(r: &mut Reader<'_>, root: &mut Section<'_>) -> RunLimits {
    let mut limits = RunLimits::default();
    let Some(mut section) = root.section(r, "run", "[run]".to_owned()) else {
        return limits;
    };
    if let Some(count) = section.count(r, "max_concurrency", 1) {
        limits.max_concurrency = count.value;
    }
    if let Some(grace) = section.duration(r, "grace") {
        limits.grace = grace.value;
    }
    section.finish(r);
    limits
}
