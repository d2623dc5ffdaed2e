//! Statuses change as the core allows, say what is so, and end what they say has ended.

use orch_core::{AgentId, AgentStatus, EventKind};

use super::{Found, Invariant, Seen};
use crate::history::What;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    match &seen.record.what {
        What::Told(EventKind::StatusChanged { agent, status }) => {
            change(seen, found, *agent, status);
        }
        What::Told(EventKind::Started { agent, .. }) => hand_out(seen, found, *agent),
        _ => {}
    }
}

fn change(seen: &Seen<'_>, found: &mut Found, agent: AgentId, status: &AgentStatus) {
    let was = seen.model.agents.get(&agent).map(|agent| agent.status.clone()).unwrap_or_default();
    let is_legal = was.clone().change(status.clone()).is_ok();
    found.expect(is_legal, Invariant::StatusIsLegal, || {
        format!("{agent} goes from {was:?} to {status:?}")
    });
    let n_handlers = seen.model.handlers_of(agent).count();
    let is_so = *status != AgentStatus::Idle || n_handlers == 0;
    found.expect(is_so, Invariant::StatusIsLegal, || {
        format!("{agent} is said to be idle and has {n_handlers} handlers")
    });
}

fn hand_out(seen: &Seen<'_>, found: &mut Found, agent: AgentId) {
    let model = seen.model;
    found.expect(model.stop.is_none(), Invariant::NoHandOutAfterTheEnd, || {
        format!("{agent} is handed a message after a stop")
    });
    found.expect(model.run.is_some(), Invariant::NoHandOutAfterTheEnd, || {
        format!("{agent} is handed a message outside of any run")
    });
    let known = model.agents.get(&agent);
    let may_work = known.is_some_and(|agent| !agent.has_failed && !agent.is_retired);
    found.expect(may_work, Invariant::NoHandOutAfterTheEnd, || {
        format!("{agent} is handed a message after it failed or was retired")
    });
}
