//! `orch journal stats`: what is in it, in figures.

use serde_json::json;

use super::{bytes, open, print_json, unread, usage};
use crate::args::FileArgs;
use crate::exit::{Exit, Stop};
use crate::out::write;
use crate::table::{Left, Right, Table};

pub(super) fn stats(args: &FileArgs) -> Result<Exit, Stop> {
    let stats = open(&args.file)?.stats().map_err(unread)?;
    if args.json {
        print_json([json!({
            "n_events": stats.n_events,
            "n_by_kind": stats.n_by_kind,
            "last": stats.last,
            "n_live": stats.n_live,
            "n_letters": stats.n_letters,
            "n_agents": stats.n_agents,
            "n_runs": stats.n_runs,
            "spent": stats.spent,
            "file_bytes": stats.file_bytes,
        })])?;
        return Ok(Exit::Completed);
    }
    let mut figures = Table::new([("n", Right), ("what", Left)]);
    let mut add = |n: String, what: &str| figures.add([n, what.to_owned()]);
    add(stats.n_events.to_string(), "events kept");
    add(stats.last.0.to_string(), "the last event");
    add(stats.n_runs.to_string(), "runs");
    add(stats.n_agents.to_string(), "agents registered");
    add(stats.n_live.to_string(), "messages that wait or are handled");
    add(stats.n_letters.to_string(), "dead letters");
    add(bytes(stats.file_bytes), "on disk");
    if !stats.spent.is_zero() {
        add(usage(&stats.spent), "used");
    }
    let mut kinds = Table::new([("events", Right), ("kind", Left)]);
    let mut by_number: Vec<_> = stats.n_by_kind.iter().collect();
    by_number.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    for (kind, n) in by_number {
        kinds.add([n.to_string(), (*kind).to_owned()]);
    }
    let kinds = if kinds.is_empty() { String::new() } else { format!("\n{}", kinds.text()) };
    write(&format!("{}{kinds}", figures.text()))?;
    Ok(Exit::Completed)
}
