//! Rows that change on a terminal: one for each agent, and the totals below.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use orch_runtime::{AgentStatus, MessageBus, PriorityDepth};

use super::board::{Board, Row};
use super::text::{one_line, seconds};

/// Agents that get a row of their own; the totals speak for the rest.
const ROWS_MAX: usize = 24;

pub(super) struct Live {
    lines: MultiProgress,
    head: ProgressBar,
    rows: Vec<ProgressBar>,
    totals: ProgressBar,
}

impl Live {
    pub(super) fn new() -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        let head = lines.add(line());
        let totals = lines.add(line());
        Self { lines, head, rows: Vec::new(), totals }
    }

    pub(super) fn draw(&mut self, board: &Board, bus: &MessageBus) {
        let width = board.name_width().max(5);
        self.head.set_message(dim(&format!(
            "{:<width$}  {:<10}  {:>18}  {:>7}  {:>7}  says",
            "agent", "status", "queue C/H/N/L", "handled", "retries"
        )));
        for (i, row) in board.rows().iter().take(ROWS_MAX).enumerate() {
            if self.rows.len() <= i {
                self.rows.push(self.lines.insert_before(&self.totals, line()));
            }
            let depth = bus.mailbox(row.agent).map(|mailbox| mailbox.depth()).unwrap_or_default();
            self.rows[i].set_message(text_of(row, depth, width));
        }
        self.totals.set_message(totals(board, bus));
    }

    pub(super) fn clear(self) {
        let _ = self.lines.clear();
    }
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text_of(row: &Row, depth: PriorityDepth, width: usize) -> String {
    let PriorityDepth { critical, high, normal, low } = depth;
    let queue = format!("{critical}/{high}/{normal}/{low}");
    let (name, handled, retries) = (&row.name, row.n_handled, row.n_retries);
    let said = one_line(&row.said, 200);
    let status = status(row);
    format!("{name:<width$}  {status}  {queue:>18}  {handled:>7}  {retries:>7}  {}", dim(&said))
}

fn status(row: &Row) -> String {
    let (code, text) = match &row.status {
        AgentStatus::Idle => ("2", "idle"),
        AgentStatus::Processing => ("32", "processing"),
        AgentStatus::Waiting => ("33", "waiting"),
        AgentStatus::Failed { .. } => ("31", "failed"),
        _ => ("0", "?"),
    };
    paint(code, &format!("{text:<10}"))
}

fn totals(board: &Board, bus: &MessageBus) -> String {
    let waiting = bus.queue_depth().total();
    let n_more = board.rows().len().saturating_sub(ROWS_MAX);
    let mut text = format!(
        "{}  {} handled, {waiting} waiting, {} retried, {} given up",
        seconds(board.since_start(board.at)),
        board.n_handled(),
        board.n_retries(),
        board.n_dead_letters,
    );
    if board.tokens > 0 {
        text.push_str(&format!(", {} tokens", board.tokens));
    }
    if n_more > 0 {
        text.push_str(&format!("  (and {n_more} more agents)"));
    }
    paint("1", &text)
}

fn dim(text: &str) -> String {
    paint("2", text)
}

fn paint(code: &str, text: &str) -> String {
    match std::env::var_os("NO_COLOR") {
        Some(_) => text.to_owned(),
        None => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    }
}
