//! A team as it can be shown: everything that its file says or leaves to a default.

use std::fmt;

use orch_runtime::secret::is_secret_key;
use orch_runtime::{AgentConfig, LoopGuard, ToolPolicy};
use serde_json::Value;

use crate::agents::{TeamAgent, permission_name, restart_name};
use crate::duration::show_duration;
use crate::flow::{FlowSpec, Over, Split, Steps};
use crate::guards::RunLimits;
use crate::settings::{mask_text, masked};
use crate::team::Team;
use crate::vars::escape;

/// Shows a team with all its defaults and without its secrets; see [`Team::resolved`].
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a>(&'a Team);

impl Team {
    /// The team as a file that leaves nothing to a default: variables are in place, paths are
    /// absolute, and secrets masked as `***`. But for those, it reads back as the same team.
    ///
    /// A string is a secret under a key that speaks of a key, token, secret, password or
    /// credential, and wherever the value of a variable with such a name stands.
    #[must_use]
    pub fn resolved(&self) -> Resolved<'_> {
        Resolved(self)
    }

    /// The values that are secrets: of variables, and in the settings of agents, by the names that
    /// they stand under.
    #[must_use]
    pub fn secret_values(&self) -> Vec<String> {
        let mut values: Vec<String> = self.secrets().into_iter().map(str::to_owned).collect();
        for agent in &self.agents {
            for (name, value) in &agent.config.settings {
                collect_secrets(value, is_secret_key(name), &mut values);
            }
        }
        values
    }

    fn secrets(&self) -> Vec<&str> {
        let secret = self.variables.iter().filter(|(name, _)| is_secret_key(name));
        secret.map(|(_, value)| value.as_str()).collect()
    }
}

/// All texts under a key that names a secret.
fn collect_secrets(value: &Value, is_secret: bool, values: &mut Vec<String>) {
    match value {
        Value::String(text) if is_secret => values.push(text.clone()),
        Value::Array(items) => {
            items.iter().for_each(|item| collect_secrets(item, is_secret, values));
        }
        Value::Object(entries) => entries
            .iter()
            .for_each(|(name, it)| collect_secrets(it, is_secret || is_secret_key(name), values)),
        _ => {}
    }
}

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(team) = self;
        let secrets = team.secrets();
        writeln!(f, "name = {}", quote(&team.name))?;
        write_guards(f, &team.guards)?;
        write_run(f, &team.run)?;
        for agent in &team.agents {
            write_agent(f, agent, &secrets)?;
        }
        write_flow(f, &team.flow, &secrets)
    }
}

fn write_guards(f: &mut fmt::Formatter<'_>, guards: &LoopGuard) -> fmt::Result {
    writeln!(f, "\n[guards]")?;
    writeln!(f, "max_iterations = {}", count(guards.max_iterations))?;
    writeln!(f, "max_messages_per_agent = {}", count(guards.max_messages_per_agent))?;
    writeln!(f, "max_execution_time = {}", millis(guards.max_execution_time_ms))
}

fn write_run(f: &mut fmt::Formatter<'_>, run: &RunLimits) -> fmt::Result {
    writeln!(f, "\n[run]")?;
    writeln!(f, "max_concurrency = {}", run.max_concurrency)?;
    writeln!(f, "grace = {}", quote(&show_duration(run.grace)))
}

fn write_agent(f: &mut fmt::Formatter<'_>, agent: &TeamAgent, secrets: &[&str]) -> fmt::Result {
    let AgentConfig { role, connector_type, max_retries, timeout_ms, .. } = &agent.config;
    let config = &agent.config;
    writeln!(f, "\n[agents.{}]", key(agent.name.as_str()))?;
    writeln!(f, "role = {}", quote(&role.to_string()))?;
    writeln!(f, "connector = {}", quote(connector_type))?;
    writeln!(f, "retries = {max_retries}")?;
    writeln!(f, "timeout = {}", millis(*timeout_ms))?;
    writeln!(f, "priority = {}", quote(&config.send_priority.to_string()))?;
    writeln!(f, "concurrency = {}", config.concurrency)?;
    writeln!(f, "restart = {}", quote(restart_name(config.restart)))?;
    let tools: Vec<_> = config.tool_policies.iter().map(tool).collect();
    writeln!(f, "tools = [{}]", tools.join(", "))?;
    for (name, value) in masked(&config.settings, secrets) {
        writeln!(f, "settings.{} = {}", key(&name), toml(&value))?;
    }
    Ok(())
}

fn tool(policy: &ToolPolicy) -> String {
    let mut entries = vec![
        format!("tool = {}", quote(&policy.tool_name)),
        format!("permission = {}", quote(permission_name(policy.permission))),
    ];
    if let Some(rate) = policy.max_calls_per_hour {
        entries.push(format!("max_calls_per_hour = {rate}"));
    }
    if let Some(paths) = &policy.allowed_paths {
        entries.push(format!("allowed_paths = {}", list(paths)));
    }
    if policy.ask {
        entries.push("ask = true".to_owned());
    }
    format!("{{ {} }}", entries.join(", "))
}

fn write_flow(f: &mut fmt::Formatter<'_>, flow: &FlowSpec, secrets: &[&str]) -> fmt::Result {
    writeln!(f, "\n[flow]")?;
    match &flow.steps {
        Steps::Pipe(pipe) => writeln!(f, "pipe = {}", list(&pipe.stages))?,
        Steps::Map(map) => {
            writeln!(f, "map = {}", list(&map.agents))?;
            writeln!(f, "over = {}", over(&map.over))?;
            if let Some(reduce) = &map.reduce {
                writeln!(f, "reduce = {}", quote(reduce.as_str()))?;
            }
        }
        Steps::Loop(it) => {
            writeln!(f, "loop = {}", list([&it.doer, &it.checker]))?;
            let (agent, says) = (quote(it.checker.as_str()), quote(&it.says));
            writeln!(f, "until = {{ agent = {agent}, says = {says} }}")?;
            writeln!(f, "at_most = {}", it.at_most)?;
        }
    }
    for urgent in &flow.urgent {
        writeln!(f, "\n[[flow.urgent]]")?;
        writeln!(f, "to = {}", quote(urgent.to.as_str()))?;
        writeln!(f, "content = {}", quote(&mask_text(&urgent.content, secrets)))?;
        writeln!(f, "after_answers = {}", urgent.after_answers)?;
    }
    Ok(())
}

fn over(over: &Over) -> String {
    match over {
        Over::Inputs => quote("inputs"),
        Over::Lists(split) => quote(split_name(*split)),
        Over::Agent { agent, split } => {
            let (agent, split) = (quote(agent.as_str()), quote(split_name(*split)));
            format!("{{ agent = {agent}, split = {split} }}")
        }
    }
}

fn split_name(split: Split) -> &'static str {
    match split {
        Split::Lines => "lines",
        Split::Json => "json",
    }
}

fn count(count: u32) -> String {
    if count == u32::MAX { quote("unlimited") } else { count.to_string() }
}

fn millis(millis: u64) -> String {
    if millis == u64::MAX {
        return quote("unlimited");
    }
    quote(&show_duration(std::time::Duration::from_millis(millis)))
}

fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A key that needs no quotes has none.
fn key(key: &str) -> String {
    let is_bare = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { literal(key) }
}

/// A string in which variables would be put: one that only looks like a variable is escaped.
fn quote(text: &str) -> String {
    literal(&escape(text))
}

/// JSON's escapes are TOML's, but for DEL, which TOML does not allow as it is.
fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries =
                entries.iter().map(|(name, item)| format!("{} = {}", key(name), toml(item)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
