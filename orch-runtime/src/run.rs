//! One run, from its start to its end: the driver that owns clocks, timers and tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orch_bus::{Announce, Attachment, Delivery, Mailbox};
use orch_connect::{ConnectError, DynConnector};
use orch_core::{AgentId, AgentStatus, EventKind, Severity, StopReason, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent_state::Agent;
use crate::attempt;
use crate::clock::Clock;
use crate::durable::{Continued, Durable};
use crate::guards::Guards;
use crate::options::Options;
use crate::orchestrator::Inner;
use crate::permission;
use crate::pool::Pool;
use crate::registry::Entry;
use crate::scheduler::{Core, Met, Phase};
use crate::table::Table;
use crate::turn::text_of;
use crate::worker::{self, Done, Job, Work};

/// The values of [`Run::stage`]: messages are handed out; none any more; nothing is in flight.
pub(crate) const RUNNING: u8 = 0;
pub(crate) const STOPPING: u8 = 1;
pub(crate) const ENDED: u8 = 2;

/// What drives an agent, or why it cannot run.
type CanRun = Result<Arc<dyn DynConnector>, ConnectError>;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Why it ended; what `start` answers.
    pub reason: StopReason,
    /// Agents whose handlers had not returned when the wait for them was over. They keep their
    /// messages, and the next `start` is `StillRunning` until they return.
    pub still_running: Vec<AgentId>,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) inner: Arc<Inner>,
    /// The journal; `None` in memory. Asked once for each attempt.
    pub(crate) durable: Option<Arc<Durable>>,
    /// What it goes on with, if the run before was cut off.
    pub(crate) continued: Option<Arc<Continued>>,
    pub(crate) options: Arc<Options>,
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) clock: Clock,
    /// Tells this run's slots in mailboxes from those of others.
    pub(crate) tag: u32,
    pub(crate) guards: Guards,
    pub(crate) pool: Arc<Pool>,
    /// The agents that had something to do.
    pub(crate) agents: Table<Arc<Agent>>,
    met: Mutex<Met>,
    /// Whether it waits for messages when there are none.
    pub(crate) serves: bool,
    core: Mutex<Core>,
    /// What the core's phase means for workers, who look at it for each message.
    pub(crate) stage: AtomicU8,
    /// Whether a message was above the limit of iterations.
    pub(crate) is_capped: AtomicBool,
    /// Tells the driver that a timer or the phase changed.
    pub(crate) signal: Notify,
    /// Cancelled when the run begins to stop.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when handlers in flight are to be cut off, by [`cut_all`](Self::cut_all).
    pub(crate) cut: CancellationToken,
    /// Whether it is: the token takes a lock to answer that, and is asked for each message.
    is_cut: AtomicBool,
    /// Workers and attempts.
    pub(crate) tasks: TaskTracker,
    report: watch::Sender<Option<StopReport>>,
    /// Whether the future of its `start` is gone.
    is_let_go: AtomicBool,
    /// Activations that have become tasks.
    n_away: AtomicUsize,
    highest_round: AtomicU64,
}

impl Run {
    pub(crate) fn new(
        inner: Arc<Inner>,
        options: Arc<Options>,
        number: u64,
        attachment: Attachment,
        serves: bool,
    ) -> Self {
        static TAGS: AtomicU32 = AtomicU32::new(1);
        let mut guards = Guards::new(options.guard, number);
        let pool = Arc::new(Pool::new(attachment, n_workers(), options.max_concurrency));
        let durable = inner.durable.get().cloned();
        let continued = durable.as_ref().and_then(|durable| durable.continued());
        if let Some(continued) = &continued {
            guards = guards.going_on_since(continued.since);
        }
        let iterations = continued.as_ref().map_or(0, |it| it.iterations);
        Self {
            inner,
            durable,
            continued,
            options,
            number,
            clock: Clock::start(),
            tag: TAGS.fetch_add(1, Ordering::Relaxed).max(1),
            guards,
            pool,
            agents: Table::default(),
            met: Mutex::default(),
            serves,
            core: Mutex::new(Core::new()),
            stage: AtomicU8::new(RUNNING),
            is_capped: AtomicBool::new(false),
            signal: Notify::new(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            is_cut: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            report: watch::Sender::new(None),
            is_let_go: AtomicBool::new(false),
            n_away: AtomicUsize::new(0),
            highest_round: AtomicU64::new(iterations),
        }
    }

    /// Handlers that run or wait.
    pub(crate) fn in_flight(&self) -> usize {
        self.n_away() + self.pool.n_busy()
    }

    pub(crate) fn n_away(&self) -> usize {
        self.n_away.load(Ordering::Acquire)
    }

    /// The highest round of hand-outs so far.
    pub(crate) fn highest_round(&self) -> u64 {
        self.highest_round.load(Ordering::Relaxed)
    }

    pub(crate) fn count_round(&self, round: u64) {
        // Most hand-outs are no higher than one before, and only look.
        if round > self.highest_round() {
            self.highest_round.fetch_max(round, Ordering::Relaxed);
        }
    }

    /// Notes that nobody waits for the answer of `start` any more.
    pub(crate) fn let_go(&self) {
        self.is_let_go.store(true, Ordering::Release);
    }

    /// Whether somebody waits for the answer of `start`, or it goes on.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.is_let_go.load(Ordering::Acquire)
    }

    /// How it ended, once everything of it is put away.
    pub(crate) fn report(&self) -> Option<StopReport> {
        self.report.borrow().clone()
    }

    /// Whether everything of it is put away.
    pub(crate) fn is_finished(&self) -> bool {
        self.report.borrow().is_some()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What drives an agent, or why it cannot run; asked once in a run. A panic of the check is such
    /// a reason.
    pub(crate) fn connector_of<'a>(&self, agent: &'a Agent) -> &'a CanRun {
        let check = || {
            let Entry { id, config, .. } = &*agent.entry;
            let connector = self.options.connectors.get(&config.connector_type)?;
            connector.check(config)?;
            permission::keep_policies(&self.inner, *id, config)?;
            Ok(connector)
        };
        agent.connector(|| {
            catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
                let error = format!("its check panicked: {}", text_of(panic));
                Err(ConnectError::OpenFailed { error, transient: false })
            })
        })
    }

    pub(crate) fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off what is in flight, and ends the run.
    pub(crate) fn cut_off(&self, reason: StopReason) {
        self.stop_for(reason);
        self.cut_all();
    }

    /// Cuts off what is in flight.
    pub(crate) fn cut_all(&self) {
        // Release: whoever sees it sees why. Before the token, which wakes those who ask this next.
        self.is_cut.store(true, Ordering::Release);
        self.cut.cancel();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Returns when the run has ended and everything of it is put away.
    pub(crate) async fn finished(&self) -> StopReport {
        let mut report = self.report.subscribe();
        let report = report.wait_for(Option::is_some).await;
        let report = report.ok().and_then(|report| report.clone());
        report.unwrap_or(StopReport { reason: StopReason::ManualStop, still_running: Vec::new() })
    }

    /// Runs until nothing is left to do, or somebody or a guard stops it; then puts everything away.
    pub(crate) async fn drive(self: Arc<Self>, unless_it_ends: Cleanup) {
        let started = Severity::Info;
        self.inner.bus.events().emit(started, || EventKind::RunStarted { run: self.number });
        for index in 0..self.pool.n_workers() {
            self.tasks.spawn(worker::work(self.clone(), index));
        }
        let reason = self.until_ended().await;
        let report = self.put_away(reason.clone()).await;
        if let Some(durable) = &self.durable {
            durable.end_run(self.number, &reason).await;
        }
        self.inner.metrics.iterations.raise_to(self.highest_round());
        self.inner
            .bus
            .events()
            .emit(Severity::Info, || EventKind::Stopped { run: self.number, reason });
        self.pool.attachment.detach();
        self.report.send_replace(Some(report));
        drop(unless_it_ends);
    }

    async fn until_ended(&self) -> StopReason {
        let limit = self.options.guard.max_execution_time_ms;
        let deadline = match limit {
            u64::MAX => None,
            millis => self.clock.after_start(Duration::from_millis(millis)),
        };
        let mut drains_since = None;
        loop {
            let (phase, timer) = {
                let core = self.lock();
                (core.phase.clone(), core.next_timer())
            };
            let grace_ends = match &phase {
                Phase::Ended(reason) => return reason.clone(),
                Phase::Running => None,
                Phase::Draining(_) if self.is_cut() => return self.after_cut().await,
                Phase::Draining(_) => {
                    let since = *drains_since.get_or_insert_with(Instant::now);
                    since.checked_add(self.options.stop.grace)
                }
            };
            let timer = timer.and_then(|at| self.clock.instant(at));
            tokio::select! {
                biased; // What was asked for before what time brings.
                () = self.signal.notified() => {}
                () = self.cut.cancelled() => self.stop_for(StopReason::ManualStop),
                () = at(deadline) => {
                    self.time_guard_tripped();
                    self.cut_off(StopReason::MaxExecutionTime);
                }
                () = at(grace_ends) => self.cut_all(),
                () = at(timer), if grace_ends.is_none() => self.fire_timers(),
            }
        }
    }

    /// Waits for handlers that were cut off, and ends the run without those that do not return.
    async fn after_cut(&self) -> StopReason {
        let all_ended = async {
            loop {
                if let Phase::Ended(reason) = &self.lock().phase {
                    return reason.clone();
                }
                self.signal.notified().await;
            }
        };
        if let Ok(reason) = timeout(self.options.stop.cut, all_ended).await {
            return reason;
        }
        let mut core = self.lock();
        let reason = match &core.phase {
            Phase::Draining(reason) | Phase::Ended(reason) => reason.clone(),
            Phase::Running => StopReason::ManualStop,
        };
        self.end(&mut core, reason.clone());
        reason
    }

    /// Puts back what waits between attempts, closes sessions, and leaves every mailbox as the next
    /// scheduler expects it.
    async fn put_away(&self, reason: StopReason) -> StopReport {
        self.cut_all();
        self.tasks.close();
        let agents: Vec<_> = self.agents.iter().cloned().collect();
        let (deliveries, mailboxes) = self.clear();
        let still_running = self.busy_agents();
        deliveries.into_iter().for_each(Delivery::put_back);
        self.close_sessions(&agents).await;
        for agent in &agents {
            if !still_running.contains(&agent.entry.id) {
                self.set_status(&agent.entry, &AgentStatus::Idle);
            }
        }
        announce_again(mailboxes);
        if still_running.is_empty() {
            // Workers return as soon as they see the end; a handler polled in place is none of them.
            let _ = timeout(self.options.stop.cut, self.tasks.wait()).await;
        } else {
            tracing::error!(target: "orch", ?still_running, "handlers have not returned after the grace");
        }
        StopReport { reason, still_running }
    }

    async fn close_sessions(&self, agents: &[Arc<Agent>]) {
        let closing = TaskTracker::new();
        for session in agents.iter().flat_map(|agent| std::mem::take(&mut agent.lock().sessions)) {
            closing.spawn(session.close());
        }
        closing.close();
        if timeout(self.options.stop.cut, closing.wait()).await.is_err() {
            tracing::error!(target: "orch", n_sessions = closing.len(), "sessions have not closed in time");
        }
    }

    /// The agents whose handlers have not returned.
    pub(crate) fn stragglers(&self) -> Vec<AgentId> {
        self.busy_agents()
    }

    /// Changes an agent's status, and tells so. A failed agent stays failed until the next start.
    pub(crate) fn set_status(&self, entry: &Entry, status: &AgentStatus) {
        if entry.status().is_failed() {
            return;
        }
        self.inner.set_status(entry, status);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Puts a run away whose driver is dropped half-way or before it was ever polled, as the end of a
/// tokio runtime drops it, or panics. Without this its bus would be taken for ever.
pub(crate) struct Cleanup(pub(crate) Arc<Run>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Self(run) = &*self;
        if run.is_finished() {
            return;
        }
        run.cut_all();
        run.tasks.close();
        run.end(&mut run.lock(), StopReason::ManualStop);
        let (deliveries, mailboxes) = run.clear();
        let still_running = run.busy_agents();
        deliveries.into_iter().for_each(Delivery::put_back);
        announce_again(mailboxes);
        run.pool.attachment.detach();
        let reason = StopReason::ManualStop;
        if let Some(durable) = &run.durable {
            durable.tell_end(run.number, reason.clone());
        }
        run.report.send_replace(Some(StopReport { reason, still_running }));
    }
}

/// Leaves mailboxes as the next scheduler expects them, whoever has claimed them: nobody schedules here
/// any more.
pub(crate) fn announce_again(mailboxes: Vec<Arc<Mailbox>>) {
    for mailbox in mailboxes {
        mailbox.announce(Announce::Every);
        mailbox.announce_if_waiting();
    }
}

impl Work for Run {
    type Keep = attempt::Keep;

    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn activate(
        self: &Arc<Self>,
        job: Job,
        keep: &mut Self::Keep,
    ) -> impl Future<Output = Done> + Send {
        attempt::activate(self, job, keep)
    }

    fn goes_away(&self) {
        self.n_away.fetch_add(1, Ordering::AcqRel);
    }

    fn came_back(&self) {
        if self.n_away.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.rests();
        }
    }

    fn rests(&self) {
        self.end_at_rest(&mut self.lock());
    }

    fn has_ended(&self) -> bool {
        Self::has_ended(self)
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// One for each thread of the runtime: a worker runs handlers in place, so more would only wait.
pub(crate) fn n_workers() -> usize {
    tokio::runtime::Handle::current().metrics().num_workers().max(1)
}
