//! What an earlier process left: what it spent, and what waits.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use orch_journal::{SqliteReader, State};
use orch_runtime::Timestamp;
use serde_json::{Value, json};

use crate::exit::Stop;
use crate::journal::{Names, clean, count, deliveries, unread, usage};
use crate::when::local;

/// Messages, questions and calls of which each is shown; more are counted.
const SHOWN_MAX: usize = 20;

pub(crate) struct Left<'a> {
    state: &'a State,
    names: Names,
    n_attempts: u64,
}

impl<'a> Left<'a> {
    pub(crate) fn read(reader: &SqliteReader, state: &'a State) -> Result<Self, Stop> {
        let stats = reader.stats().map_err(unread)?;
        let n_attempts = stats.n_by_kind.get("attempt_started").copied().unwrap_or_default();
        Ok(Self { state, names: Names::load(reader).map_err(unread)?, n_attempts })
    }

    /// For people; a line or a table for each thing that there is.
    pub(crate) fn text(&self, file: &Path) -> String {
        let mut text = format!("{}: {}\n", file.display(), self.last_run());
        let _ = writeln!(text, "spent: {}", self.spent());
        let _ = writeln!(text, "waiting: {}", self.waiting_by_agent());
        let all = self.state.mailboxes();
        let shown = &all[..all.len().min(SHOWN_MAX)];
        text.push_str(&deliveries(shown, Timestamp::now(), &self.names));
        if all.len() > SHOWN_MAX {
            let _ = writeln!(text, "… and {} more", all.len() - SHOWN_MAX);
        }
        for line in self.questions().chain(self.tools()) {
            let _ = writeln!(text, "{line}");
        }
        let n_letters = self.state.letters().count() as u64;
        if n_letters > 0 {
            let (letters, file) = (count(n_letters, "dead letter"), file.display());
            let _ = writeln!(text, "{letters}: orch dead-letters list {file}");
        }
        text
    }

    fn last_run(&self) -> String {
        let Some((number, run)) = self.state.runs().last_key_value() else {
            return "the run was accepted, and has not started".to_owned();
        };
        match (&run.reason, run.ended) {
            (Some(reason), _) => {
                format!("run {number} ended ({})", clean(&reason.to_string()))
            }
            (None, _) => {
                format!("run {number} was cut off, at {} or later", local(self.state.at()))
            }
        }
    }

    fn spent(&self) -> String {
        let attempts = count(self.n_attempts, "attempt");
        match usage(&self.state.spent()) {
            used if used.is_empty() => attempts,
            used => format!("{used}, {attempts}"),
        }
    }

    fn waiting_by_agent(&self) -> String {
        let mut by_agent: BTreeMap<String, u64> = BTreeMap::new();
        for delivery in self.state.mailboxes() {
            *by_agent.entry(self.names.agent(delivery.message.to())).or_default() += 1;
        }
        let each =
            by_agent.iter().map(|(agent, n)| format!("{} for {agent}", count(*n, "message")));
        match by_agent.is_empty() {
            true => "no message".to_owned(),
            false => each.collect::<Vec<_>>().join(", "),
        }
    }

    fn questions(&self) -> impl Iterator<Item = String> {
        let mut open: Vec<_> = self.state.questions().collect();
        open.sort_unstable_by_key(|(_, question)| question.seq);
        let line = |(id, question): (_, &orch_journal::Question)| {
            let (asker, asked) = (self.names.agent(question.agent), self.names.agent(question.to));
            format!("{asker} waits for the answer of {asked} to {}", self.names.message(id))
        };
        open.into_iter().map(line).collect::<Vec<_>>().into_iter()
    }

    fn tools(&self) -> impl Iterator<Item = String> {
        self.state.unfinished_tools().map(|(key, step)| {
            let (message, tool) = (self.names.message(key.delivery), clean(&step.name));
            format!("nobody knows how step {} of {message} ended, which called {tool}", key.n)
        })
    }

    /// For programs.
    pub(crate) fn object(&self) -> Value {
        let waiting = self.state.mailboxes().into_iter().map(|it| {
            json!({
                "message": it.message.id(),
                "agent": it.message.to(),
                "attempt": it.attempt(),
                "was_running": it.is_running(),
                "ready_at": (!it.is_running()).then(|| it.ready_at()),
            })
        });
        let questions = self.state.questions().map(
            |(id, question)| json!({ "question": id, "agent": question.agent, "to": question.to }),
        );
        let tools = self
            .state
            .unfinished_tools()
            .map(|(key, step)| json!({ "key": key, "tool": step.name }));
        json!({
            "event": "resumes",
            "spent": self.state.spent(),
            "n_attempts": self.n_attempts,
            "waiting": waiting.collect::<Vec<_>>(),
            "questions": questions.collect::<Vec<_>>(),
            "unfinished_tools": tools.collect::<Vec<_>>(),
            "n_letters": self.state.letters().count(),
        })
    }
}
