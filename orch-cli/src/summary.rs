//! What a run came to, for the person who started it.

use std::fmt::Write;

use orch_runtime::{AgentId, StopReason};
use orch_team::TeamOutcome;

use crate::exit::Exit;
use crate::screen::{Board, seconds};

/// The summary as lines of text.
pub(crate) fn summary(
    board: &Board,
    outcome: &TeamOutcome,
    still_running: &[AgentId],
    exit: Exit,
) -> String {
    let mut text = String::new();
    let took = seconds(board.since_start(board.at));
    let _ = match outcome.stop_reason {
        StopReason::Completed => writeln!(text, "completed in {took}"),
        _ => writeln!(text, "stopped after {took}: {}", board.explain(&outcome.stop_reason)),
    };
    agents(&mut text, board);
    for problem in &outcome.answer.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    if outcome.answer.partial {
        let _ = writeln!(text, "the answer is partial (exit code {})", exit as u8);
    }
    for agent in still_running {
        let _ = writeln!(text, "agent `{}` has not returned from its handler", board.name(*agent));
    }
    text
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
    if board.tokens > 0 {
        let dollars = board.cost_micro_usd as f64 / 1e6;
        let _ = writeln!(text, "  {} tokens, {dollars:.4} USD", board.tokens);
    }
}
