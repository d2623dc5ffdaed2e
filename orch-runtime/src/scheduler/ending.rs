//! How a run stops handing out, and when it has ended.

use orch_core::{Severity, StopReason};

use super::{Core, Phase, tripped};
use crate::run::Run;

impl Run {
    /// Hands out nothing more, for this reason, unless the run stops already.
    pub(crate) fn stop_for(&self, reason: StopReason) {
        let mut core = self.lock();
        self.drain(&mut core, reason);
        self.end_at_rest(&mut core);
    }

    pub(super) fn drain(&self, core: &mut Core, reason: StopReason) {
        if core.drain(reason) {
            self.stopping.cancel();
            self.signal.notify_one();
        }
    }

    /// Ends the run if nothing is left to do.
    pub(super) fn end_at_rest(&self, core: &mut Core) {
        let reason = match &core.phase {
            Phase::Draining(reason) if core.in_flight == 0 => reason.clone(),
            Phase::Running if core.is_at_rest() && !self.attachment.has_announced() => {
                // One that serves waits for more, unless a guard is what it waits for.
                if self.serves && !core.is_stuck_above_iterations() {
                    return;
                }
                core.reason_at_rest()
            }
            _ => return,
        };
        self.end(core, reason);
    }

    pub(crate) fn end(&self, core: &mut Core, reason: StopReason) {
        if !matches!(core.phase, Phase::Ended(_)) {
            core.phase = Phase::Ended(reason);
            self.stopping.cancel();
            self.signal.notify_one();
            self.attachment.wake_all();
        }
    }

    pub(crate) fn time_guard_tripped(&self) {
        let limit = self.options.guard.max_execution_time_ms;
        let tripped = || tripped("max_execution_time_ms", limit, limit, None);
        self.inner.bus.events().emit(Severity::Warn, tripped);
    }
}
