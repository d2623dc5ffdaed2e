//! What a handler may ask for during one attempt: the runtime's side of the context.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use orch_bus::{AskError, QuestionFailure, SendError};
use orch_connect::{BoxFuture, Host, HostError, Idempotent, ToolBegun, ToolEnd};
use orch_core::{
    AgentConfig, AgentId, AgentMessage, AgentStatus, Cause, Content, Decision, EventKind,
    LimitReached, MessageId, MessagePriority, Origin, Resources, Severity, StepKey, Timestamp,
    ToolCall, Usage,
};
use orch_journal::Record;

use crate::agent_state::Agent;
use crate::attempt::tell_status;
use crate::durable::{Many, Stuck};
use crate::error::{RetireError, SpawnError};
use crate::run::Run;
use crate::scheduler::HandOut;
use crate::slot::SlotHolder;
use crate::{family, permission, resource_use};

#[derive(Debug)]
pub(crate) struct AttemptHost {
    pub(crate) run: Arc<Run>,
    /// Where its agent is in the run's table.
    agent: usize,
    cause: Cause,
    urgency: MessagePriority,
    round: u64,
    slot: Arc<SlotHolder>,
    usage: Mutex<Usage>,
    is_over: AtomicBool,
    /// Steps taken so far.
    steps: AtomicU32,
    /// What a person has to decide about them; only where there is a journal.
    stuck: Option<Stuck>,
}

impl AttemptHost {
    /// Of an attempt that holds its slot.
    pub(crate) fn new(run: Arc<Run>, agent: usize, out: &HandOut<'_>) -> Self {
        let slot = Arc::new(SlotHolder::new(run.pool.clone()));
        let stuck = run.durable.as_ref().map(|_| Stuck::default());
        Self {
            run,
            agent,
            cause: Cause::from(&*out.delivery),
            urgency: out.delivery.priority(),
            round: out.round,
            slot,
            usage: Mutex::default(),
            is_over: AtomicBool::new(false),
            steps: AtomicU32::new(0),
            stuck,
        }
    }

    /// Serves another attempt, of this or another agent. The former one's host was
    /// [as new](Self::is_as_new).
    pub(crate) fn renew(&mut self, agent: usize, out: &HandOut<'_>) {
        self.agent = agent;
        self.cause = Cause::from(&*out.delivery);
        self.urgency = out.delivery.priority();
        self.round = out.round;
        *self.usage.get_mut().unwrap_or_else(PoisonError::into_inner) = Usage::default();
        if let Some(stuck) = &mut self.stuck {
            *stuck = Stuck::default();
        }
        *self.steps.get_mut() = 0;
    }

    /// Whether the attempt has left nothing behind here. Asked by whoever alone has this host.
    pub(crate) fn is_as_new(&self) -> bool {
        self.slot.is_as_new()
    }

    /// Ends the turn: whoever kept the context gets nothing more from it.
    pub(crate) fn end_turn(&self) {
        self.is_over.store(true, Ordering::Release);
        self.slot.end_turn();
    }

    /// Whether the slot is held; it is the caller's from then on.
    pub(crate) fn take_slot(&self) -> bool {
        self.slot.take()
    }

    pub(crate) fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn agent(&self) -> &Arc<Agent> {
        self.run.agents.get(self.agent).expect("an agent of a run stays in its table")
    }

    /// The message that is handled.
    pub(crate) fn message(&self) -> MessageId {
        self.cause.message
    }

    /// The number of the next step, counted from 1.
    pub(crate) fn next_step(&self) -> u32 {
        // Relaxed: a handler that takes steps at the same time has no order to keep.
        self.steps.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Names the next step.
    pub(crate) fn next_step_key(&self) -> StepKey {
        StepKey { delivery: self.message(), n: self.next_step() }
    }

    /// What a person has to decide about the steps of this attempt.
    pub(crate) fn stuck(&self) -> Stuck {
        self.stuck.clone().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> AgentId {
        self.agent().entry.id
    }

    /// The message as it leaves: in this agent's name, a consequence of what is handled.
    pub(crate) fn sign(&self, message: AgentMessage) -> AgentMessage {
        let origin = Origin { run: self.run.number, round: self.round };
        message.signed(self.id(), self.cause, origin)
    }

    /// An agent retires itself and its descendants.
    pub(crate) fn may_retire(&self, agent: AgentId) -> Result<(), RetireError> {
        let caller = self.id();
        let is_ours = agent == caller || family::is_descendant(&self.run.inner, agent, caller);
        if is_ours { Ok(()) } else { Err(RetireError::NotADescendant { agent, caller }) }
    }

    fn check(&self) -> Result<(), HostError> {
        if self.is_over.load(Ordering::Acquire) { Err(HostError::Over) } else { Ok(()) }
    }

    /// Sends a message; waits for room without a slot, but not for room in the agent's own mailbox,
    /// which only this handler's end could make.
    async fn deliver(&self, message: AgentMessage) -> Result<MessageId, SendError> {
        let bus = &self.run.inner.bus;
        let to = message.to();
        if to != self.id() {
            // What need not wait is sent by its first poll.
            return self.waiting(bus.send(message)).await;
        }
        match bus.try_send(message) {
            Err(error) if self.is_full_itself(&error, to) => Err(error),
            Err(error) if error.is_transient() => {
                self.waiting(bus.send(error.into_message())).await
            }
            answer => answer,
        }
    }

    /// Whether a send was refused because this agent's own lane is full.
    fn is_full_itself(&self, error: &SendError, to: AgentId) -> bool {
        matches!(error, SendError::Full { .. }) && to == self.id()
    }

    /// Sends what the router said. After the turn nothing cuts this off from outside, so it looks
    /// out for the cut itself: a message that would have to wait then is refused.
    pub(crate) async fn send_routed(&self, message: AgentMessage) -> Result<(), SendError> {
        // The first poll of a send either delivers or begins to wait, and nothing is awaited after
        // it was delivered; a copy is what is left of a send that is dropped while it waits.
        let copy = message.clone();
        let from = message.from();
        let message = self.sign(message).sent_by(from);
        tokio::select! {
            biased; // What can be delivered is.
            sent = self.deliver(message) => sent.map(drop),
            () = self.run.cut.cancelled() => Err(SendError::Refused {
                message: Box::new(copy),
                reason: "the run stopped while the message waited for room".to_owned(),
            }),
        }
    }

    /// Waits without a slot, and takes one again at the message's urgency.
    pub(crate) async fn waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        // What is ready at once costs no slot.
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return output;
        }
        let mut waits = Waits::begin(self);
        let output = wait.await;
        waits.end();
        self.slot.seated().await;
        output
    }

    /// As [`waiting`](Self::waiting), but only as long as the turn; `None` once it is over. For waits
    /// without a bound of ours: code that blocks a thread is not dropped with its turn.
    pub(crate) async fn waiting_in_turn<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased; // An answer that is there is given.
            output = self.waiting(wait) => Some(output),
            () = self.slot.over() => None,
        }
    }

    async fn ask_agent(
        &self,
        question: AgentMessage,
        wait: Duration,
    ) -> Result<Content, HostError> {
        self.check()?;
        let to = question.to();
        if to == self.id() && self.agent().entry.config.concurrency <= 1 {
            return Err(not_answered("an agent that asks itself would wait for ever", false));
        }
        let mut question = self.sign(question);
        if question.deadline().is_none() {
            // The bus looks at the wall clock, and the hand-out at the run's, which a jump of the
            // wall clock leaves behind: the question is to be expired for neither before its time.
            let now = self.run.now().max(Timestamp::now());
            question = question.with_deadline(now.after(wait));
        }
        let mut exchange = pin!(async {
            match &self.run.durable {
                None => self.run.inner.bus.ask(question, wait).await,
                Some(durable) => Box::pin(self.ask_step(durable, question, wait)).await,
            }
        });
        // The first poll opens the question and sends it. Looked at after that, so that an agent
        // that failed before is seen here, and one that fails later fails the question.
        let first = poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx))).await;
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => match self.run.inner.registry.entry(to).map(|entry| entry.status()) {
                // It may have been answered in an earlier attempt, so it is failed, and then looked up.
                Some(AgentStatus::Failed { reason }) if self.run.durable.is_some() => {
                    let failure = QuestionFailure::AgentFailed { agent: to, error: reason };
                    self.run.inner.bus.fail_questions_to(to, &failure);
                    self.waiting_in_turn(exchange).await.ok_or(HostError::Over)?
                }
                Some(AgentStatus::Failed { reason }) => {
                    return Err(not_answered(format!("{to} has failed: {reason}"), false));
                }
                _ => self.waiting_in_turn(exchange).await.ok_or(HostError::Over)?,
            },
        };
        answer.map_err(|error| match error {
            AskError::NotAccepted(error) => not_accepted(error),
            AskError::TimedOut(_) => not_answered(error.to_string(), true),
            error => not_answered(error.to_string(), false),
        })
    }
}

pub(crate) fn not_spawned(error: SpawnError) -> HostError {
    match error {
        SpawnError::CannotRun(error) => HostError::CannotRun(error),
        error => HostError::NotAllowed { error: error.to_string() },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over")]
pub(crate) fn not_retired(error: RetireError) -> HostError {
    HostError::NotAllowed { error: error.to_string() }
}

pub(crate) fn not_accepted(error: SendError) -> HostError {
    let (text, transient) = (error.to_string(), error.is_transient());
    HostError::NotAccepted { error: text, transient, message: Box::new(error.into_message()) }
}

fn not_answered(error: impl Into<String>, transient: bool) -> HostError {
    HostError::NotAnswered { error: error.into(), transient }
}

/// One wait of a handler: the agent is `Waiting` from the first one's begin until the handler has a
/// slot again after the last one's end.
struct Waits<'a> {
    host: &'a AttemptHost,
    is_under_way: bool,
}

impl<'a> Waits<'a> {
    fn begin(host: &'a AttemptHost) -> Self {
        let entry = &host.agent().entry;
        if host.slot.begin_wait(|| entry.set_status(&AgentStatus::Waiting)) {
            tell_status(&host.run, entry, || AgentStatus::Waiting);
        }
        Self { host, is_under_way: true }
    }

    /// Ends the wait, and queues for the slot if it was the last one.
    fn end(&mut self) {
        let host = self.host;
        if std::mem::take(&mut self.is_under_way) && host.slot.end_wait() {
            host.run.pool.queue_for_slot(host.urgency, host.slot.clone());
        }
    }
}

impl Drop for Waits<'_> {
    /// A handler that drops a wait goes on without a slot until one is free.
    fn drop(&mut self) {
        self.end();
        let (run, entry) = (&self.host.run, &self.host.agent().entry);
        // Under the lock, so that it does not come after the end of the attempt.
        if self.host.slot.if_it_goes_on(|| entry.set_status(&AgentStatus::Processing)) {
            tell_status(run, entry, || AgentStatus::Processing);
        }
    }
}

impl Host for AttemptHost {
    fn agent(&self) -> AgentId {
        self.id()
    }

    fn send_priority(&self) -> MessagePriority {
        self.agent().entry.config.send_priority
    }

    fn find(&self, name: &str) -> Option<AgentId> {
        let registry = &self.run.inner.registry;
        let by_id = || name.parse().ok().filter(|id| registry.entry(*id).is_some());
        registry.find(name).or_else(by_id)
    }

    fn send(&self, message: AgentMessage) -> BoxFuture<'_, Result<MessageId, HostError>> {
        Box::pin(async move {
            self.check()?;
            match &self.run.durable {
                None => self.deliver(self.sign(message)).await.map_err(not_accepted),
                Some(durable) => self.send_step(durable, message).await,
            }
        })
    }

    fn send_now(
        &self,
        message: AgentMessage,
    ) -> Result<Result<MessageId, HostError>, AgentMessage> {
        if let Err(error) = self.check() {
            return Ok(Err(error));
        }
        if self.run.durable.is_some() {
            return Err(message);
        }
        let to = message.to();
        match self.run.inner.bus.try_send(self.sign(message)) {
            Ok(id) => Ok(Ok(id)),
            // Signed already; the same again changes nothing.
            Err(error) if error.is_transient() && !self.is_full_itself(&error, to) => {
                Err(error.into_message())
            }
            Err(error) => Ok(Err(not_accepted(error))),
        }
    }

    fn ask(
        &self,
        message: AgentMessage,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Content, HostError>> {
        Box::pin(self.ask_agent(message, timeout))
    }

    fn broadcast(&self, message: AgentMessage) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            if self.check().is_err() {
                return 0;
            }
            if let Some(durable) = &self.run.durable {
                return self.many_step(durable, Many::Everybody, message).await;
            }
            self.waiting(self.run.inner.bus.broadcast(self.sign(message))).await
        })
    }

    fn publish<'a>(&'a self, topic: &'a str, message: AgentMessage) -> BoxFuture<'a, usize> {
        Box::pin(async move {
            if self.check().is_err() {
                return 0;
            }
            if let Some(durable) = &self.run.durable {
                return self.many_step(durable, Many::Topic(topic), message).await;
            }
            self.waiting(self.run.inner.bus.publish(topic, self.sign(message))).await
        })
    }

    fn spawn(&self, config: AgentConfig) -> BoxFuture<'_, Result<AgentId, HostError>> {
        Box::pin(async move {
            self.check()?;
            if let Some(durable) = &self.run.durable {
                return self.spawn_step(durable, config).await;
            }
            let made = family::spawn(
                &self.run.inner,
                &self.run.options,
                config,
                Some(&self.agent().entry),
            );
            made.map_err(not_spawned)
        })
    }

    fn retire(&self, agent: AgentId) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move {
            self.check()?;
            if let Some(durable) = &self.run.durable {
                return self.retire_step(durable, agent).await;
            }
            let retired = match self.may_retire(agent) {
                Ok(()) => family::retire(&self.run.inner, agent),
                Err(error) => Err(error),
            };
            retired.map_err(not_retired)
        })
    }

    fn tool(&self, call: ToolCall) -> BoxFuture<'_, Decision> {
        Box::pin(async move {
            if self.check().is_err() {
                return Decision::deny("the run is over");
            }
            permission::decide(self, call).await
        })
    }

    fn begin_tool(
        &self,
        call: ToolCall,
        idempotent: Idempotent,
    ) -> BoxFuture<'_, Result<ToolBegun, HostError>> {
        Box::pin(async move {
            self.check()?;
            permission::begin(self, call, idempotent).await
        })
    }

    fn end_tool(&self, key: StepKey, end: ToolEnd) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move {
            self.check()?;
            match &self.run.durable {
                None => Ok(()),
                Some(durable) => self.end_tool_step(durable, key, end).await,
            }
        })
    }

    fn report_usage(&self, usage: Usage) {
        if self.check().is_err() {
            return;
        }
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) += usage;
        self.agent().entry.add_usage(usage);
        self.run.inner.metrics.add_usage(usage);
        let agent = self.id();
        if let Some(durable) = &self.run.durable {
            let chain = Some(self.cause.chain);
            durable.tell(vec![Record::Used { agent, chain, usage }]);
        }
        let reported = || EventKind::UsageReported { agent, usage };
        self.run.inner.bus.events().emit(Severity::Debug, reported);
    }

    fn report_resources(&self, attempt: u32, used: Resources, reached: Option<LimitReached>) {
        resource_use::tell(self, attempt, used, reached);
    }

    fn say(&self, text: &str) {
        if self.check().is_err() {
            return;
        }
        let agent = self.id();
        let said = || EventKind::Said { agent, text: text.to_owned() };
        self.run.inner.bus.events().emit(Severity::Debug, said);
    }

    fn is_stopping(&self) -> bool {
        self.run.stopping.is_cancelled()
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.run.stopping.cancelled())
    }
}
