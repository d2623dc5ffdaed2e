//! Never two handlers of one message, nor more than allowed of an agent or in all.

use super::{Found, Invariant, Seen};
use crate::history::What;

pub(super) fn look(seen: &Seen<'_>, found: &mut Found) {
    let model = seen.model;
    match &seen.record.what {
        What::Began { agent, message, .. } => {
            let twice = model.handlers.values().any(|other| other.message == *message);
            found.expect(!twice, Invariant::NeverTwiceAtOnce, || {
                format!("{message} is handled while another handler has it")
            });
            let limit = model.config(*agent).map_or(1, |config| config.concurrency);
            let n = model.handlers_of(*agent).count() + 1;
            found.expect(n <= limit as usize, Invariant::AgentConcurrency, || {
                format!("{agent} has {n} handlers, its limit is {limit}")
            });
            one_more(seen, found);
        }
        What::WaitEnded { handler }
            if model.handlers.get(handler).is_some_and(|handler| !handler.has_slot) =>
        {
            one_more(seen, found);
        }
        _ => {}
    }
}

fn one_more(seen: &Seen<'_>, found: &mut Found) {
    let n = seen.model.handlers.values().filter(|handler| handler.has_slot).count() + 1;
    let limit = seen.model.terms.max_concurrency;
    found.expect(n <= limit, Invariant::MaxConcurrency, || {
        format!("{n} handlers run, the limit is {limit}")
    });
}
