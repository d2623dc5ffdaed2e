//! The commands as plain functions, which need no window: everything but the channel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orch_runtime::{
    AgentId, AgentMessage, AgentMetadata, DeadLetter, MessagePriority, OrchestratorMetrics,
};
use orch_team::Team;

use crate::answer::{
    BroadcastMessageResponse, RegisterAgentResponse, SendMessageResponse, Snapshot,
    StartOrchestratorResponse, StopOrchestratorResponse,
};
use crate::args::{
    AgentArgs, BroadcastMessageArgs, CreateOrchestratorArgs, RegisterAgentArgs,
    ResendDeadLetterArgs, RunArgs, SendMessageArgs, StartOrchestratorArgs,
};
use crate::error::{Error, ErrorCode};
use crate::event_log::EventReader;
use crate::host::Host;
use crate::run::Run;
use crate::subscriptions::Subscriptions;

/// The `run_id` of a command that names none.
pub const DEFAULT_RUN: &str = "default";

/// The most orchestrators that there may be.
const RUNS_MAX: usize = 256;

/// The most bytes that a `run_id` or an agent's name may have.
const NAME_BYTES_MAX: usize = 256;

/// The most bytes of JSON that an agent's settings may have.
const SETTINGS_BYTES_MAX: usize = 1 << 20;

/// The orchestrators of an app by their `run_id`, each with a registry and a bus of its own, and the
/// commands over them. Clones share them.
///
/// Every method that takes `…Args` is the command of that name; see the README for what they answer.
#[derive(Clone, Debug, Default)]
pub struct Orchestrators {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    host: Host,
    runs: Mutex<BTreeMap<String, Arc<Run>>>,
    subscriptions: Subscriptions,
}

impl Orchestrators {
    /// No orchestrators, and what this host allows.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { inner: Arc::new(Inner { host, ..Inner::default() }) }
    }

    /// Makes the agents of a team under `run_id`, for pages to start, watch and stop. Their settings
    /// are not shown to pages.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready opens nothing.
    ///
    /// # Errors
    ///
    /// If there is an orchestrator under this `run_id`, or an agent cannot run.
    pub async fn open_team(&self, run_id: &str, team: Team) -> Result<(), Error> {
        check_length("run_id", run_id)?;
        let run = Run::of_team(self.inner.host.connectors().clone(), team).await?;
        let mut runs = self.runs();
        if runs.contains_key(run_id) {
            return Err(Error::invalid(format!("there is an orchestrator `{run_id}` already")));
        }
        runs.insert(run_id.to_owned(), Arc::new(run));
        Ok(())
    }

    /// Registers an agent, with a mailbox.
    ///
    /// # Errors
    ///
    /// If the host does not allow it to pages, or its configuration is wrong.
    pub async fn register_agent(
        &self,
        args: RegisterAgentArgs,
    ) -> Result<RegisterAgentResponse, Error> {
        let config = args.request.config;
        check_length("request.config.name", &config.name)?;
        let shown = config.settings.clone();
        if SETTINGS_BYTES_MAX < serde_json::to_string(&shown).map_or(0, |json| json.len()) {
            let message = format!("the settings have more than {SETTINGS_BYTES_MAX} bytes");
            return Err(Error::invalid(message));
        }
        let config = self.inner.host.admit(config)?;
        self.run_or_new(args.run_id)?.register(config, shown).await
    }

    /// Unregisters an agent and removes its mailbox; what waits becomes dead letters.
    ///
    /// # Errors
    ///
    /// If it is not registered.
    pub async fn unregister_agent(&self, args: AgentArgs) -> Result<(), Error> {
        self.run(args.run_id)?.unregister(args.agent_id).await
    }

    /// The agents, in the order in which they were registered.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn list_agents(&self, args: RunArgs) -> Result<Vec<AgentMetadata>, Error> {
        Ok(self.run(args.run_id)?.agents().await)
    }

    /// What is known of an agent.
    ///
    /// # Errors
    ///
    /// If it is not registered.
    pub async fn get_agent_metadata(&self, args: AgentArgs) -> Result<AgentMetadata, Error> {
        self.run(args.run_id)?.agent(args.agent_id).await
    }

    /// Makes the orchestrator with these guards; once more to change them. Its figures begin at
    /// zero; agents and what waits for them stay.
    ///
    /// # Errors
    ///
    /// If a run is under way.
    pub async fn create_orchestrator(&self, args: CreateOrchestratorArgs) -> Result<(), Error> {
        self.run_or_new(args.run_id)?.create(args.request.guard())
    }

    /// Runs until all messages are handled, a guard trips, or somebody stops it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a stop without grace.
    ///
    /// # Errors
    ///
    /// If it was not created, runs already, or an agent with messages cannot run.
    pub async fn start_orchestrator(
        &self,
        args: StartOrchestratorArgs,
    ) -> Result<StartOrchestratorResponse, Error> {
        self.run(args.run_id)?.start(args.inputs).await
    }

    /// Stops the run, if there is one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the stop goes on when the future is dropped.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn stop_orchestrator(
        &self,
        args: RunArgs,
    ) -> Result<StopOrchestratorResponse, Error> {
        Ok(self.run(args.run_id)?.stop().await)
    }

    /// The figures since `create_orchestrator`.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn get_orchestrator_metrics(
        &self,
        args: RunArgs,
    ) -> Result<OrchestratorMetrics, Error> {
        Ok(self.run(args.run_id)?.metrics().await)
    }

    /// How many messages wait in all mailboxes.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn get_queue_depth(&self, args: RunArgs) -> Result<usize, Error> {
        Ok(self.run(args.run_id)?.bus().queue_depth().total())
    }

    /// Sends a message from outside to an agent. Waits for room in its mailbox, 30 s at most.
    ///
    /// # Errors
    ///
    /// If the agent is not registered, its mailbox is full, or the message is too large.
    pub async fn send_message(&self, args: SendMessageArgs) -> Result<SendMessageResponse, Error> {
        let run = self.run(args.run_id)?;
        let request = args.request;
        let mut message = message_to(request.to, request.content, request.priority);
        for (key, value) in request.metadata.unwrap_or_default() {
            message = message.with_metadata(key, value);
        }
        if let Some(deadline) = request.deadline {
            message = message.with_deadline(deadline);
        }
        Ok(SendMessageResponse { message_id: run.bus().send(message).await? })
    }

    /// Sends a message from outside to every agent.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn broadcast_message(
        &self,
        args: BroadcastMessageArgs,
    ) -> Result<BroadcastMessageResponse, Error> {
        let run = self.run(args.run_id)?;
        let request = args.request;
        let mut message = message_to(AgentId::OUTSIDE, request.content, request.priority);
        for (key, value) in request.metadata.unwrap_or_default() {
            message = message.with_metadata(key, value);
        }
        Ok(BroadcastMessageResponse { recipients: run.bus().broadcast(message).await })
    }

    /// The dead letters, oldest first.
    ///
    /// # Errors
    ///
    /// If there is no such orchestrator.
    pub async fn list_dead_letters(&self, args: RunArgs) -> Result<Vec<DeadLetter>, Error> {
        Ok(self.run(args.run_id)?.bus().dead_letters().list())
    }

    /// Sends a dead letter's message again.
    ///
    /// # Errors
    ///
    /// If there is no such letter, or its mailbox refuses it; the letter is kept then.
    pub async fn resend_dead_letter(&self, args: ResendDeadLetterArgs) -> Result<(), Error> {
        Ok(self.run(args.run_id)?.bus().resend(args.message_id).await?)
    }

    /// How things stand, and what happens from then on.
    pub(crate) async fn subscribe(
        &self,
        run_id: Option<String>,
        after: Option<u64>,
    ) -> Result<(Snapshot, EventReader), Error> {
        let run = self.run_or_new(run_id)?;
        let snapshot = run.snapshot().await;
        let after = after.unwrap_or(snapshot.number);
        let newest = run.events.newest();
        if newest < after {
            let message = format!("event {after} has not happened; the newest is {newest}");
            return Err(Error::invalid(message).with_hint("leave `after` out, or say 0 for all"));
        }
        Ok((snapshot, run.events.reader(after)))
    }

    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.inner.subscriptions
    }

    /// The orchestrator of that id. The default one is always there.
    fn run(&self, run_id: Option<String>) -> Result<Arc<Run>, Error> {
        let Some(run_id) = run_id.filter(|run_id| run_id != DEFAULT_RUN) else {
            return self.run_or_new(None);
        };
        self.runs().get(&run_id).cloned().ok_or_else(|| {
            Error::new(ErrorCode::UnknownRun, format!("there is no orchestrator `{run_id}`"))
                .with_hint("register_agent and create_orchestrator make it")
        })
    }

    fn run_or_new(&self, run_id: Option<String>) -> Result<Arc<Run>, Error> {
        let run_id = run_id.unwrap_or_else(|| DEFAULT_RUN.to_owned());
        check_length("run_id", &run_id)?;
        let mut runs = self.runs();
        if let Some(run) = runs.get(&run_id) {
            return Ok(run.clone());
        }
        if RUNS_MAX <= runs.len() {
            let message = format!("there are {RUNS_MAX} orchestrators, which is the limit");
            return Err(Error::new(ErrorCode::TooMany, message).with_hint("use one that is there"));
        }
        let run = Arc::new(Run::new(self.inner.host.connectors().clone()));
        runs.insert(run_id, run.clone());
        Ok(run)
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Run>>> {
        self.inner.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message_to(to: AgentId, content: String, priority: Option<MessagePriority>) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, content).with_priority(priority.unwrap_or_default())
}

fn check_length(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || NAME_BYTES_MAX < text.len() {
        let message = format!("`{what}` has {} bytes", text.len());
        return Err(Error::invalid(message).with_hint(format!("give it 1 to {NAME_BYTES_MAX}")));
    }
    Ok(())
}
