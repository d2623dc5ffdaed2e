//! A team: what a team file says, checked and with all defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use orch_runtime::LoopGuard;
use toml::de::{DeTable, DeValue};

use crate::agents::{TeamAgent, read_agents};
use crate::flow::{FlowSpec, Guard, GuardsTooLow};
use crate::flow_table::FlowReader;
use crate::guards::{RunLimits, read_guards, read_run};
use crate::name::AgentName;
use crate::problem::{Problem, ProblemKind, Problems};
use crate::reader::{At, Reader, Section};
use crate::source::Source;
use crate::syntax;
use crate::vars::Sets;

/// What a team file says, checked and with all defaults. For a debugger, as it is
/// [resolved](Team::resolved): without its secrets.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Team {
    /// The team's name: that of its file or folder, unless the file says otherwise.
    pub name: String,
    /// What stops a run.
    pub guards: LoopGuard,
    /// How wide it runs.
    pub run: RunLimits,
    /// The agents, in the order of the file.
    pub agents: Vec<TeamAgent>,
    /// Who gets what.
    pub flow: FlowSpec,
    /// The variables with their values.
    pub variables: BTreeMap<String, String>,
    /// What is odd about the file, and keeps nothing from running.
    pub warnings: Problems,
}

/// Where the text of a team comes from.
#[derive(Clone, Debug)]
pub struct TeamSource {
    /// The name that errors show.
    pub file: String,
    /// What relative paths in the text are relative to; absolute.
    pub folder: PathBuf,
    /// The text.
    pub text: String,
}

impl Team {
    /// Reads a team from text, with `sets` in place of the defaults of its variables.
    ///
    /// # Errors
    ///
    /// Every problem that the text has, with its place; warnings among them.
    ///
    /// # Examples
    ///
    /// ```
    /// use orch_team::{Sets, Team, TeamSource};
    ///
    /// let text = r#"
    ///     [agents.shout]
    ///     comand = ["tr", "a-z", "A-Z"]
    ///     [flow]
    ///     pipe = ["shout"]
    /// "#;
    /// let source = TeamSource { file: "team.toml".into(), folder: "/teams".into(), text: text.into() };
    /// let problems = Team::parse(source, &Sets::new()).unwrap_err();
    /// assert!(problems.to_string().contains("unknown key `comand` in [agents.shout]; did you mean `command`?"));
    /// ```
    pub fn parse(source: TeamSource, sets: &Sets) -> Result<Self, Problems> {
        let TeamSource { file, folder, text } = source;
        let source = Source { file, text };
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        let mut r = Reader::new(&source);
        for (span, kind) in syntax::problems(&source, &errors) {
            r.report(span, kind);
        }
        if !errors.is_empty() {
            // What is left of a broken text would only give rise to further, misleading problems.
            return Err(Problems::new(r.problems));
        }
        let root = Section::new("the team file".to_owned(), 0..0, document.get_ref());
        let team = read_team(&mut r, root, &folder, sets);
        let problems = Problems::new(r.problems);
        match team {
            Some(team) if problems.n_errors() == 0 => Ok(Self { warnings: problems, ..team }),
            _ => Err(problems),
        }
    }

    /// The agent of that name.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&TeamAgent> {
        self.agents.iter().find(|agent| agent.name.as_str() == name)
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Team").field(&format_args!("{}", self.resolved())).finish()
    }
}

/// `None` if the flow is wrong; everything that is wrong is reported.
fn read_team<'a>(
    r: &mut Reader<'a>,
    mut root: Section<'a>,
    folder: &Path,
    sets: &Sets,
) -> Option<Team> {
    read_variables(r, &mut root, sets);
    let name = root.text(r, "name").map(|text| text.at.value);
    let guards = read_guards(r, &mut root);
    let run = read_run(r, &mut root);
    let agents = read_agents(r, &mut root, folder);
    let known: BTreeSet<_> = agents.iter().map(|agent| agent.value.name.clone()).collect();
    let flow = FlowReader { r: &mut *r, agents: known }.read(&mut root);
    if let Some(flow) = &flow {
        check_guards(r, &root, &guards, flow);
        warn_unused_agents(r, &agents, &flow.value);
    }
    warn_unused_variables(r, &root);
    let name = name.unwrap_or_else(|| default_name(&r.source.file, folder));
    root.finish(r);
    Some(Team {
        name,
        guards,
        run,
        agents: agents.into_iter().map(|agent| agent.value).collect(),
        flow: flow?.value,
        variables: r.vars.values().clone(),
        warnings: Problems::new(Vec::new()),
    })
}

fn read_variables(r: &mut Reader<'_>, root: &mut Section<'_>, sets: &Sets) {
    if let Some(section) = root.section(r, "set", "[set]".to_owned()) {
        for (key, value) in section.entries() {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string().replace('_', ""),
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(flag) => flag.to_string(),
                other => {
                    let problem =
                        section.named(key.value).wrong_type("a string or a number", other);
                    r.report(value.span(), problem);
                    // Declared all the same, or each use would be one more problem.
                    String::new()
                }
            };
            let text = sets.get(key.value).map_or(text, str::to_owned);
            r.vars.declare(key.value, text);
        }
    }
    let unknown: Vec<_> = sets
        .names()
        .filter(|name| !r.vars.values().contains_key(*name))
        .map(str::to_owned)
        .collect();
    for name in unknown {
        let kind = r.vars.unknown(&name);
        r.report_outside(Problem::new(kind).with_hint("only variables of [set] can be set"));
    }
}

/// Holds what the flow needs with any input against the guards.
fn check_guards(r: &mut Reader<'_>, root: &Section<'_>, guards: &LoopGuard, flow: &At<FlowSpec>) {
    let Err(GuardsTooLow(low)) = flow.value.demand_at_least().check(guards) else { return };
    for low in low {
        let key = match low.guard {
            Guard::MessagesPerAgent { .. } => "max_messages_per_agent",
            Guard::Iterations => "max_iterations",
        };
        let span = guard_span(root, key).unwrap_or(flow.span.clone());
        r.report(span, ProblemKind::from(low));
    }
}

fn guard_span(root: &Section<'_>, key: &str) -> Option<Range<usize>> {
    let (_, guards) = root.entries().into_iter().find(|(name, _)| name.value == "guards")?;
    let (key, _) = guards.get_ref().as_table()?.get_key_value(key)?;
    Some(key.span())
}

fn warn_unused_agents(r: &mut Reader<'_>, agents: &[At<TeamAgent>], flow: &FlowSpec) {
    let used: BTreeSet<&AgentName> = flow.agents().collect();
    for agent in agents.iter().filter(|agent| !used.contains(&agent.value.name)) {
        let name = agent.value.name.to_string();
        let problem = Problem::new(ProblemKind::UnusedAgent { name });
        let hint = "it gets messages only if another agent sends it some";
        r.report(agent.span.clone(), problem.with_hint(hint));
    }
}

fn warn_unused_variables(r: &mut Reader<'_>, root: &Section<'_>) {
    let unused: BTreeSet<String> = r.vars.unused().map(str::to_owned).collect();
    let entries = root.entries();
    let set = entries.iter().find(|(name, _)| name.value == "set");
    let Some(table) = set.and_then(|(_, set)| set.get_ref().as_table()) else { return };
    for (key, _) in table.iter().filter(|(key, _)| unused.contains(key.get_ref().as_ref())) {
        let name = key.get_ref().to_string();
        r.report(key.span(), ProblemKind::UnusedVariable { name });
    }
}

/// `report` for `report.toml`; the name of the folder for `team.toml`.
fn default_name(file: &str, folder: &Path) -> String {
    let stem = Path::new(file).file_stem().unwrap_or_default();
    let name = if stem == "team" { folder.file_name().unwrap_or(stem) } else { stem };
    name.to_string_lossy().into_owned()
}
