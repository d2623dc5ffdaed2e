//! The answer of a team, and the exit code that goes with it.

use std::fmt::Write;

use orch_runtime::StopReason;
use orch_team::{FlowAnswer, FlowProblem};
use serde_json::json;

use crate::exit::{Exit, Stop};
use crate::out;

/// The stop reason's code; a run that completed with a partial answer has not done what was asked.
pub(crate) fn exit_of(stop_reason: &StopReason, answer: &FlowAnswer) -> Exit {
    let exit = Exit::of(stop_reason);
    if exit != Exit::Completed || !answer.partial {
        return exit;
    }
    let not_approved = |problem: &FlowProblem| matches!(problem, FlowProblem::NotApproved { .. });
    let too_low = |problem: &FlowProblem| matches!(problem, FlowProblem::GuardsTooLow(_));
    match &answer.problems {
        problems if problems.iter().any(too_low) => Exit::WrongInput,
        problems if problems.iter().any(not_approved) => Exit::Iterations,
        _ => Exit::AgentFailed,
    }
}

/// Prints it: as text, or as the last line of JSON.
pub(crate) fn print(
    json: bool,
    answer: &FlowAnswer,
    stop_reason: &StopReason,
    explanation: &str,
) -> Result<Exit, Stop> {
    let exit = exit_of(stop_reason, answer);
    if json {
        let problems: Vec<String> = answer.problems.iter().map(ToString::to_string).collect();
        let line = json!({
            "event": "answer",
            "content": answer.content.as_str(),
            "partial": answer.partial,
            "problems": problems,
            "stop_reason": stop_reason,
            "explanation": explanation,
            "exit_code": exit as u8,
        });
        out::write(&format!("{line}\n"))?;
        return Ok(exit);
    }
    let mut text = String::new();
    for urgent in &answer.urgent {
        let _ = writeln!(text, "{} says: {}\n", urgent.agent, urgent.content.trim_end());
    }
    if !answer.content.is_empty() {
        let _ = writeln!(text, "{}", answer.content.trim_end_matches('\n'));
    }
    out::write(&text)?;
    Ok(exit)
}
