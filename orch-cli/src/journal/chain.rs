//! `orch journal chain`: a message with all that followed from it.

use std::collections::HashMap;
use std::time::Duration;

use orch_journal::{Entry, Of, Record, Seq, State};
use orch_runtime::{AgentMessage, MessageId, Timestamp};

use super::{Names, clean, find, open, timeline, unread};
use crate::args::ChainArgs;
use crate::exit::{Exit, Stop};
use crate::out::{tell, write};
use crate::screen::seconds;
use crate::table::{Left, Right, Table};
use crate::when::local;

/// Steps by which messages are indented at most.
const DEPTH_MAX: usize = 20;

pub(super) fn chain(args: &ChainArgs) -> Result<Exit, Stop> {
    let reader = open(&args.file.file)?;
    let names = Names::load(&reader).map_err(unread)?;
    let chain = find::pick_chain(&reader, &names, &args.chain)?;
    let entries = reader.latest(Of::Chain(chain), usize::MAX).map_err(unread)?;
    if args.file.json {
        return timeline::print(&entries, &names, true);
    }
    let state = reader.state().map_err(unread)?;
    let tree = Tree::of(&entries);
    if tree.nodes.is_empty() {
        tell("nothing happened there");
    } else {
        write(&table(&tree, &state, &names))?;
    }
    Ok(Exit::Completed)
}

/// The messages of a chain, and which of them caused which.
#[derive(Default)]
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    places: HashMap<MessageId, usize>,
}

struct Node<'a> {
    seq: Seq,
    at: Timestamp,
    message: &'a AgentMessage,
    /// The last word on it.
    fate: String,
}

impl<'a> Tree<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut tree = Self::default();
        for entry in entries {
            match &entry.record {
                Record::Accepted { message, .. } => tree.add(entry, message),
                Record::DeadLettered { letter } => tree.add(entry, &letter.message),
                _ => {}
            }
            let place = entry.record.message().and_then(|id| tree.places.get(&id));
            if let (Some(place), Some(fate)) = (place, fate(&entry.record)) {
                tree.nodes[*place].fate = fate;
            }
        }
        tree
    }

    fn add(&mut self, entry: &Entry, message: &'a AgentMessage) {
        let place = self.nodes.len();
        if *self.places.entry(message.id()).or_insert(place) == place {
            let (seq, at) = (entry.seq, entry.at);
            self.nodes.push(Node { seq, at, message, fate: String::new() });
        }
    }

    /// Each node behind its cause, with how deep it stands.
    fn in_order(&self) -> Vec<(usize, &Node<'a>)> {
        let mut caused: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut next = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let cause = node.message.causation().and_then(|id| self.places.get(&id));
            match cause {
                // A cause that comes later is none: so there is no ring.
                Some(cause) if *cause < place => caused[*cause].push(place),
                _ => next.push((0, place)),
            }
        }
        next.reverse();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some((depth, place)) = next.pop() {
            order.push((depth, &self.nodes[place]));
            next.extend(caused[place].iter().rev().map(|it| (depth + 1, *it)));
        }
        order
    }
}

/// What became of a message by this record, if it says so.
fn fate(record: &Record) -> Option<String> {
    Some(match record {
        Record::Accepted { .. } | Record::PutBack { .. } => "waiting".to_owned(),
        Record::SentAgain { .. } => "sent again, waiting".to_owned(),
        Record::AttemptStarted { attempt, .. } => format!("at attempt {attempt}"),
        Record::RetryScheduled { attempt, .. } => format!("waiting for attempt {}", attempt + 1),
        Record::Settled { handling_ms, .. } => {
            format!("handled in {}", seconds(Duration::from_millis(*handling_ms)))
        }
        Record::DeadLettered { letter } => clean(&format!("given up: {}", letter.reason)),
        Record::LetterDropped { sent_as: Some(_), .. } => "given up, sent afresh".to_owned(),
        Record::LetterDropped { .. } => "given up, dropped".to_owned(),
        _ => return None,
    })
}

fn table(tree: &Tree<'_>, state: &State, names: &Names) -> String {
    let columns =
        [("message", Right), ("at", Left), ("way", Left), ("came to", Left), ("content", Left)];
    let mut table = Table::new(columns);
    for (depth, node) in tree.in_order() {
        let indent = "  ".repeat(depth.min(DEPTH_MAX));
        let (from, to) = (names.agent(node.message.from()), names.agent(node.message.to()));
        // A process that was cut off leaves no word of its own in the chain.
        let delivery = state.delivery(node.message.id()).filter(|it| !it.is_running());
        let fate = match delivery {
            Some(delivery) if node.fate.starts_with("at ") => {
                format!("cut off, waiting for attempt {}", delivery.attempt())
            }
            _ => node.fate.clone(),
        };
        table.add([
            node.seq.0.to_string(),
            local(node.at),
            format!("{indent}{from} → {to}"),
            fate,
            clean(node.message.content()),
        ]);
    }
    table.text()
}
