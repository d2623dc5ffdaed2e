//! What a run came to, for the person who started it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use orch_runtime::{AgentId, Resource, StopReason};
use orch_team::TeamOutcome;

use crate::exit::Exit;
use crate::screen::{Board, one_line, seconds};

/// Characters of a problem that are shown.
const TEXT_MAX: usize = 1_000;

/// The summary as lines of text.
pub(crate) fn summary(
    board: &Board,
    outcome: &TeamOutcome,
    still_running: &[AgentId],
    exit: Exit,
) -> String {
    let mut text = String::new();
    let took = seconds(board.since_start(board.at));
    let _ = match (&outcome.stop_reason, exit) {
        (StopReason::Completed, Exit::Completed) => writeln!(text, "completed in {took}"),
        (StopReason::Completed, _) => writeln!(text, "ended after {took}, but not as it should"),
        _ => writeln!(text, "stopped after {took}"),
    };
    agents(&mut text, board);
    for problem in problems(board, outcome, still_running, exit) {
        let _ = writeln!(text, "{problem}");
    }
    text
}

/// What can be done next with a journal.
pub(crate) fn way_on(outcome: &TeamOutcome, n_dead_letters: u64, file: &Path) -> String {
    let file = file.display();
    let mut text = String::new();
    if n_dead_letters > 0 {
        let _ = writeln!(text, "what was given up: orch dead-letters list {file}");
    }
    if outcome.stop_reason != StopReason::Completed {
        let _ = writeln!(text, "to go on: orch resume {file}");
    }
    text
}

/// What went wrong, a line each; nothing after a run that went well.
pub(crate) fn problems(
    board: &Board,
    outcome: &TeamOutcome,
    still_running: &[AgentId],
    exit: Exit,
) -> Vec<String> {
    let mut lines = Vec::new();
    if outcome.stop_reason != StopReason::Completed {
        lines.push(format!("stopped: {}", clean(&board.explain(&outcome.stop_reason))));
    }
    let problems = outcome.answer.problems.iter();
    lines.extend(problems.map(|problem| format!("problem: {}", clean(&problem.to_string()))));
    if outcome.answer.partial {
        let what = match outcome.answer.content.is_empty() {
            true => "there is no answer",
            false => "the answer is partial",
        };
        lines.push(format!("{what} (exit code {})", exit as u8));
    }
    for agent in still_running {
        let name = board.name(*agent);
        lines.push(format!("agent `{name}` has not returned from its handler"));
    }
    lines
}

/// Agents wrote part of it: one line, and nothing in it moves the cursor.
fn clean(text: &str) -> String {
    one_line(text, TEXT_MAX)
}

fn agents(text: &mut String, board: &Board) {
    let width = board.name_width().max(5);
    let _ = writeln!(text, "  {:<width$}  handled  retries  given up  mean time", "agent");
    for row in board.rows() {
        let mean = row.busy.checked_div(u32::try_from(row.n_handled).unwrap_or(u32::MAX));
        let mean = mean.map(seconds).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:<width$}  {:>7}  {:>7}  {:>8}  {mean:>9}",
            row.name, row.n_handled, row.n_retries, row.n_given_up
        );
    }
    if board.cpu > Duration::ZERO || board.memory_bytes > 0 {
        let cpu = seconds(board.cpu);
        let memory = Resource::Memory.show(board.memory_bytes);
        let _ =
            writeln!(text, "  programs used {cpu} of CPU time, and at most {memory} in an attempt");
    }
    if board.tokens > 0 {
        let dollars = board.cost_micro_usd as f64 / 1e6;
        let _ = writeln!(text, "  {} tokens, {dollars:.4} USD", board.tokens);
    }
}
