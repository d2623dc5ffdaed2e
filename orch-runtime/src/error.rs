//! Why a run did not start, an agent was not made, or not retired.

use orch_connect::ConnectError;
use orch_core::AgentId;
use orch_policy::{Exceeds, PolicyError};

/// Why a run did not start. Nothing was handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An orchestrator runs on this bus.
    #[error("an orchestrator is already running on this bus: stop it first")]
    AlreadyRunning,
    /// Handlers of the former run have not returned.
    #[error("{} of the former run have not returned: wait for them, or end the process", list(.agents))]
    StillRunning {
        /// Whose handlers.
        agents: Vec<AgentId>,
    },
    /// The start could not be recorded.
    #[error("the start could not be recorded: {0}")]
    Journal(String),
    /// An agent that has messages waiting cannot run.
    #[error("agent `{name}` has messages waiting and cannot run: {error}")]
    CannotRun {
        /// Which agent.
        agent_id: AgentId,
        /// Its name.
        name: String,
        /// What is missing, and the way out.
        error: String,
    },
}

fn list(agents: &[AgentId]) -> String {
    let names: Vec<String> = agents.iter().map(ToString::to_string).collect();
    format!("handlers of {}", names.join(", "))
}

/// Why an agent was not made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// It could not run.
    #[error(transparent)]
    CannotRun(#[from] ConnectError),
    /// One of its tool policies cannot be kept.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An allowed path of one of its policies cannot be resolved.
    #[error("the policy on tool `{tool}`: {error}")]
    AllowedPath {
        /// The policy's tool.
        tool: String,
        /// What is wrong with the path.
        error: String,
    },
    /// It would have rights that its parent has not.
    #[error("a child's rights never exceed its parent's: {0}")]
    ExceedsParent(#[from] Exceeds),
    /// It would lie too deep.
    #[error(
        "the new agent would lie {depth} levels below the first, the limit is {limit}: raise SpawnLimits::depth_max"
    )]
    TooDeep {
        /// Its depth.
        depth: u32,
        /// The limit.
        limit: u32,
    },
    /// There are too many spawned agents.
    #[error(
        "there are {limit} spawned agents, which is the limit: retire some, or raise SpawnLimits::agents_max"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// It could not be recorded.
    #[error("the new agent could not be recorded: {0}")]
    Journal(String),
    /// The parent is not registered (any more).
    #[error("the parent {0} is not registered")]
    UnknownParent(AgentId),
}

/// Why an agent was not retired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// It is not registered (any more).
    #[error("{0} is not registered")]
    Unknown(AgentId),
    /// It could not be recorded: after a restart the agent may be there again.
    #[error("the end of {0} could not be recorded")]
    NotRecorded(AgentId),
    /// It is not the caller's: an agent retires itself and its descendants.
    #[error("{agent} is no descendant of {caller}, so it is not its to retire")]
    NotADescendant {
        /// The agent to retire.
        agent: AgentId,
        /// Who wants to.
        caller: AgentId,
    },
}
