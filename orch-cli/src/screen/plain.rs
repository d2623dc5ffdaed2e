//! A line for each thing worth telling, for pipes and logs of builds.

use std::io::Write;

use orch_runtime::{Decision, Event, EventKind, MessagePriority};

use super::board::Board;
use super::text::{one_line, seconds};

const WIDTH: usize = 90;

pub(super) fn print(board: &Board, event: &Event) {
    let Some((who, what)) = line(board, event) else { return };
    let at = format!("{:.2} s", board.since_start(event.at).as_secs_f64());
    let width = board.name_width();
    let _ = writeln!(std::io::stderr().lock(), "{at:>9}  {who:<width$}  {what}");
}

/// Who, and what happened; `None` for what is not worth a line.
fn line(board: &Board, event: &Event) -> Option<(String, String)> {
    let (agent, what) = match &event.kind {
        EventKind::Started { agent, priority: MessagePriority::Critical, .. } => {
            (*agent, "takes a Critical message before all others".to_owned())
        }
        EventKind::Settled { agent, output, handling_ms, .. } => {
            let took = seconds(std::time::Duration::from_millis(*handling_ms));
            let said = output.as_ref().map(|output| one_line(output, WIDTH)).unwrap_or_default();
            (*agent, format!("handled in {took}: {said}"))
        }
        EventKind::RetryScheduled { agent, attempt, error, retry_at, .. } => {
            let pause = seconds(retry_at.since(event.at));
            let error = one_line(error, WIDTH);
            (*agent, format!("attempt {attempt} failed ({error}), tried again in {pause}"))
        }
        EventKind::DeadLettered { agent, reason, error, .. } => {
            let why = error.clone().unwrap_or_else(|| reason.to_string());
            (*agent, format!("gave a message up: {}", one_line(&why, WIDTH)))
        }
        EventKind::AgentFailed { agent, error } => {
            (*agent, format!("failed: {}", one_line(error, WIDTH)))
        }
        EventKind::Restarted { agent, restarts } => (*agent, format!("restarted ({restarts})")),
        EventKind::Said { agent, text } => (*agent, format!("says: {}", one_line(text, WIDTH))),
        EventKind::ToolDecided { agent, call, decision: Decision::Deny { reason, .. } } => {
            let tool = one_line(&call.tool, WIDTH);
            (*agent, format!("may not call {tool}: {}", one_line(reason, WIDTH)))
        }
        EventKind::ResourcesUsed { agent, reached: Some(reached), .. } => {
            (*agent, format!("was stopped: {reached}"))
        }
        EventKind::SendWaiting { to, priority } => {
            (*to, format!("its {priority} lane is full, a send waits for room"))
        }
        EventKind::GuardTripped { guard, limit, .. } => {
            return Some(("guard".to_owned(), format!("{guard} = {limit} is reached")));
        }
        _ => return None,
    };
    Some((board.name(agent), what))
}
