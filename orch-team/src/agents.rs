//! `[agents.…]`: one table an agent, its key is the agent's name.

use std::path::Path;

use orch_runtime::{
    AgentConfig, AgentRole, MessagePriority, PermissionLevel, RestartPolicy, ToolPolicy,
};
use serde_json::{Map, Value};

use crate::guards::read_millis;
use crate::name::AgentName;
use crate::problem::{Problem, ProblemKind};
use crate::reader::{At, Reader, Section};
use crate::settings;

/// What drives an agent that has a `command` and names no connector.
const PROGRAM_CONNECTOR: &str = "subprocess";

const ROLES: [(&str, AgentRole); 3] = [
    ("Coordinator", AgentRole::Coordinator),
    ("Worker", AgentRole::Worker),
    ("Reviewer", AgentRole::Reviewer),
];
const PRIORITIES: [(&str, MessagePriority); 4] = [
    ("Low", MessagePriority::Low),
    ("Normal", MessagePriority::Normal),
    ("High", MessagePriority::High),
    ("Critical", MessagePriority::Critical),
];
const RESTARTS: [(&str, RestartPolicy); 3] = [
    ("never", RestartPolicy::Never),
    ("on_failure", RestartPolicy::OnFailure),
    ("always", RestartPolicy::Always),
];
const PERMISSIONS: [(&str, PermissionLevel); 4] = [
    ("Denied", PermissionLevel::Denied),
    ("ReadOnly", PermissionLevel::ReadOnly),
    ("ReadWrite", PermissionLevel::ReadWrite),
    ("Full", PermissionLevel::Full),
];

/// An agent of a team file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TeamAgent {
    /// Its name, which the file's tables and the flow use.
    pub name: AgentName,
    /// How it is made. Paths in it are absolute.
    pub config: AgentConfig,
}

/// The agents in the order of the file, each with where its name stands.
pub(crate) fn read_agents(
    r: &mut Reader<'_>,
    root: &mut Section<'_>,
    folder: &Path,
) -> Vec<At<TeamAgent>> {
    let before = r.problems.len();
    let Some(section) = root.section(r, "agents", "[agents]".to_owned()) else {
        if r.problems.len() == before {
            r.report(0..0, no_agents());
        }
        return Vec::new();
    };
    let entries = section.entries();
    if entries.is_empty() {
        r.report(section.span.clone(), no_agents());
    }
    let mut agents = Vec::new();
    for (key, value) in entries {
        let name = AgentName::try_new(key.value).unwrap_or_else(|bad| {
            r.report(key.span.clone(), section.named(key.value).wrong(bad.to_string()));
            AgentName::refused(key.value)
        });
        let title = format!("[agents.{name}]");
        match value.get_ref().as_table() {
            Some(entries) => {
                let table = Section::new(title, key.span.clone(), entries);
                agents.push(At::new(read_agent(r, name, table, folder), key.span));
            }
            None => {
                let problem = section.named(key.value).wrong_type("a table", value.get_ref());
                r.report(value.span(), problem);
            }
        }
    }
    agents
}

fn no_agents() -> Problem {
    Problem::new(ProblemKind::NoAgents)
        .with_hint("an agent is a table: [agents.NAME] with `command` or `connector`")
}

fn read_agent(
    r: &mut Reader<'_>,
    name: AgentName,
    mut section: Section<'_>,
    folder: &Path,
) -> TeamAgent {
    let role = read_role(r, &mut section);
    let connector = section.text(r, "connector").map(|text| text.at.value);
    let settings = read_settings(r, &mut section, connector.as_deref(), folder);
    let connector = connector.unwrap_or_else(|| PROGRAM_CONNECTOR.to_owned());
    let mut config = AgentConfig::new(name.to_string(), role, connector);
    config.settings = settings;
    config.restart = RestartPolicy::OnFailure;
    if let Some(retries) = section.count(r, "retries", 0) {
        config.max_retries = retries.value;
    }
    if let Some(millis) = read_millis(r, &mut section, "timeout") {
        config.timeout_ms = millis;
    }
    if let Some(priority) = section.choice(r, "priority", &PRIORITIES) {
        config.send_priority = priority;
    }
    if let Some(concurrency) = section.count(r, "concurrency", 1) {
        config.concurrency = concurrency.value;
    }
    if let Some(restart) = section.choice(r, "restart", &RESTARTS) {
        config.restart = restart;
    }
    config.tool_policies = read_tools(r, &mut section, folder);
    section.finish(r);
    TeamAgent { name, config }
}

/// One of the known roles, or whatever the file says.
fn read_role(r: &mut Reader<'_>, section: &mut Section<'_>) -> AgentRole {
    let Some(text) = section.text(r, "role") else { return AgentRole::Worker };
    let known = ROLES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&text.at.value));
    known.map_or(AgentRole::Custom(text.at.value), |(_, role)| role)
}

fn read_settings(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    connector: Option<&str>,
    folder: &Path,
) -> Map<String, Value> {
    let mut settings = Map::new();
    let title = section.title.replace(']', ".settings]");
    if let Some(table) = section.section(r, "settings", title) {
        for (key, value) in table.entries() {
            if let Some(value) = settings::to_json(r, &table.named(key.value), value) {
                settings.insert(key.value.to_owned(), value);
            }
        }
    }
    read_limits(r, section, &mut settings);
    if let Some(command) = read_command(r, section, settings.contains_key("command")) {
        settings.insert("command".to_owned(), command.into());
    }
    let has_command = section.key_span("command").is_some() || settings.contains_key("command");
    if !has_command && section.key_span("connector").is_none() {
        let hint = "write command = [\"program\", \"argument\"], or connector = \"…\" for another \
                    kind of agent";
        section.missing("command", hint);
    }
    if settings.contains_key("command") && connector.is_none_or(|it| it == PROGRAM_CONNECTOR) {
        // Scripts lie beside the team file, wherever the process was started.
        settings.entry("cwd").or_insert_with(|| ".".into());
    }
    settings::resolve_paths(&mut settings, folder);
    settings
}

/// `limits` stands beside `command`, and goes to the connector as one of its settings.
fn read_limits(r: &mut Reader<'_>, section: &mut Section<'_>, settings: &mut Map<String, Value>) {
    let title = section.title.replace(']', ".limits]");
    let Some(table) = section.section(r, "limits", title) else { return };
    let entries = table.entries().into_iter().filter_map(|(key, value)| {
        let value = settings::to_json(r, &table.named(key.value), value)?;
        Some((key.value.to_owned(), value))
    });
    let limits: Map<String, Value> = entries.collect();
    if settings.insert("limits".to_owned(), limits.into()).is_some() {
        let problem = section.named("limits").wrong("it is in `settings` as well; keep one");
        r.report(table.span.clone(), problem);
    }
}

fn read_command(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    is_set_already: bool,
) -> Option<Vec<String>> {
    if let Some(value) = section.value("command")
        && let Some(line) = value.get_ref().as_str()
    {
        let words: Vec<_> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
        let hint = format!("no shell splits it: write command = [{}]", words.join(", "));
        let problem = section.named("command").wrong_type("a list of strings", value.get_ref());
        r.report(value.span(), problem.with_hint(hint));
        return None;
    }
    let command = section.texts(r, "command")?;
    if command.value.first().is_none_or(|program| program.value.is_empty()) {
        let problem = section.named("command").wrong("it names no program");
        r.report(command.span, problem);
        return None;
    }
    if is_set_already {
        let problem = section.named("command").wrong("it is in `settings` as well; keep one");
        r.report(command.span.clone(), problem);
    }
    Some(command.value.into_iter().map(|word| word.value).collect())
}

fn read_tools(r: &mut Reader<'_>, section: &mut Section<'_>, folder: &Path) -> Vec<ToolPolicy> {
    let title = section.title.replace(']', ".tools]");
    let mut policies: Vec<ToolPolicy> = Vec::new();
    for mut table in section.sections(r, "tools", &title).unwrap_or_default() {
        let policy = read_tool(r, &mut table, folder);
        if let Some(policy) = policy {
            if policies.iter().any(|it| it.tool_name == policy.tool_name) {
                let problem = format!("\"{}\" has a policy already", policy.tool_name);
                r.report(table.span.clone(), table.named("tool").wrong(problem));
            }
            policies.push(policy);
        }
        table.finish(r);
    }
    policies
}

fn read_tool(r: &mut Reader<'_>, table: &mut Section<'_>, folder: &Path) -> Option<ToolPolicy> {
    let tool = table.text(r, "tool").map(|text| text.at.value);
    let permission = table.choice(r, "permission", &PERMISSIONS);
    let rate = table.count(r, "max_calls_per_hour", 0);
    let paths = table.texts(r, "allowed_paths");
    let ask = table.flag(r, "ask").unwrap_or(false);
    if tool.is_none() && table.key_span("tool").is_none() {
        table.missing("tool", "tool = \"*\" is every tool without a policy of its own");
    }
    if permission.is_none() && table.key_span("permission").is_none() {
        let names: Vec<_> = PERMISSIONS.iter().map(|(name, _)| *name).collect();
        table.missing("permission", format!("one of {}", names.join(", ")));
    }
    let mut policy = ToolPolicy::new(tool?, permission?);
    policy.max_calls_per_hour = rate.map(|rate| rate.value);
    policy.allowed_paths = paths.map(|paths| {
        paths.value.iter().map(|path| settings::resolve(folder, &path.value)).collect()
    });
    policy.ask = ask;
    Some(policy)
}

/// How a file writes a restart policy.
pub(crate) fn restart_name(restart: RestartPolicy) -> &'static str {
    RESTARTS.iter().find(|(_, it)| *it == restart).map_or("?", |(name, _)| *name)
}

/// How a file writes a permission.
pub(crate) fn permission_name(permission: PermissionLevel) -> &'static str {
    PERMISSIONS.iter().find(|(_, it)| *it == permission).map_or("?", |(name, _)| *name)
}
