//! A team under an orchestrator: its agents spawned, its flow on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use orch_runtime::{
    AgentId, AgentRegistry, Connectors, Content, MessageBus, Orchestrator, Past, PastError,
    SendError, SpawnError, StartError, StopLimits, StopReason,
};

use crate::check::CannotRun;
use crate::flow::{Flow, FlowAnswer, FlowError};
use crate::name::AgentName;
use crate::past::rebuild;
use crate::router::FlowRouter;
use crate::team::Team;

/// Why a team was not built. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Agents cannot run.
    #[error(transparent)]
    CannotRun(#[from] CannotRun),
    /// The orchestrator refused an agent.
    #[error("agent `{agent}` was not made: {error}")]
    Spawn {
        /// Which agent.
        agent: AgentName,
        /// Why.
        #[source]
        error: SpawnError,
    },
}

/// Why a team did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The flow cannot start with these inputs.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// One of the first messages was not accepted, because it is too large or there are too many.
    #[error("the flow's first messages were not accepted: {0}")]
    NotAccepted(#[from] SendError),
    /// What was done before cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The orchestrator did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// How a run of a team ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TeamOutcome {
    /// Why the run ended.
    pub stop_reason: StopReason,
    /// What the team says, or what there is of it if the run ended before the flow did; and every
    /// problem of the flow.
    pub answer: FlowAnswer,
}

/// A team whose agents are made and wait for the flow.
#[derive(Debug)]
pub struct TeamRun {
    orchestrator: Orchestrator,
    router: Arc<FlowRouter>,
}

impl Team {
    /// Makes the team's agents under an orchestrator of their own.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future drops what was made.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every agent that cannot run.
    pub async fn build(&self, connectors: Connectors) -> Result<TeamRun, BuildError> {
        self.check(&connectors)?;
        let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
        self.build_on(Orchestrator::new(registry, bus).with_connectors(connectors)).await
    }

    /// Makes the team's agents under an orchestrator that has its connectors, observers and other
    /// choices already. Sets its loop guard, concurrency, stop limits and router.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the agents that were made to the orchestrator's registry.
    ///
    /// # Errors
    ///
    /// [`BuildError::Spawn`] for the first agent that was refused.
    pub async fn build_on(&self, orchestrator: Orchestrator) -> Result<TeamRun, BuildError> {
        let stop = StopLimits::new(self.run.grace, StopLimits::default().cut);
        let max_concurrency = usize::try_from(self.run.max_concurrency).unwrap_or(usize::MAX);
        let orchestrator = orchestrator
            .with_loop_guard(self.guards)
            .with_max_concurrency(max_concurrency)
            .with_stop_limits(stop);
        let (mut agents, mut priorities) = (BTreeMap::new(), BTreeMap::new());
        for agent in &self.agents {
            let spawned = orchestrator.spawn(agent.config.clone()).await;
            let spawn_error = |error| BuildError::Spawn { agent: agent.name.clone(), error };
            let id = spawned.map_err(spawn_error)?;
            agents.insert(agent.name.clone(), id);
            priorities.insert(id, agent.config.send_priority);
        }
        let router = Arc::new(FlowRouter::new(&self.flow, self.guards, agents, priorities));
        let orchestrator = orchestrator.with_router(router.clone());
        Ok(TeamRun { orchestrator, router })
    }

    /// Whether the flow can start with these inputs.
    ///
    /// # Errors
    ///
    /// [`FlowError`].
    pub fn check_inputs(&self, inputs: &[Content]) -> Result<(), FlowError> {
        Flow::new(&self.flow, self.guards).start(inputs.to_vec()).map(drop)
    }

    /// What the flow that began with these inputs has come to, by what a journal says of its messages
    /// ([`Orchestrator::past`]). Runs nothing.
    ///
    /// # Errors
    ///
    /// [`FlowError`] if this team's flow cannot have begun with these inputs.
    pub fn answer_of(
        &self,
        inputs: Vec<Content>,
        past: Vec<Past>,
    ) -> Result<FlowAnswer, FlowError> {
        Ok(rebuild(&self.flow, self.guards, inputs, past)?.flow.answer_so_far())
    }
}

impl TeamRun {
    /// Starts the flow with these inputs and runs until it has ended, a guard trips, or somebody
    /// [stops](Orchestrator::stop) the [orchestrator](Self::orchestrator).
    ///
    /// All messages that the inputs make are accepted before the first one is handled: at most as
    /// many to one agent as its mailbox has room for (65,536 unless the bus says otherwise).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a stop without grace; [`resume`](Self::resume) goes on.
    ///
    /// # Errors
    ///
    /// [`RunError`], before anything was handed out. A flow that did not start for its inputs can
    /// be started with others; after any other error the team is to be built again.
    pub async fn run(&self, inputs: Vec<Content>) -> Result<TeamOutcome, RunError> {
        let messages = self.router.start(inputs)?;
        // Nobody receives yet, so there is nobody to wait for, either.
        self.orchestrator.send_all(messages).await?;
        self.resume().await
    }

    /// Brings the flow that began with these inputs to where an earlier process left it, as the
    /// orchestrator's journal says, and sends what that process could not; [`resume`](Self::resume)
    /// then goes on. A message that was settled is not handled again, and the answer is that of a run
    /// that was never interrupted. A dead letter that was sent again is open again: what the flow made
    /// of its absence is made anew.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave some of it sent. Call it again.
    ///
    /// # Errors
    ///
    /// [`RunError::Past`] without a journal, or if it was pruned; [`RunError::Flow`] if the flow cannot
    /// have begun with these inputs.
    pub async fn take_up(&self, inputs: Vec<Content>) -> Result<(), RunError> {
        let past = self.orchestrator.past().await?;
        let messages = self.router.take_up(inputs, past)?;
        self.orchestrator.send_all(messages).await?;
        Ok(())
    }

    /// Goes on where the last run was stopped.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`RunError::Start`].
    pub async fn resume(&self) -> Result<TeamOutcome, RunError> {
        let stop_reason = self.orchestrator.start().await?;
        Ok(TeamOutcome { stop_reason, answer: self.router.answer_so_far() })
    }

    /// The orchestrator: to stop it, to read its metrics, to answer what agents ask.
    #[must_use]
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    /// The agents' ids by name.
    #[must_use]
    pub fn agents(&self) -> &BTreeMap<AgentName, AgentId> {
        self.router.agents()
    }

    /// Messages of the flow that have ended, and those that were sent and have not; stale by the
    /// time they are read.
    #[must_use]
    pub fn progress(&self) -> (u64, usize) {
        self.router.progress()
    }
}
