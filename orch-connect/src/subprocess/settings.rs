//! The settings of a program, read and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use orch_core::AgentConfig;

use crate::ConnectError;
use crate::resources::settings::LimitSettings;
use crate::settings::Settings;

const KEYS: &[&str] = &[
    "command",
    "mode",
    "cwd",
    "env",
    "inherit_env",
    "output_bytes_max",
    "truncate",
    "grace_ms",
    "asks_permission",
    "limits",
];

const OUTPUT_BYTES_MAX: u64 = 16 << 20;
const GRACE_MS: u64 = 2_000;

/// How the program is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It runs for each message.
    Once,
    /// It lives as long as its session.
    Jsonl,
}

/// The settings of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgramSettings {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) mode: Mode,
    /// Absolute.
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) inherit_env: Vec<String>,
    pub(super) output_bytes_max: usize,
    pub(super) truncate: bool,
    pub(super) grace: Duration,
    pub(super) asks_permission: bool,
    pub(super) limits: LimitSettings,
}

impl ProgramSettings {
    pub(super) fn read(config: &AgentConfig) -> Result<Self, ConnectError> {
        let settings = Settings::new(&config.settings, "", KEYS)?;
        let (program, args) = command(&settings)?;
        let mode = mode(&settings)?;
        let only_in = |key: &str, wanted: Mode, name: &str| match settings.flag(key)? {
            Some(true) if mode != wanted => {
                Err(settings.bad(key, format!("is for mode \"{name}\" only")))
            }
            flag => Ok(flag.unwrap_or(false)),
        };
        let output_bytes_max = settings.count("output_bytes_max")?.unwrap_or(OUTPUT_BYTES_MAX);
        if output_bytes_max == 0 {
            return Err(settings.bad("output_bytes_max", "must be at least 1"));
        }
        Ok(Self {
            program,
            args,
            mode,
            cwd: cwd(&settings)?,
            env: env(&settings)?,
            inherit_env: names(&settings)?,
            output_bytes_max: usize::try_from(output_bytes_max).unwrap_or(usize::MAX),
            truncate: only_in("truncate", Mode::Once, "once")?,
            grace: Duration::from_millis(settings.count("grace_ms")?.unwrap_or(GRACE_MS)),
            asks_permission: only_in("asks_permission", Mode::Jsonl, "jsonl")?,
            limits: LimitSettings::read(&settings)?,
        })
    }

    /// Refuses policies that could not be held against the program.
    pub(super) fn refuse_policies(&self, config: &AgentConfig) -> Result<(), ConnectError> {
        let reason = match (config.tool_policies.first(), self.mode) {
            (None, _) => return Ok(()),
            (Some(_), Mode::Jsonl) if self.asks_permission => return Ok(()),
            (Some(_), Mode::Jsonl) => {
                "the program uses files and network by itself; remove the policy, or set \
                 `asks_permission = true` if the program asks by `tool` lines before it acts"
            }
            (Some(_), Mode::Once) => {
                "the program uses files and network by itself, and cannot ask in mode \"once\"; \
                 remove the policy, or use a program that asks in mode \"jsonl\""
            }
        };
        let tool = config.tool_policies[0].tool_name.clone();
        Err(ConnectError::PolicyNotEnforceable { tool, reason: reason.to_owned() })
    }
}

fn command(settings: &Settings<'_>) -> Result<(String, Vec<String>), ConnectError> {
    let bad = |problem: &str| settings.bad("command", problem);
    let mut words = settings
        .texts("command")?
        .ok_or_else(|| bad("is missing; for example `command = [\"sort\", \"-u\"]`"))?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err(bad("has a NUL character"));
    }
    if words.first().is_none_or(String::is_empty) {
        return Err(bad("is empty; its first item is the program"));
    }
    let args = words.split_off(1);
    Ok((words.remove(0), args))
}

fn mode(settings: &Settings<'_>) -> Result<Mode, ConnectError> {
    match settings.text("mode")? {
        None | Some("once") => Ok(Mode::Once),
        Some("jsonl") => Ok(Mode::Jsonl),
        Some(other) => {
            let problem = format!("is \"{other}\"; expected \"once\" or \"jsonl\"");
            Err(settings.bad("mode", problem))
        }
    }
}

fn cwd(settings: &Settings<'_>) -> Result<Option<PathBuf>, ConnectError> {
    let Some(text) = settings.text("cwd")? else { return Ok(None) };
    let bad = |problem: String| settings.bad("cwd", problem);
    let path = std::path::absolute(text).map_err(|error| bad(error.to_string()))?;
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(Some(path)),
        Ok(_) => Err(bad(format!("`{}` is not a folder", path.display()))),
        Err(error) => Err(bad(format!("`{}`: {error}", path.display()))),
    }
}

fn env(settings: &Settings<'_>) -> Result<BTreeMap<String, String>, ConnectError> {
    let mut env = BTreeMap::new();
    for (name, value) in settings.object("env")?.into_iter().flatten() {
        let key = format!("env.{name}");
        let Some(value) = value.as_str() else {
            return Err(settings.bad(&key, "is not a text"));
        };
        if !is_name(name) || value.contains('\0') {
            return Err(settings.bad(&key, "has a character that no variable can have"));
        }
        env.insert(name.clone(), value.to_owned());
    }
    Ok(env)
}

fn names(settings: &Settings<'_>) -> Result<Vec<String>, ConnectError> {
    let names = settings.texts("inherit_env")?.unwrap_or_default();
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => {
            Err(settings.bad("inherit_env", format!("`{name}` is no name of a variable")))
        }
        None => Ok(names),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_core::{AgentRole, PermissionLevel, ToolPolicy};
    use serde_json::{Value, json};

    fn config(settings: Value) -> AgentConfig {
        let mut config = AgentConfig::new("a".into(), AgentRole::Worker, "subprocess".into());
        config.settings = settings.as_object().unwrap().clone();
        config
    }

    #[track_caller]
    fn refuses(settings: Value, expected: &str) {
        let error = ProgramSettings::read(&config(settings)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_command_is_all_that_is_needed() {
        let read = ProgramSettings::read(&config(json!({ "command": ["cat", "-n"] }))).unwrap();
        let expected = ProgramSettings {
            program: "cat".into(),
            args: vec!["-n".into()],
            mode: Mode::Once,
            cwd: None,
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            output_bytes_max: 16 << 20,
            truncate: false,
            grace: Duration::from_millis(2_000),
            asks_permission: false,
            limits: LimitSettings::default(),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_wrong_setting_is_named_with_the_way_out() {
        refuses(json!({}), "setting `command`: is missing; for example");
        refuses(json!({ "command": [] }), "setting `command`: is empty");
        refuses(json!({ "command": [""] }), "setting `command`: is empty");
        refuses(json!({ "command": "cat -n" }), "setting `command`: is a text; expected a list");
        refuses(json!({ "command": ["a\0"] }), "setting `command`: has a NUL");
        refuses(
            json!({ "comand": ["cat"] }),
            "setting `comand`: is unknown; did you mean `command`?",
        );
        let with = |key: &str, value: Value| json!({ "command": ["cat"], key: value });
        refuses(with("mode", json!("json")), "setting `mode`: is \"json\"; expected \"once\" or");
        refuses(with("grace_ms", json!(-1)), "setting `grace_ms`: is a number; expected a whole");
        refuses(with("output_bytes_max", json!(0)), "setting `output_bytes_max`: must be at least");
        refuses(with("cwd", json!("no/such/folder")), "setting `cwd`: `");
        refuses(with("cwd", json!("Cargo.toml")), "setting `cwd`: `");
        refuses(with("env", json!({ "A=B": "x" })), "setting `env.A=B`: has a character");
        refuses(with("env", json!({ "A": 1 })), "setting `env.A`: is not a text");
        refuses(with("inherit_env", json!(["A", ""])), "setting `inherit_env`: `` is no name");
        refuses(with("asks_permission", json!(true)), "setting `asks_permission`: is for mode");
    }

    #[test]
    fn a_policy_is_refused_unless_the_program_asks() {
        let policy = ToolPolicy::new("shell".into(), PermissionLevel::ReadOnly);
        let check = |settings: Value| {
            let config = config(settings).with_tool_policy(policy.clone());
            ProgramSettings::read(&config).unwrap().refuse_policies(&config)
        };
        for settings in [json!({ "command": ["a"] }), json!({ "command": ["a"], "mode": "jsonl" })]
        {
            let error = check(settings).unwrap_err();
            let is_refusal = |tool: &str| tool == "shell";
            assert!(
                matches!(&error, ConnectError::PolicyNotEnforceable { tool, .. } if is_refusal(tool)),
                "{error}"
            );
        }
        let asks = json!({ "command": ["a"], "mode": "jsonl", "asks_permission": true });
        assert_eq!(check(asks), Ok(()));
    }
}
