//! What the processes of an attempt used, told to whoever watches.

use orch_core::{EventKind, LimitReached, Meter, Resources, Severity};

use crate::host::AttemptHost;

/// Tells it, if anything measured it. Also after the end of the attempt, if that was cut off: it was
/// used all the same.
pub(crate) fn tell(
    host: &AttemptHost,
    attempt: u32,
    resources: Resources,
    reached: Option<LimitReached>,
) {
    if resources.measured_by.cpu == Meter::Nothing {
        return;
    }
    let severity = if reached.is_some() { Severity::Warn } else { Severity::Debug };
    let (agent, message) = (host.id(), host.message());
    host.run.inner.bus.events().emit(severity, || EventKind::ResourcesUsed {
        agent,
        message,
        attempt,
        resources,
        reached,
    });
}
