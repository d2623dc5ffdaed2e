//! The scenarios as work for a system, and what each cell measures.
//!
//! Each begins with a tenth of its work, unmeasured: threads start, sessions open, pages come.

mod agents;
mod backlog;
mod crowd;
mod flood;

pub(crate) use agents::{broadcast, go_round, ping, ring, sleep};
pub(crate) use backlog::critical;
pub(crate) use crowd::{growth, idle, spawn};
pub(crate) use flood::{MIX, bursts, many, mixed, one};

use crate::clock::Span;
use crate::scenario::Sample;

/// Arrivals at the latch are rarer than messages by this.
const EVERY: u32 = 200;

/// Wall and CPU time, each divided by the messages.
fn per_message(span: Span, messages: usize) -> Sample {
    let divided = |time: std::time::Duration| time.as_nanos() as f64 / messages as f64;
    Sample::default().with("wall", divided(span.wall)).with("cpu", divided(span.cpu))
}
