//! `[flow]`: which agent gets what.

use std::collections::BTreeSet;

use toml::de::DeValue;

use crate::flow::{FlowSpec, Loop, Map, Over, Pipe, Split, Steps, Urgent};
use crate::name::AgentName;
use crate::nearest::nearest;
use crate::problem::{Problem, ProblemKind};
use crate::reader::{At, Reader, Section, no_choice};

/// Keys that begin a flow; a flow has one of them.
const FLOWS: [&str; 3] = ["pipe", "map", "loop"];

const SPLITS: [(&str, Split); 2] = [("lines", Split::Lines), ("json", Split::Json)];

/// Rounds of a loop that says nothing about them.
const AT_MOST: u32 = 5;

const HINT: &str = "write pipe = [\"a\", \"b\"]; or map = \"a\", over = \"lines\", reduce = \"b\"; \
                    or loop = [\"a\", \"b\"], until = { agent = \"b\", says = \"APPROVED\" }";

/// Reads flows of a team that has these agents.
pub(crate) struct FlowReader<'a, 'r> {
    pub(crate) r: &'r mut Reader<'a>,
    pub(crate) agents: BTreeSet<AgentName>,
}

impl<'a> FlowReader<'a, '_> {
    /// The flow, and where its first key stands; `None` if something was wrong and reported.
    pub(crate) fn read(&mut self, root: &mut Section<'a>) -> Option<At<FlowSpec>> {
        let before = self.r.problems.len();
        let Some(mut section) = root.section(self.r, "flow", "[flow]".to_owned()) else {
            if before == self.r.problems.len() {
                self.r.report(0..0, Problem::new(ProblemKind::NoFlow).with_hint(HINT));
            }
            return None;
        };
        let begun = self.which(&mut section);
        let steps = match begun.as_ref().map(|at| at.value) {
            Some("pipe") => self.pipe(&mut section),
            Some("map") => self.map(&mut section),
            Some(_) => self.repeat(&mut section),
            None => None,
        };
        let urgent = self.urgent(&mut section);
        if begun.is_some() {
            section.finish(self.r);
        }
        let steps = steps?;
        Some(At::new(FlowSpec { steps, urgent }, begun?.span))
    }

    /// The one key that begins the flow.
    fn which(&mut self, section: &mut Section<'a>) -> Option<At<&'static str>> {
        let begun = FLOWS.iter().filter_map(|key| Some(At::new(*key, section.key_span(key)?)));
        let begun: Vec<_> = begun.collect();
        match &begun[..] {
            [one] => return Some(one.clone()),
            [] => {
                let keys = section.entries();
                let slip = keys
                    .iter()
                    .find_map(|(key, _)| Some((key.clone(), nearest(key.value, FLOWS)?)));
                match slip {
                    Some((key, meant)) => self.r.report(
                        key.span,
                        Problem::new(ProblemKind::UnknownKey {
                            key: key.value.to_owned(),
                            section: section.title.clone(),
                            nearest: Some(meant.to_owned()),
                        }),
                    ),
                    None => {
                        let problem = Problem::new(ProblemKind::NoFlow).with_hint(HINT);
                        self.r.report(section.span.clone(), problem);
                    }
                }
            }
            [_, second, ..] => {
                let flows = begun.iter().map(|at| format!("`{}`", at.value)).collect();
                let span = second.span.clone();
                self.r.report(span, ProblemKind::SeveralFlows { flows });
            }
        }
        None
    }

    fn pipe(&mut self, section: &mut Section<'a>) -> Option<Steps> {
        let stages = self.agents(section, "pipe")?;
        self.at_least(section, &stages, "pipe", 1)?;
        Some(Steps::Pipe(Pipe { stages: stages.value }))
    }

    fn map(&mut self, section: &mut Section<'a>) -> Option<Steps> {
        let one = section.value("map").and_then(|value| value.get_ref().as_str()).is_some();
        let agents = if one {
            self.agent(section, "map").map(|at| at.map(|agent| vec![agent]))
        } else {
            self.agents(section, "map")
        };
        let over = self.over(section);
        let reduce = section.value("reduce").map(|_| self.agent(section, "reduce"));
        let agents = agents?;
        self.at_least(section, &agents, "map", 1)?;
        let reduce = match reduce {
            Some(agent) => Some(agent?.value),
            None => None,
        };
        Some(Steps::Map(Map { over: over?, agents: agents.value, reduce }))
    }

    fn over(&mut self, section: &mut Section<'a>) -> Option<Over> {
        const HINT: &str = "over = \"lines\" (of the inputs), \"inputs\" (each one), \"json\" (an \
                            array), or { agent = \"lister\", split = \"lines\" }";
        let Some(value) = section.value("over") else {
            section.missing("over", HINT);
            return None;
        };
        match value.get_ref() {
            DeValue::Table(_) => {
                let mut table = section.section(self.r, "over", "`over` of [flow]".to_owned())?;
                let agent = self.needed_agent(&mut table, "agent");
                let split = match table.value("split") {
                    Some(_) => table.choice(self.r, "split", &SPLITS),
                    None => Some(Split::Lines),
                };
                table.finish(self.r);
                Some(Over::Agent { agent: agent?, split: split? })
            }
            DeValue::String(_) => {
                let text = section.text(self.r, "over")?.at;
                let choices = [
                    ("lines", Over::Lists(Split::Lines)),
                    ("inputs", Over::Inputs),
                    ("json", Over::Lists(Split::Json)),
                ];
                let found = choices.iter().find(|(name, _)| *name == text.value);
                if found.is_none() {
                    let mut problem = section.named("over").wrong(no_choice(&text.value, &choices));
                    if self.agents.contains(text.value.as_str()) {
                        let hint = format!("over = {{ agent = \"{}\" }} is its output", text.value);
                        problem = problem.with_hint(hint);
                    }
                    self.r.report(text.span, problem);
                }
                found.map(|(_, over)| over.clone())
            }
            other => {
                let problem = section.named("over").wrong_type("a string or a table", other);
                self.r.report(value.span(), problem.with_hint(HINT));
                None
            }
        }
    }

    fn repeat(&mut self, section: &mut Section<'a>) -> Option<Steps> {
        let pair = self.agents(section, "loop");
        let at_most = match section.value("at_most") {
            Some(_) => section.count(self.r, "at_most", 1).map(|at| at.value),
            None => Some(AT_MOST),
        };
        let until = self.until(section);
        let At { value: pair, span } = pair?;
        let [doer, checker] = &pair[..] else {
            let problem = "it needs two agents: who works, and who checks";
            let problem = section.named("loop").wrong(problem);
            self.r.report(span, problem);
            return None;
        };
        let (agent, says) = until?;
        if agent.value != *checker {
            let problem = format!("it must be the second agent of the loop, `{checker}`");
            let named = crate::reader::Named { key: "agent", section: UNTIL };
            self.r.report(agent.span, named.wrong(problem));
            return None;
        }
        let (doer, checker) = (doer.clone(), checker.clone());
        Some(Steps::Loop(Loop { doer, checker, says, at_most: at_most? }))
    }

    fn until(&mut self, section: &mut Section<'a>) -> Option<(At<AgentName>, String)> {
        const HINT: &str = "until = { agent = \"reviewer\", says = \"APPROVED\" }";
        if section.value("until").is_none() {
            section.missing("until", HINT);
            return None;
        }
        let mut table = section.section(self.r, "until", UNTIL.to_owned())?;
        let agent = match table.value("agent") {
            Some(_) => self.agent(&mut table, "agent"),
            None => {
                table.missing("agent", HINT);
                None
            }
        };
        let says = table.text(self.r, "says");
        if says.is_none() && table.key_span("says").is_none() {
            table.missing("says", HINT);
        }
        let says = says.filter(|says| {
            let can_be_said =
                says.at.value.lines().count() == 1 && says.at.value.contains(char::is_alphanumeric);
            if !can_be_said {
                let problem = table.named("says").wrong("it must be one line with a word in it");
                self.r.report(says.at.span.clone(), problem);
            }
            can_be_said
        });
        table.finish(self.r);
        Some((agent?, says?.at.value))
    }

    fn urgent(&mut self, section: &mut Section<'a>) -> Vec<Urgent> {
        let tables = section.sections(self.r, "urgent", "[[flow.urgent]]").unwrap_or_default();
        let mut urgent = Vec::new();
        for mut table in tables {
            let to = self.needed_agent(&mut table, "to");
            let content = table.text(self.r, "content");
            if content.is_none() && table.key_span("content").is_none() {
                table.missing("content", "what the message says");
            }
            let after = table.count(self.r, "after_answers", 0);
            let after_answers = after.map_or(0, |at| u64::from(at.value));
            table.finish(self.r);
            if let (Some(to), Some(content)) = (to, content) {
                let content = content.at.value.into();
                urgent.push(Urgent { to, content, after_answers });
            }
        }
        urgent
    }

    fn needed_agent(&mut self, table: &mut Section<'a>, key: &'static str) -> Option<AgentName> {
        if table.value(key).is_none() {
            table.missing(key, "the name of an agent of this file");
            return None;
        }
        self.agent(table, key).map(|at| at.value)
    }

    fn agent(&mut self, section: &mut Section<'a>, key: &'static str) -> Option<At<AgentName>> {
        let text = section.text(self.r, key)?.at;
        self.known(text)
    }

    fn agents(
        &mut self,
        section: &mut Section<'a>,
        key: &'static str,
    ) -> Option<At<Vec<AgentName>>> {
        let texts = section.texts(self.r, key)?;
        let span = texts.span;
        // Look at all of them, so that every unknown one is reported.
        let agents: Vec<_> = texts.value.into_iter().map(|text| self.known(text)).collect();
        let agents = agents.into_iter().collect::<Option<Vec<_>>>()?;
        Some(At::new(agents.into_iter().map(|at| at.value).collect(), span))
    }

    fn known(&mut self, text: At<String>) -> Option<At<AgentName>> {
        if let Some(name) = self.agents.get(text.value.as_str()) {
            return Some(At::new(name.clone(), text.span));
        }
        let near = nearest(&text.value, self.agents.iter().map(AgentName::as_str));
        let nearest = near.map(str::to_owned);
        let mut problem =
            Problem::new(ProblemKind::UnknownAgent { name: text.value, nearest: nearest.clone() });
        if nearest.is_none() && !self.agents.is_empty() {
            let names: Vec<_> = self.agents.iter().map(AgentName::as_str).collect();
            problem = problem.with_hint(format!("its agents are {}", names.join(", ")));
        }
        self.r.report(text.span, problem);
        None
    }

    fn at_least(
        &mut self,
        section: &Section<'a>,
        agents: &At<Vec<AgentName>>,
        key: &str,
        min: usize,
    ) -> Option<()> {
        if min <= agents.value.len() {
            return Some(());
        }
        let problem = section.named(key).wrong("it names no agent");
        self.r.report(agents.span.clone(), problem);
        None
    }
}

const UNTIL: &str = "`until` of [flow]";
