//! `orch journal show`: the runs, the agents, and what waits.

use std::collections::HashMap;
use std::fmt::Write;

use orch_journal::{Agent, Delivery, Run, SqliteReader, State};
use orch_runtime::{AgentId, Timestamp};
use serde_json::{Value, json};

use super::{Names, clean, count, line, open, print_json, unread, usage};
use crate::args::FileArgs;
use crate::exit::{Exit, Stop};
use crate::given::{self, Standing};
use crate::out;
use crate::screen::seconds;
use crate::table::{Left, Right, Table};
use crate::when::local;

/// Waiting messages that people are shown.
const WAITING_MAX: usize = 20;

pub(super) fn show(args: &FileArgs) -> Result<Exit, Stop> {
    let reader = open(&args.file)?;
    let state = reader.state().map_err(unread)?;
    if args.json {
        print_json([object(&reader, &state)])?;
        return Ok(Exit::Completed);
    }
    let names = Names::load(&reader).map_err(unread)?;
    let mut text = head(&reader, &state);
    for part in [runs(&state, &names), agents(&state, &names), waiting(&state, &names)] {
        if !part.is_empty() {
            // A String takes all that is written.
            let _ = write!(text, "\n{part}");
        }
    }
    for note in notes(&state, &names) {
        let _ = write!(text, "\n{note}");
    }
    if reader.writer().is_none() && matches!(given::standing(&state), Ok(Standing::Unfinished(_))) {
        let _ = write!(text, "\nto go on: orch resume {}\n", args.file.display());
    }
    out::write(&format!("{}\n", text.trim_end()))?;
    Ok(Exit::Completed)
}

fn head(reader: &SqliteReader, state: &State) -> String {
    let last = match state.last().0 {
        0 => "nothing happened yet".to_owned(),
        last => format!("{}, the last at {}", count(last, "event"), local(state.at())),
    };
    let open = match (reader.writer(), state.is_cut_off()) {
        (Some(writer), _) => match writer.process {
            Some(process) => format!("process {process} is writing it"),
            None => "a process is writing it".to_owned(),
        },
        (None, true) => "the process that wrote it was cut off".to_owned(),
        (None, false) => "nobody is writing it".to_owned(),
    };
    format!("{last}; {open}\n")
}

fn runs(state: &State, names: &Names) -> String {
    let mut table = Table::new([
        ("run", Right),
        ("began", Left),
        ("took", Right),
        ("iterations", Right),
        ("used", Left),
        ("ended", Left),
    ]);
    for run in state.runs().values() {
        table.add([
            run.run.to_string(),
            local(run.started_at),
            run.ended.map(|(_, at)| seconds(at.since(run.started_at))).unwrap_or_default(),
            run.iterations.to_string(),
            usage(&run.usage),
            ended(run, names),
        ]);
    }
    if table.is_empty() { String::new() } else { table.text() }
}

fn ended(run: &Run, names: &Names) -> String {
    match (&run.reason, run.ended) {
        (Some(reason), _) => clean(&line::stopped(reason, names)),
        (None, Some(_)) => "cut off".to_owned(),
        (None, None) => "open".to_owned(),
    }
}

fn agents(state: &State, names: &Names) -> String {
    let mut waiting: HashMap<AgentId, usize> = HashMap::new();
    for delivery in state.mailboxes() {
        *waiting.entry(delivery.message.to()).or_default() += 1;
    }
    let mut table = Table::new([
        ("agent", Left),
        ("connector", Left),
        ("waiting", Right),
        ("used", Left),
        ("state", Left),
    ]);
    for agent in in_order(state) {
        table.add([
            names.agent(agent.id),
            clean(&agent.config.connector_type),
            waiting.get(&agent.id).copied().unwrap_or_default().to_string(),
            usage(&state.counts(agent.id).usage),
            standing(agent),
        ]);
    }
    if table.is_empty() { String::new() } else { table.text() }
}

/// In the order of their registration.
fn in_order(state: &State) -> Vec<&Agent> {
    let mut agents: Vec<&Agent> = state.agents().collect();
    agents.sort_unstable_by_key(|agent| agent.seq);
    agents
}

/// How an agent is; empty if nothing is to be said.
pub(super) fn standing(agent: &Agent) -> String {
    match (&agent.failed, agent.restarts) {
        (Some(error), _) => format!("failed: {}", clean(error)),
        (None, 0) => String::new(),
        (None, n) => format!("restarted ({n})"),
    }
}

/// What waits, or is handled.
fn waiting(state: &State, names: &Names) -> String {
    let all = state.mailboxes();
    let text = deliveries(&all[..all.len().min(WAITING_MAX)], state.at(), names);
    match all.len().saturating_sub(WAITING_MAX) {
        0 => text,
        n_more => format!("{text}… and {n_more} more\n"),
    }
}

/// A table of these; empty for none.
pub(crate) fn deliveries(all: &[&Delivery], at: Timestamp, names: &Names) -> String {
    let mut table = Table::new([
        ("message", Right),
        ("for", Left),
        ("priority", Left),
        ("is", Left),
        ("content", Left),
    ]);
    for delivery in all {
        let message = &delivery.message;
        table.add([
            names.message(message.id()),
            names.agent(message.to()),
            message.priority().to_string(),
            progress(delivery, at),
            clean(message.content()),
        ]);
    }
    if table.is_empty() { String::new() } else { table.text() }
}

fn progress(delivery: &Delivery, at: Timestamp) -> String {
    let attempt = delivery.attempt();
    match (delivery.is_running(), attempt) {
        (true, _) => format!("at attempt {attempt}"),
        (false, 1) => "waiting".to_owned(),
        (false, _) if delivery.ready_at() > at => {
            format!("waiting until {} for attempt {attempt}", local(delivery.ready_at()))
        }
        (false, _) => format!("waiting for attempt {attempt}"),
    }
}

/// What somebody has to look at.
fn notes(state: &State, names: &Names) -> Vec<String> {
    let mut notes = Vec::new();
    let n_letters = state.letters().count() as u64;
    if n_letters > 0 {
        notes.push(format!("{}: orch dead-letters list\n", count(n_letters, "dead letter")));
    }
    for (key, step) in state.unfinished_tools() {
        notes.push(format!(
            "nobody knows how step {} of message {} ended, which called {}\n",
            key.n,
            names.message(key.delivery),
            clean(&step.name)
        ));
    }
    notes
}

fn object(reader: &SqliteReader, state: &State) -> Value {
    let agents: Vec<Value> = in_order(state).into_iter().map(|it| agent(it, state)).collect();
    let waiting: Vec<Value> = state.mailboxes().into_iter().map(delivery).collect();
    let tools: Vec<Value> = state
        .unfinished_tools()
        .map(|(key, step)| json!({ "key": key, "tool": step.name, "seq": step.seq }))
        .collect();
    json!({
        "last": state.last(),
        "at": state.at(),
        "writer": reader.writer().map(|it| json!({ "process": it.process })),
        "cut_off": reader.writer().is_none() && state.is_cut_off(),
        "runs": state.runs().values().collect::<Vec<_>>(),
        "agents": agents,
        "waiting": waiting,
        "n_letters": state.letters().count(),
        "unfinished_tools": tools,
        "spent": state.spent(),
    })
}

pub(super) fn agent(agent: &Agent, state: &State) -> Value {
    json!({
        "id": agent.id,
        "config": agent.config,
        "parent": agent.parent,
        "failed": agent.failed,
        "restarts": agent.restarts,
        "counts": state.counts(agent.id),
    })
}

pub(super) fn delivery(delivery: &Delivery) -> Value {
    json!({
        "seq": delivery.seq,
        "message": delivery.message,
        "state": delivery.state,
        "errors": delivery.errors,
    })
}
