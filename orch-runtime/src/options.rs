//! What can be chosen about an orchestrator.

use std::sync::Arc;
use std::time::Duration;

use orch_connect::Connectors;
use orch_core::LoopGuard;
use orch_journal::ContentHash;
use orch_policy::{RestartIntensity, RetryPolicy};

use crate::router::Router;

/// What a failed agent means for the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// The others go on; `AgentError` is the answer when nothing is left to do.
    #[default]
    Continue,
    /// The run stops at once, with `AgentError`.
    StopOnFirst,
}

/// How long a stop waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopLimits {
    /// For handlers in flight to end by themselves. Default 5 s.
    pub grace: Duration,
    /// For handlers that were cut off to return, and for their sessions to close. Default 5 s.
    pub cut: Duration,
}

impl Default for StopLimits {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), cut: Duration::from_secs(5) }
    }
}

impl StopLimits {
    /// These two waits.
    #[must_use]
    pub const fn new(grace: Duration, cut: Duration) -> Self {
        Self { grace, cut }
    }
}

/// How far handlers may grow their team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpawnLimits {
    /// How many parents may lie above an agent. Default 3.
    pub depth_max: u32,
    /// How many agents that a handler spawned may be registered at once. Default 256.
    pub agents_max: usize,
}

impl Default for SpawnLimits {
    fn default() -> Self {
        Self { depth_max: 3, agents_max: 256 }
    }
}

impl SpawnLimits {
    /// These two limits.
    #[must_use]
    pub const fn new(depth_max: u32, agents_max: usize) -> Self {
        Self { depth_max, agents_max }
    }
}

/// All choices; a run keeps those that held when it started.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) guard: LoopGuard,
    pub(crate) max_concurrency: usize,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) retry: RetryPolicy,
    pub(crate) intensity: RestartIntensity,
    pub(crate) stop: StopLimits,
    pub(crate) spawn: SpawnLimits,
    pub(crate) connectors: Connectors,
    pub(crate) router: Option<Arc<dyn Router>>,
    /// How long a person may take; `None` if there is nobody to ask.
    pub(crate) approval_wait: Option<Duration>,
    /// The hash of the team's file, for the journal.
    pub(crate) team: Option<ContentHash>,
    /// Seed of the jitter; `None` for one that differs each time.
    pub(crate) seed: Option<u64>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            guard: LoopGuard::default(),
            max_concurrency: 64,
            failure_policy: FailurePolicy::default(),
            retry: RetryPolicy::default(),
            intensity: RestartIntensity::default(),
            stop: StopLimits::default(),
            spawn: SpawnLimits::default(),
            connectors: orch_connect::built_in(),
            router: None,
            approval_wait: None,
            team: None,
            seed: None,
        }
    }
}
