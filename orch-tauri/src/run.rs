//! One orchestrator as a page sees it: agents, bus, events, and whether a run is under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orch_runtime::{
    AgentConfig, AgentId, AgentMetadata, AgentRegistry, ConnectError, Connectors, Content,
    LoopGuard, MessageBus, Orchestrator, SpawnError, StopReason,
};
use orch_team::{Team, TeamOutcome, TeamRun};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::answer::{
    RegisterAgentResponse, Snapshot, StartOrchestratorResponse, StopOrchestratorResponse,
    TeamAnswer,
};
use crate::error::{Error, ErrorCode};
use crate::event_log::EventLog;

/// One orchestrator with its registry and bus, and the log of their events.
#[derive(Debug)]
pub(crate) struct Run {
    registry: Arc<AgentRegistry>,
    bus: Arc<MessageBus>,
    connectors: Connectors,
    pub(crate) events: Arc<EventLog>,
    /// The settings of agents as a page gave them. Nobody is shown others: they may be the host's
    /// secrets.
    shown: Mutex<HashMap<AgentId, Map<String, Value>>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    driver: Driver,
    is_created: bool,
    /// Tells a start that is under way to end before its run has begun.
    starting: Option<Arc<Notify>>,
    stop_reason: Option<StopReason>,
}

/// What runs.
#[derive(Clone, Debug)]
enum Driver {
    Plain(Arc<Orchestrator>),
    Team(Arc<OpenTeam>),
}

/// A team that the host opened. Its flow runs once, so a further start makes it again.
#[derive(Debug)]
struct OpenTeam {
    team: Team,
    run: TeamRun,
    was_started: Mutex<bool>,
}

impl Run {
    pub(crate) fn new(connectors: Connectors) -> Self {
        let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
        let events = EventLog::new();
        registry.events().add(events.clone());
        bus.events().add(events.clone());
        let orchestrator =
            Orchestrator::new(registry.clone(), bus.clone()).with_connectors(connectors.clone());
        let state = State {
            driver: Driver::Plain(Arc::new(orchestrator)),
            is_created: false,
            starting: None,
            stop_reason: None,
        };
        let (shown, state) = (Mutex::default(), Mutex::new(state));
        Self { registry, bus, connectors, events, shown, state }
    }

    /// A run of a team, whose agents are made.
    pub(crate) async fn of_team(connectors: Connectors, team: Team) -> Result<Self, Error> {
        let run = Self::new(connectors);
        let open = run.build(team).await?;
        let mut state = run.lock();
        state.driver = Driver::Team(open);
        state.is_created = true;
        drop(state);
        Ok(run)
    }

    async fn build(&self, team: Team) -> Result<Arc<OpenTeam>, Error> {
        let run = team.build_on(self.orchestrator()).await?;
        Ok(Arc::new(OpenTeam { team, run, was_started: Mutex::new(false) }))
    }

    fn orchestrator(&self) -> Orchestrator {
        Orchestrator::new(self.registry.clone(), self.bus.clone())
            .with_connectors(self.connectors.clone())
    }

    pub(crate) fn bus(&self) -> &MessageBus {
        &self.bus
    }

    /// Registers an agent with its mailbox. What is wrong in the request is an error; what this
    /// machine lacks is told, and stays so until a run needs it.
    pub(crate) async fn register(
        &self,
        config: AgentConfig,
        shown: Map<String, Value>,
    ) -> Result<RegisterAgentResponse, Error> {
        let spawned = self.driver().orchestrator().spawn(config.clone()).await;
        let (agent_id, cannot_run) = match spawned {
            Ok(agent_id) => (agent_id, None),
            Err(SpawnError::CannotRun(
                error @ (ConnectError::UnknownConnector { .. }
                | ConnectError::MissingProgram { .. }),
            )) => {
                let agent_id = self.registry.register(config).await;
                self.bus.create_mailbox(agent_id).await;
                (agent_id, Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        lock(&self.shown).insert(agent_id, shown);
        Ok(RegisterAgentResponse { agent_id, cannot_run })
    }

    pub(crate) async fn unregister(&self, agent: AgentId) -> Result<(), Error> {
        let retired = self.driver().orchestrator().retire(agent).await;
        retired.map_err(|_| Error::unknown_agent(agent))?;
        lock(&self.shown).remove(&agent);
        Ok(())
    }

    pub(crate) async fn agents(&self) -> Vec<AgentMetadata> {
        let agents = self.registry.list().await;
        agents.into_iter().map(|agent| self.as_shown(agent)).collect()
    }

    pub(crate) async fn agent(&self, agent: AgentId) -> Result<AgentMetadata, Error> {
        let metadata = self.registry.get(agent).await;
        metadata.map(|it| self.as_shown(it)).ok_or_else(|| Error::unknown_agent(agent))
    }

    fn as_shown(&self, mut agent: AgentMetadata) -> AgentMetadata {
        agent.config.settings = lock(&self.shown).get(&agent.id).cloned().unwrap_or_default();
        agent
    }

    /// Makes the orchestrator anew: with these guards, and with figures that begin at zero. Agents
    /// and what waits in their mailboxes stay.
    pub(crate) fn create(&self, guard: LoopGuard) -> Result<(), Error> {
        let orchestrator = Arc::new(self.orchestrator().with_loop_guard(guard));
        let mut state = self.lock();
        if state.is_busy() {
            return Err(Error::already_running());
        }
        if matches!(state.driver, Driver::Team(_)) {
            let message = "the host opened a team under this run_id, whose file has the guards";
            return Err(Error::invalid(message).with_hint("use another run_id"));
        }
        state.driver = Driver::Plain(orchestrator);
        (state.is_created, state.stop_reason) = (true, None);
        Ok(())
    }

    /// Runs to the end. Dropping the future is a stop without grace.
    pub(crate) async fn start(
        &self,
        inputs: Option<Vec<String>>,
    ) -> Result<StartOrchestratorResponse, Error> {
        let (driver, starting) = self.begin()?;
        let _ended = Ended(self);
        let ended = tokio::select! {
            biased; // The end of a run before a stop that comes too late.
            ended = self.drive(driver, inputs) => ended?,
            () = starting.notified() => StartOrchestratorResponse {
                stop_reason: StopReason::ManualStop,
                answer: None,
            },
        };
        self.lock().stop_reason = Some(ended.stop_reason.clone());
        Ok(ended)
    }

    fn begin(&self) -> Result<(Driver, Arc<Notify>), Error> {
        let mut state = self.lock();
        if !state.is_created {
            return Err(Error::new(ErrorCode::NotCreated, "there is no orchestrator to start")
                .with_hint("call create_orchestrator first"));
        }
        if state.is_busy() {
            return Err(Error::already_running());
        }
        let starting = Arc::new(Notify::new());
        state.starting = Some(starting.clone());
        state.stop_reason = None;
        Ok((state.driver.clone(), starting))
    }

    async fn drive(
        &self,
        driver: Driver,
        inputs: Option<Vec<String>>,
    ) -> Result<StartOrchestratorResponse, Error> {
        match (driver, inputs) {
            (Driver::Plain(orchestrator), None) => {
                let stop_reason = orchestrator.start().await?;
                Ok(StartOrchestratorResponse { stop_reason, answer: None })
            }
            (Driver::Plain(_), Some(_)) => {
                Err(Error::invalid("`inputs` are for a team that the host opened")
                    .with_hint("send messages with send_message instead"))
            }
            (Driver::Team(open), inputs) => self.drive_team(open, inputs).await,
        }
    }

    async fn drive_team(
        &self,
        open: Arc<OpenTeam>,
        inputs: Option<Vec<String>>,
    ) -> Result<StartOrchestratorResponse, Error> {
        let was_started = *lock(&open.was_started);
        let outcome = match inputs {
            None if was_started => open.run.resume().await?,
            inputs if was_started => self.again(&open).await?.flow(inputs).await?,
            inputs => open.flow(inputs).await?,
        };
        let answer = outcome.answer;
        let answer = TeamAnswer {
            content: answer.content.as_str().to_owned(),
            partial: answer.partial,
            problems: answer.problems.iter().map(ToString::to_string).collect(),
        };
        Ok(StartOrchestratorResponse { stop_reason: outcome.stop_reason, answer: Some(answer) })
    }

    /// The same team with new agents, whose flow has not begun.
    async fn again(&self, open: &OpenTeam) -> Result<Arc<OpenTeam>, Error> {
        for agent in open.run.agents().values() {
            // One that is gone already need not go.
            let _ = open.run.orchestrator().retire(*agent).await;
        }
        let open = self.build(open.team.clone()).await?;
        self.lock().driver = Driver::Team(open.clone());
        Ok(open)
    }

    /// Stops what runs; also a start whose run has not begun yet.
    pub(crate) async fn stop(&self) -> StopOrchestratorResponse {
        let (driver, starting) = {
            let state = self.lock();
            (state.driver.clone(), state.starting.clone())
        };
        if let Some(report) = driver.orchestrator().stop().await {
            let (stop_reason, still_running) = (Some(report.reason), report.still_running);
            return StopOrchestratorResponse { stop_reason, still_running };
        }
        let Some(starting) = starting else { return StopOrchestratorResponse::default() };
        starting.notify_one();
        let stop_reason = Some(StopReason::ManualStop);
        StopOrchestratorResponse { stop_reason, still_running: Vec::new() }
    }

    /// How things stand, at the newest event or a little later.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let number = self.events.newest();
        let (driver, is_created, is_running, stop_reason) = {
            let state = self.lock();
            let stop_reason = state.stop_reason.clone();
            (state.driver.clone(), state.is_created, state.is_busy(), stop_reason)
        };
        let metrics = driver.orchestrator().metrics().await;
        let agents = self.agents().await;
        Snapshot { number, is_created, is_running, stop_reason, agents, metrics }
    }

    pub(crate) async fn metrics(&self) -> orch_runtime::OrchestratorMetrics {
        self.driver().orchestrator().metrics().await
    }

    fn driver(&self) -> Driver {
        self.lock().driver.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Driver {
    fn orchestrator(&self) -> &Orchestrator {
        match self {
            Self::Plain(orchestrator) => orchestrator,
            Self::Team(open) => open.run.orchestrator(),
        }
    }
}

impl OpenTeam {
    async fn flow(&self, inputs: Option<Vec<String>>) -> Result<TeamOutcome, Error> {
        let inputs = inputs.unwrap_or_default().into_iter().map(Content::from).collect();
        let outcome = self.run.run(inputs).await;
        // A flow that did not start for its inputs can be started with others.
        *lock(&self.was_started) = !matches!(outcome, Err(orch_team::RunError::Flow(_)));
        Ok(outcome?)
    }
}

impl State {
    fn is_busy(&self) -> bool {
        self.starting.is_some()
    }
}

/// Dropped when a start has ended, also if its future was dropped.
struct Ended<'a>(&'a Run);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().starting = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
