//! The orchestrator as its users see it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use orch_bus::{MessageBus, QuestionFailure, ResendError, SendError};
use orch_connect::{Connector, Connectors};
use orch_core::{
    AgentConfig, AgentId, AgentMessage, AgentStatus, ApprovalId, DeadLetter, EventKind, LoopGuard,
    MessageId, Observer, OrchestratorMetrics, Severity, StopReason,
};
use orch_journal::{ContentHash, Journal, Record};
use orch_policy::{PolicyEngine, RestartIntensity, RetryPolicy};
use tokio::task::JoinHandle;

use crate::durable::{self, Durable, Past, PastError, RecoverError};
use crate::error::{RetireError, SpawnError, StartError};
use crate::family;
use crate::metrics::{Metrics, saturate};
use crate::options::{FailurePolicy, Options, SpawnLimits, StopLimits};
use crate::permission::{AnswerError, Approval, Approvals};
use crate::registry::{AgentRegistry, Entry};
use crate::router::Router;
use crate::run::{Run, StopReport};
use crate::start;

/// Dispatches the messages of one bus to the agents of one registry.
///
/// Choices are made with `with_…`; a run keeps those that held when it started.
pub struct Orchestrator {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) registry: Arc<AgentRegistry>,
    pub(crate) bus: Arc<MessageBus>,
    pub(crate) metrics: Metrics,
    pub(crate) approvals: Approvals,
    /// The journal; none in memory.
    pub(crate) durable: OnceLock<Arc<Durable>>,
    options: Mutex<Arc<Options>>,
    policy: Mutex<PolicyEngine>,
    spawning: Mutex<()>,
    runs: AtomicU64,
    random: AtomicU64,
    /// The run that is under way, or the last one; and its driver.
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    run: Option<Arc<Run>>,
    driver: Option<JoinHandle<()>>,
}

impl Orchestrator {
    /// An orchestrator with the default choices; it knows the built-in connectors.
    #[must_use]
    pub fn new(registry: Arc<AgentRegistry>, bus: Arc<MessageBus>) -> Self {
        // The bits of an id are random enough to spread retries.
        let seed = AgentId::new().as_uuid().as_u64_pair();
        let inner = Inner {
            registry,
            bus,
            metrics: Metrics::default(),
            approvals: Approvals::default(),
            durable: OnceLock::new(),
            options: Mutex::default(),
            policy: Mutex::default(),
            spawning: Mutex::default(),
            runs: AtomicU64::new(0),
            random: AtomicU64::new(seed.0 ^ seed.1),
            latest: Mutex::default(),
        };
        inner.count_letters_from_now();
        Self { inner: Arc::new(inner) }
    }

    /// Sets the three counts that stop a run.
    #[must_use]
    pub fn with_loop_guard(self, guard: LoopGuard) -> Self {
        self.choose(|options| options.guard = guard)
    }

    /// Replaces the connectors.
    #[must_use]
    pub fn with_connectors(self, connectors: Connectors) -> Self {
        self.choose(|options| options.connectors = connectors)
    }

    /// Adds a connector, or replaces the one of that name.
    #[must_use]
    pub fn with_connector(self, name: impl Into<String>, connector: impl Connector) -> Self {
        self.choose(|options| options.connectors.insert(name, connector))
    }

    /// Sets how many handlers run at once; 0 is taken as 1. Default 64.
    #[must_use]
    pub fn with_max_concurrency(self, handlers: usize) -> Self {
        self.choose(|options| options.max_concurrency = handlers.max(1))
    }

    /// Sets what a failed agent means for the run. By default the others go on.
    #[must_use]
    pub fn with_failure_policy(self, policy: FailurePolicy) -> Self {
        self.choose(|options| options.failure_policy = policy)
    }

    /// Sets the pauses between attempts.
    #[must_use]
    pub fn with_retry_policy(self, retry: RetryPolicy) -> Self {
        self.choose(|options| options.retry = retry)
    }

    /// Sets how often an agent is restarted before it fails. By default 3 times in 60 s.
    #[must_use]
    pub fn with_restart_intensity(self, intensity: RestartIntensity) -> Self {
        self.choose(|options| options.intensity = intensity)
    }

    /// Sets how long a stop waits.
    #[must_use]
    pub fn with_stop_limits(self, limits: StopLimits) -> Self {
        self.choose(|options| options.stop = limits)
    }

    /// Sets how far handlers may grow their team.
    #[must_use]
    pub fn with_spawn_limits(self, limits: SpawnLimits) -> Self {
        self.choose(|options| options.spawn = limits)
    }

    /// Sets who says where answers go that nobody asked for.
    #[must_use]
    pub fn with_router(self, router: Arc<dyn Router>) -> Self {
        self.choose(|options| options.router = Some(router))
    }

    /// Lets people decide about tool calls whose policy asks for it, each within `wait`; see
    /// [`approvals`](Self::approvals). Without this such calls are denied.
    #[must_use]
    pub fn with_approvals(self, wait: Duration) -> Self {
        self.choose(|options| options.approval_wait = Some(wait))
    }

    /// Makes the jitter of retries the same at each run with this seed; for tests.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.inner.random.store(seed, Ordering::Relaxed);
        self.choose(|options| options.seed = Some(seed))
    }

    /// Starts with what a policy engine has counted already.
    #[must_use]
    pub fn with_policy(self, engine: PolicyEngine) -> Self {
        *self.inner.policy() = engine;
        self
    }

    /// Makes it durable, and takes up what the journal says of an earlier process: agents under their
    /// ids, what waits in mailboxes, retries, dead letters, what was granted and used. Call it after
    /// the limits and policies were chosen, and before anything is sent.
    ///
    /// An agent of an earlier process that [`spawn`](Self::spawn) is asked for again, by its name, keeps
    /// its id and gets the new configuration. One that is not asked for has its recorded one.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future before it is ready leaves an orchestrator that is not to be
    /// used.
    ///
    /// # Errors
    ///
    /// [`RecoverError`].
    pub async fn with_journal(
        self,
        journal: impl Into<Arc<Journal>>,
    ) -> Result<Self, RecoverError> {
        Durable::recover(&self.inner, journal.into()).await?;
        Ok(self)
    }

    /// Notes the hash of the team's file with each run in the journal.
    #[must_use]
    pub fn with_team(self, team: ContentHash) -> Self {
        self.choose(|options| options.team = Some(team))
    }

    /// Tells `observer` every event of the registry, the bus and the runs.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        self.inner.registry.events().add(observer.clone());
        self.inner.bus.events().add(observer);
        self
    }

    fn choose(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = lock(&self.inner.options);
        change(Arc::make_mut(&mut options));
        drop(options);
        self
    }

    /// Runs until all messages are processed, a guard trips, or somebody stops it.
    ///
    /// What was left from the run before is handled first; failed agents get another chance. A
    /// message that a stop caught between two attempts is tried at once (whoever starts again wants
    /// to go on), but the attempts that failed still count.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a stop without grace: handlers in flight are cut off at their next
    /// await, their messages go back to their mailboxes, and the next `start` resumes. Nothing is
    /// lost.
    ///
    /// # Errors
    ///
    /// [`StartError`], before anything was handed out.
    pub async fn start(&self) -> Result<StopReason, StartError> {
        start::start(&self.inner, false).await
    }

    /// As [`start`](Self::start), but waits for messages when there are none, until somebody or a
    /// guard stops it.
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn serve(&self) -> Result<StopReason, StartError> {
        start::start(&self.inner, true).await
    }

    /// Stops the run: hands out nothing more, gives handlers in flight the grace, cuts off the
    /// rest, and puts their messages back. `None` if nothing runs.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the stop goes on when the future is dropped.
    pub async fn stop(&self) -> Option<StopReport> {
        let run = self.inner.running()?;
        run.stop_for(StopReason::ManualStop);
        Some(run.finished().await)
    }

    /// As [`stop`](Self::stop), without grace.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn stop_now(&self) -> Option<StopReport> {
        let run = self.inner.running()?;
        run.cut_off(StopReason::ManualStop);
        Some(run.finished().await)
    }

    /// How the last run ended; `None` while one is under way, or before the first.
    #[must_use]
    pub fn last_report(&self) -> Option<StopReport> {
        self.inner.former()?.report()
    }

    /// Whether a run is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inner.running().is_some()
    }

    /// Registers an agent and creates its mailbox, after checking that it can run.
    ///
    /// Waits only for a journal, if there is one.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; nothing of the agent is left.
    pub async fn spawn(&self, config: AgentConfig) -> Result<AgentId, SpawnError> {
        if let Some(durable) = self.inner.durable.get() {
            let options = self.inner.options();
            let (inner, of) = (self.inner.clone(), durable.clone());
            let making = async move {
                match of.take_unbound(&config.name) {
                    Some(agent) => family::bind_durably(&inner, &options, &of, agent, config).await,
                    None => {
                        let new = (AgentId::new(), None);
                        family::spawn_durably(&inner, &options, &of, config, new, None).await
                    }
                }
            };
            // What is recorded must be there, also if nobody waits for it any more.
            return durable.to_its_end(making).await.unwrap_or_else(|| Err(family::unmade()));
        }
        family::spawn(&self.inner, &self.inner.options(), config, None)
    }

    /// Unregisters an agent and its descendants and removes their mailboxes. What waits becomes
    /// dead letters; a message that is being handled is finished.
    ///
    /// # Errors
    ///
    /// [`RetireError::Unknown`].
    pub async fn retire(&self, agent: AgentId) -> Result<(), RetireError> {
        match self.inner.durable.get() {
            Some(durable) => durable.retire(&self.inner, agent, None).await,
            None => family::retire(&self.inner, agent),
        }
    }

    /// Sends a message through the bus.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready accepts nothing.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub async fn send(&self, message: AgentMessage) -> Result<MessageId, SendError> {
        self.inner.bus.send(message).await
    }

    /// Sends messages in their order, without waiting for room. With a journal they are accepted in sets
    /// of up to 1,000, each whole or not at all, and one that was accepted before is answered well.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it commits, some may be accepted.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the first message that was not accepted; those of the sets before it were.
    pub async fn send_all(&self, messages: Vec<AgentMessage>) -> Result<(), SendError> {
        durable::send_all(&self.inner, messages).await
    }

    /// What the journal says of all messages so far, in its order: for a router that goes on where an
    /// earlier process ended. Reads every event.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// [`PastError`], also if some of it was pruned.
    pub async fn past(&self) -> Result<Vec<Past>, PastError> {
        self.inner.durable.get().ok_or(PastError::NoJournal)?.past().await
    }

    /// What was done since this orchestrator was made, or `reset_metrics`. Stops nobody.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn metrics(&self) -> OrchestratorMetrics {
        self.inner.snapshot()
    }

    /// Sets all figures that count to zero.
    pub fn reset_metrics(&self) {
        self.inner.metrics.reset();
        self.inner.count_letters_from_now();
        self.inner.registry.entries().iter().for_each(|entry| entry.reset_figures());
    }

    /// The dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.inner.bus.dead_letters().list()
    }

    /// Sends a dead letter's message again, with all its attempts and without its deadline. With a
    /// journal, it gets back the steps that it took: see [`resend_afresh`](Self::resend_afresh).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready keeps the letter.
    ///
    /// # Errors
    ///
    /// [`ResendError`]; the letter is kept.
    pub async fn resend(&self, message: MessageId) -> Result<(), ResendError> {
        self.inner.bus.resend(message).await
    }

    /// Drops a dead letter on purpose, and hands it over; `None` if there is none of this message.
    pub fn drop_dead_letter(&self, message: MessageId) -> Option<DeadLetter> {
        let letter = self.inner.bus.dead_letters().take(message)?;
        if let Some(durable) = self.inner.durable.get() {
            let agent = letter.message.to();
            durable.tell(vec![Record::LetterDropped {
                agent,
                message,
                letter: None,
                sent_as: None,
            }]);
        }
        Some(letter)
    }

    /// The tool calls that wait for a person.
    #[must_use]
    pub fn approvals(&self) -> Vec<Approval> {
        self.inner.approvals.list()
    }

    /// Answers a tool call that waits for a person. The first answer wins; an allowed call is
    /// judged by the policy once more.
    ///
    /// # Errors
    ///
    /// [`AnswerError`] if it does not wait any more, or `call_hash` is not that of its call.
    pub fn answer_approval(
        &self,
        approval: ApprovalId,
        call_hash: &str,
        allow: bool,
    ) -> Result<(), AnswerError> {
        self.inner.approvals.answer(approval, call_hash, allow)
    }

    /// The agents.
    #[must_use]
    pub fn registry(&self) -> &Arc<AgentRegistry> {
        &self.inner.registry
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &Arc<MessageBus> {
        &self.inner.bus
    }
}

impl Drop for Orchestrator {
    /// Lets go of the last run, which keeps what this keeps. A driver that still puts it away goes on.
    fn drop(&mut self) {
        let _latest = std::mem::take(&mut *lock(&self.inner.latest));
    }
}

impl fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner")
    }
}

impl Inner {
    pub(crate) fn options(&self) -> Arc<Options> {
        lock(&self.options).clone()
    }

    pub(crate) fn policy(&self) -> MutexGuard<'_, PolicyEngine> {
        lock(&self.policy)
    }

    pub(crate) fn spawning(&self) -> MutexGuard<'_, ()> {
        lock(&self.spawning)
    }

    pub(crate) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Goes on counting runs where an earlier process ended.
    pub(crate) fn set_runs(&self, runs: u64) {
        self.runs.store(runs, Ordering::Relaxed);
    }

    /// SplitMix64: enough to spread retries, and the same for the same seed.
    pub(crate) fn random(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn set_run(&self, run: Arc<Run>) {
        // The former one is dropped after the lock, with the sessions that may be left in it.
        let _former = lock(&self.latest).run.replace(run);
    }

    pub(crate) fn set_driver(&self, driver: JoinHandle<()>) {
        lock(&self.latest).driver = Some(driver);
    }

    /// The run that is under way, or the last one.
    pub(crate) fn former(&self) -> Option<Arc<Run>> {
        lock(&self.latest).run.clone()
    }

    /// The run that is under way.
    pub(crate) fn running(&self) -> Option<Arc<Run>> {
        self.former().filter(|run| !run.is_finished())
    }

    /// Changes an agent's status, and tells so.
    pub(crate) fn set_status(&self, entry: &Entry, status: &AgentStatus) {
        if entry.set_status(status) {
            self.bus.events().emit(Severity::Debug, || EventKind::StatusChanged {
                agent: entry.id,
                status: status.clone(),
            });
        }
    }

    /// Keeps a dead letter, and tells whoever waits for an answer.
    pub(crate) fn keep_letter(&self, letter: DeadLetter) {
        let (agent, message) = (letter.message.to(), letter.message.id());
        let (reason, attempts) = (letter.reason.clone(), saturate(letter.attempts.len() as u64));
        let error = letter.attempts.last().map(|attempt| attempt.error.clone());
        let failure = QuestionFailure::DeadLettered(reason.to_string());
        // First: an observer that panics must not make it go.
        self.bus.dead_letters().add(letter);
        self.bus.events().emit(Severity::Error, || EventKind::DeadLettered {
            agent,
            message,
            reason,
            attempts,
            error,
        });
        self.bus.fail_question(message, failure);
    }

    /// Letters that the bus has made so far are not this orchestrator's. The bus counts, because it
    /// makes some by itself: of what a broadcast could not deliver, for one.
    pub(crate) fn count_letters_from_now(&self) {
        self.metrics.dead_letters_before.set(self.bus.dead_letters().total_made());
    }

    fn snapshot(&self) -> OrchestratorMetrics {
        let depth = self.bus.queue_depth();
        let entries = self.registry.entries();
        let mut metrics = OrchestratorMetrics::default();
        let running = self.running();
        let rounds = running.as_ref().map_or(0, |run| run.highest_round());
        metrics.total_iterations = saturate(self.metrics.iterations.get().max(rounds));
        let totals = self.metrics.totals();
        metrics.total_messages = totals.messages;
        metrics.messages_per_agent = per_agent(&entries, |entry| saturate(entry.messages.get()));
        metrics.retry_count = self.metrics.retries.get();
        metrics.error_count = self.metrics.errors.get();
        metrics.queue_depth = depth.total();
        metrics.queue_depth_by_priority = depth;
        metrics.in_flight = running.map_or(0, |run| run.in_flight());
        let letters = self.bus.dead_letters().total_made();
        let before = self.metrics.dead_letters_before.get();
        metrics.dead_letter_count = letters.saturating_sub(before);
        metrics.wait_time = totals.wait_time;
        metrics.handling_time = totals.handling_time;
        metrics.usage_per_agent = per_agent(&entries, |entry| entry.usage());
        metrics.usage = self.metrics.usage();
        metrics
    }
}

/// The figure of each agent for which it is not zero.
fn per_agent<T: Default + PartialEq>(
    entries: &[Arc<Entry>],
    figure: impl Fn(&Entry) -> T,
) -> HashMap<AgentId, T> {
    let figures = entries.iter().map(|entry| (entry.id, figure(entry)));
    figures.filter(|(_, figure)| *figure != T::default()).collect()
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
