//! What the host allows its pages: which kinds of agents, and which programs.

use std::collections::{BTreeMap, BTreeSet};

use orch_runtime::{AgentConfig, Connector, Connectors, built_in};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};

/// The connector type under which allowed programs run.
const PROGRAM: &str = "subprocess";

/// The one setting of a program's agent that a page gives.
const PROGRAM_SETTING: &str = "program";

/// The host's choices. A page cannot change them.
///
/// By default a page can make `scripted` agents and nothing else: **no program is started because a
/// page says so**. What more there is, the host adds.
#[derive(Clone, Debug)]
pub struct Host {
    connectors: Connectors,
    /// Connector types that a page may name.
    open: BTreeSet<String>,
    /// The settings of each program that a page may name.
    programs: BTreeMap<String, Map<String, Value>>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// The built-in connectors, of which pages may use `scripted`.
    #[must_use]
    pub fn new() -> Self {
        let open = BTreeSet::from(["scripted".to_owned()]);
        Self { connectors: built_in(), open, programs: BTreeMap::new() }
    }

    /// Replaces the connectors, for one that contains programs better: see
    /// [`built_in_with`](orch_runtime::built_in_with). Which of them pages may use stays as it is.
    #[must_use]
    pub fn with_connectors(mut self, connectors: Connectors) -> Self {
        self.connectors = connectors;
        self
    }

    /// Adds a connector of the host's own, which pages may use: Rust code, for one.
    #[must_use]
    pub fn with_connector(mut self, name: impl Into<String>, connector: impl Connector) -> Self {
        let name = name.into();
        self.connectors.insert(name.clone(), connector);
        self.open.insert(name);
        self
    }

    /// Lets pages use a connector that is there already, with settings of their own.
    ///
    /// # Panics
    ///
    /// For `subprocess`, whose settings are a command; see [`with_program`](Self::with_program).
    #[must_use]
    pub fn with_open_connector(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(name != PROGRAM, "a page must not choose commands: use with_program");
        self.open.insert(name);
        self
    }

    /// Lets pages make agents of one program: `connector_type: "subprocess"` with
    /// `settings: { program: NAME }`. The command and all else stays with the host.
    #[must_use]
    pub fn with_program<I>(self, name: impl Into<String>, command: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let command: Vec<Value> =
            command.into_iter().map(|word| Value::String(word.into())).collect();
        let settings = Map::from_iter([("command".to_owned(), Value::Array(command))]);
        self.with_program_settings(name, settings)
    }

    /// As [`with_program`](Self::with_program), with all settings that `subprocess` knows.
    #[must_use]
    pub fn with_program_settings(
        mut self,
        name: impl Into<String>,
        settings: Map<String, Value>,
    ) -> Self {
        self.programs.insert(name.into(), settings);
        self
    }

    pub(crate) fn connectors(&self) -> &Connectors {
        &self.connectors
    }

    /// The configuration under which an agent that a page wants is made.
    ///
    /// A kind that nobody knows is admitted: it runs nothing.
    pub(crate) fn admit(&self, mut config: AgentConfig) -> Result<AgentConfig, Error> {
        if config.connector_type == PROGRAM {
            config.settings = self.program(&config.settings)?.clone();
            return Ok(config);
        }
        let is_known = self.connectors.get(&config.connector_type).is_ok();
        if is_known && !self.open.contains(&config.connector_type) {
            return Err(self.not_open(&config.connector_type));
        }
        Ok(config)
    }

    fn program(&self, settings: &Map<String, Value>) -> Result<&Map<String, Value>, Error> {
        let name = settings.get(PROGRAM_SETTING).and_then(Value::as_str).unwrap_or_default();
        match self.programs.get(name) {
            Some(program) if settings.len() == 1 => Ok(program),
            Some(_) => Err(self.not_allowed("only `program` may be set from a page")),
            None if name.is_empty() => {
                Err(self.not_allowed("a page names a program, it does not say how to start one"))
            }
            None => Err(self.not_allowed(&format!("the host allows no program `{name}`"))),
        }
    }

    fn not_allowed(&self, message: &str) -> Error {
        let names: Vec<&str> = self.programs.keys().map(String::as_str).collect();
        let hint = if names.is_empty() {
            "the host allows none: it adds them with Host::with_program".to_owned()
        } else {
            format!("settings: {{ program: NAME }}, with one of {}", names.join(", "))
        };
        Error::new(ErrorCode::ProgramNotAllowed, message).with_hint(hint)
    }

    fn not_open(&self, name: &str) -> Error {
        let open: Vec<&str> = self.open.iter().map(String::as_str).collect();
        Error::new(ErrorCode::ConnectorNotAllowed, format!("pages may not make `{name}` agents"))
            .with_hint(format!("open to pages are {}; the host adds to them", open.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use orch_runtime::{AgentRole, Context, function};
    use serde_json::json;

    use super::*;

    fn config(kind: &str, settings: Value) -> AgentConfig {
        let mut config = AgentConfig::new("a".into(), AgentRole::Worker, kind.into());
        config.settings = settings.as_object().unwrap().clone();
        config
    }

    fn host() -> Host {
        Host::new().with_program("sort", ["sort", "-u"]).with_connector(
            "shout",
            function(|ctx: Context| async move { ctx.content().to_owned() }),
        )
    }

    #[test]
    fn a_page_names_a_program_and_the_host_says_how_it_is_started() {
        let admitted = host().admit(config("subprocess", json!({ "program": "sort" }))).unwrap();
        assert_eq!(Value::Object(admitted.settings), json!({ "command": ["sort", "-u"] }));
    }

    #[test]
    fn a_page_cannot_start_a_program_of_its_own_choice() {
        for settings in [
            json!({ "command": ["sh", "-c", "id"] }),
            json!({ "program": "sh" }),
            json!({ "program": "sort", "command": ["sh"] }),
            json!({ "program": "sort", "env": { "LD_PRELOAD": "x" } }),
            json!({ "program": ["sort"] }),
            json!({}),
        ] {
            let error = host().admit(config("subprocess", settings.clone())).unwrap_err();
            assert_eq!(error.code, ErrorCode::ProgramNotAllowed, "{settings}");
            assert!(error.hint.unwrap().contains("sort"));
        }
    }

    #[test]
    fn a_known_connector_is_closed_to_pages_until_the_host_opens_it() {
        let host = host().with_connectors(
            built_in().with("mine", function(|_: Context| async move { "ok".to_owned() })),
        );
        let error = host.admit(config("mine", json!({}))).unwrap_err();
        assert_eq!(error.code, ErrorCode::ConnectorNotAllowed);
        assert!(host.with_open_connector("mine").admit(config("mine", json!({}))).is_ok());
    }

    #[test]
    fn what_nobody_knows_runs_nothing_and_is_admitted() {
        assert!(host().admit(config("claude_code", json!({}))).is_ok());
    }

    #[test]
    #[should_panic(expected = "must not choose commands")]
    fn commands_cannot_be_opened_to_pages() {
        let _ = Host::new().with_open_connector("subprocess");
    }
}
