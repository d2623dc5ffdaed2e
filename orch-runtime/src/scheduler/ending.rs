//! How a run stops handing out, and when it has ended.

use std::sync::atomic::Ordering;

use orch_core::{Severity, StopReason};

use super::{Core, Phase, tripped};
use crate::run::{ENDED, RUNNING, Run, STOPPING};

impl Run {
    /// Whether messages are handed out.
    pub(crate) fn is_running(&self) -> bool {
        self.stage.load(Ordering::Acquire) == RUNNING
    }

    /// Whether the run has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage.load(Ordering::Acquire) == ENDED
    }

    /// Hands out nothing more, before the reason is noted.
    pub(super) fn stop_handing_out(&self) {
        let _ = self.stage.compare_exchange(RUNNING, STOPPING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Hands out nothing more, for this reason, unless the run stops already.
    pub(crate) fn stop_for(&self, reason: StopReason) {
        let mut core = self.lock();
        if core.phase == Phase::Running {
            core.phase = Phase::Draining(reason);
            self.stop_handing_out();
            self.stopping.cancel();
            self.signal.notify_one();
        }
        self.end_at_rest(&mut core);
    }

    /// Ends the run if nothing is left to do.
    pub(crate) fn end_at_rest(&self, core: &mut Core) {
        // What is in flight is being run by a worker that is awake, or has become a task. Whoever
        // changes one of these figures comes here afterwards, and the core's lock orders them.
        if !self.pool.all_asleep() || self.n_away() > 0 {
            return;
        }
        let reason = match &core.phase {
            Phase::Draining(reason) => reason.clone(),
            Phase::Running if core.timers.is_empty() && !self.pool.has_work() => {
                // One that serves waits for more, unless a guard is what it waits for.
                if self.serves && !self.is_stuck_above_iterations() {
                    return;
                }
                self.reason_at_rest(core)
            }
            _ => return,
        };
        self.end(core, reason);
    }

    pub(crate) fn end(&self, core: &mut Core, reason: StopReason) {
        if !matches!(core.phase, Phase::Ended(_)) {
            core.phase = Phase::Ended(reason);
            self.stage.store(ENDED, Ordering::Release);
            self.stopping.cancel();
            self.signal.notify_one();
            self.pool.attachment.wake_all();
        }
    }

    /// Why a run ends in which nothing is left to do.
    fn reason_at_rest(&self, core: &Core) -> StopReason {
        if self.is_stuck_above_iterations() {
            return StopReason::MaxIterations;
        }
        match core.failed.iter().find(|(agent, _)| self.inner.registry.entry(*agent).is_some()) {
            Some((agent_id, error)) => {
                StopReason::AgentError { agent_id: *agent_id, error: error.clone() }
            }
            None => StopReason::Completed,
        }
    }

    fn is_stuck_above_iterations(&self) -> bool {
        let is_capped = self.is_capped.load(Ordering::Acquire);
        is_capped && self.agents.iter().any(|agent| agent.lock().is_capped(agent))
    }

    pub(crate) fn time_guard_tripped(&self) {
        let limit = self.options.guard.max_execution_time_ms;
        let tripped = tripped("max_execution_time_ms", limit, limit, None);
        self.record_trip(&tripped);
        self.inner.bus.events().emit(Severity::Warn, || tripped);
    }
}
