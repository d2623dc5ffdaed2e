//! Whether the agents of a team can run, before anything starts.

use orch_runtime::{AgentConfig, ConnectError, Connectors};

use crate::name::AgentName;
use crate::nearest::{did_you_mean, nearest};
use crate::team::Team;

/// An agent that cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent `{agent}` cannot run: {error}{}", hint(.error))]
#[non_exhaustive]
pub struct AgentCannotRun {
    /// Which agent.
    pub agent: AgentName,
    /// What is missing, and the way out.
    pub error: ConnectError,
}

fn hint(error: &ConnectError) -> String {
    match error {
        ConnectError::UnknownConnector { name, known } => {
            did_you_mean(nearest(name, known.iter().map(String::as_str)))
        }
        _ => String::new(),
    }
}

/// Every agent of a team that cannot run, in the order of the file; shown one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct CannotRun(pub Vec<AgentCannotRun>);

impl Team {
    /// Checks that every agent can run: its connector is known, its settings are right, its program
    /// is there, its tool policies can be enforced. Starts nothing and spends nothing.
    ///
    /// # Errors
    ///
    /// [`CannotRun`] names every agent that cannot.
    pub fn check(&self, connectors: &Connectors) -> Result<(), CannotRun> {
        let check = |config: &AgentConfig| connectors.get(&config.connector_type)?.check(config);
        let agents = self.agents.iter();
        let cannot = agents.filter_map(|agent| {
            let error = check(&agent.config).err()?;
            Some(AgentCannotRun { agent: agent.name.clone(), error })
        });
        let cannot: Vec<_> = cannot.collect();
        if cannot.is_empty() { Ok(()) } else { Err(CannotRun(cannot)) }
    }
}
