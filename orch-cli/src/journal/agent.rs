//! `orch journal agent`: an agent, and what happened to it.

use std::fmt::Write;

use orch_journal::{Of, State};
use orch_runtime::AgentId;
use serde_json::json;

use super::timeline::{self, since};
use super::{Names, clean, find, open, overview, print_json, unread, usage};
use crate::args::AgentArgs;
use crate::exit::{Exit, Stop};
use crate::out;

pub(super) fn agent(args: &AgentArgs) -> Result<Exit, Stop> {
    let reader = open(&args.file.file)?;
    let names = Names::load(&reader).map_err(unread)?;
    let id = find::pick_agent(&names, &args.agent)?;
    let state = reader.state().map_err(unread)?;
    let entries = reader.latest(Of::Agent(id), args.range.limit.0).map_err(unread)?;
    let entries = since(entries, &args.range);
    if args.file.json {
        let agent = state.agent(id).map(|it| overview::agent(it, &state));
        let mailboxes = state.mailboxes();
        let waiting = mailboxes.into_iter().filter(|it| it.message.to() == id);
        let waiting: Vec<_> = waiting.map(overview::delivery).collect();
        let events: Vec<_> = entries.iter().map(timeline::object).collect();
        print_json([json!({ "id": id, "agent": agent, "waiting": waiting, "events": events })])?;
        return Ok(Exit::Completed);
    }
    out::write(&head(id, &state, &names))?;
    timeline::print(&entries, &names, false)
}

fn head(id: AgentId, state: &State, names: &Names) -> String {
    let mut text = format!("{}\n", title(id, names));
    // A String takes all that is written.
    let _ = match state.agent(id) {
        None => writeln!(text, "not registered now"),
        Some(agent) => {
            let config = &agent.config;
            let (role, connector) = (config.role.to_string(), &config.connector_type);
            let parent = agent.parent.map(|it| format!(", spawned by {}", names.agent(it)));
            let (role, parent) = (clean(&role), parent.unwrap_or_default());
            writeln!(text, "{role}, driven by {}{parent}", clean(connector))
        }
    };
    let standing = state.agent(id).map(overview::standing).unwrap_or_default();
    for line in [standing, used(id, state)] {
        if !line.is_empty() {
            let _ = writeln!(text, "{line}");
        }
    }
    let all = state.mailboxes();
    let of: Vec<_> = all.into_iter().filter(|it| it.message.to() == id).collect();
    let waiting = overview::deliveries(&of, state.at(), names);
    if !waiting.is_empty() {
        let _ = write!(text, "\n{waiting}");
    }
    text.push('\n');
    text
}

/// Its name and its id, each once.
fn title(id: AgentId, names: &Names) -> String {
    let (name, id) = (names.agent(id), id.to_string());
    if name.contains(&id) { name } else { format!("{name} ({id})") }
}

fn used(id: AgentId, state: &State) -> String {
    match usage(&state.counts(id).usage) {
        used if used.is_empty() => used,
        used => format!("used {used}"),
    }
}
