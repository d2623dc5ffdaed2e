//! The entry for `function` among the built-in connectors: it says how to give it its code.

use orch_core::{AgentConfig, Outcome};

use crate::{ConnectError, Connector, Context, Session, SessionSpec};

/// Refuses every agent, with the way out.
#[derive(Debug)]
pub(crate) struct NeedsCode;

/// No session is ever opened.
#[derive(Debug)]
pub(crate) enum Never {}

impl NeedsCode {
    fn refusal() -> ConnectError {
        ConnectError::NeedsCode {
            name: "function".to_owned(),
            hint: "give it with `Orchestrator::with_connector(name, function(..))`".to_owned(),
        }
    }
}

impl Connector for NeedsCode {
    type Session = Never;

    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Err(Self::refusal())
    }

    async fn open(&self, _spec: SessionSpec) -> Result<Never, ConnectError> {
        Err(Self::refusal())
    }
}

impl Session for Never {
    async fn turn(&mut self, _context: Context) -> Outcome {
        match *self {}
    }
}
