//! A host for tests of connectors: it records what a session asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orch_core::{
    AgentConfig, AgentId, AgentMessage, Content, Decision, LimitReached, MessageId,
    MessagePriority, ResourceLimits, Resources, StepKey, ToolCall, Usage,
};
use tokio::sync::watch;

use crate::{BoxFuture, Context, Host, HostError, Idempotent, ToolBegun, ToolEnd};

type Answer = dyn Fn(&AgentMessage) -> BoxFuture<'static, Result<Content, HostError>> + Send + Sync;
type Decide = dyn Fn(&ToolCall) -> Decision + Send + Sync;

/// Records what a session asks for, and answers as the test says.
///
/// As long as the test says nothing else, a question is not answered and a tool call is denied.
pub struct TestHost {
    agent: AgentId,
    names: BTreeMap<String, AgentId>,
    answer: Box<Answer>,
    decide: Box<Decide>,
    record: Mutex<Record>,
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Record {
    sent: Vec<AgentMessage>,
    asked: Vec<AgentMessage>,
    broadcast: Vec<Content>,
    published: Vec<(String, Content)>,
    tools: Vec<ToolCall>,
    /// The message of the last context.
    delivery: Option<MessageId>,
    begun: Vec<StepKey>,
    ended: Vec<(StepKey, ToolEnd)>,
    said: Vec<String>,
    used: Usage,
    reserved: Vec<ResourceLimits>,
    resources: Vec<(Resources, Option<LimitReached>)>,
}

impl TestHost {
    /// The host of a new agent that knows no other one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            agent: AgentId::new(),
            names: BTreeMap::new(),
            answer: Box::new(|_| Box::pin(std::future::ready(Err(nobody_answers())))),
            decide: Box::new(|_| Decision::deny("the test allows nothing")),
            record: Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Adds an agent that can be found by this name.
    #[must_use]
    pub fn with_agent(mut self, name: impl Into<String>) -> Self {
        self.names.insert(name.into(), AgentId::new());
        self
    }

    /// Sets how questions are answered.
    #[must_use]
    pub fn answering<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(&AgentMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Content, HostError>> + Send + 'static,
    {
        self.answer = Box::new(move |message| Box::pin(answer(message)));
        self
    }

    /// Sets how tool calls are decided.
    #[must_use]
    pub fn deciding(
        mut self,
        decide: impl Fn(&ToolCall) -> Decision + Send + Sync + 'static,
    ) -> Self {
        self.decide = Box::new(decide);
        self
    }

    /// A first attempt at a new message from outside.
    #[must_use]
    pub fn context(self: &Arc<Self>, content: impl Into<Content>) -> Context {
        self.context_of(AgentMessage::new(AgentId::OUTSIDE, self.agent, content), 1)
    }

    /// An attempt at a message of the test's own.
    #[must_use]
    pub fn context_of(self: &Arc<Self>, message: AgentMessage, attempt: u32) -> Context {
        self.record().delivery = Some(message.id());
        Context::new(Arc::clone(self) as Arc<dyn Host>, message, attempt)
    }

    /// The messages that were sent, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<AgentMessage> {
        self.record().sent.clone()
    }

    /// The questions that were asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<AgentMessage> {
        self.record().asked.clone()
    }

    /// What was broadcast, in order.
    #[must_use]
    pub fn broadcasts(&self) -> Vec<Content> {
        self.record().broadcast.clone()
    }

    /// What was published, each with its topic, in order.
    #[must_use]
    pub fn published(&self) -> Vec<(String, Content)> {
        self.record().published.clone()
    }

    /// The tool calls that were asked about, in order.
    #[must_use]
    pub fn tools(&self) -> Vec<ToolCall> {
        self.record().tools.clone()
    }

    /// The tool calls that ended, with how, in order.
    #[must_use]
    pub fn tools_ended(&self) -> Vec<(StepKey, ToolEnd)> {
        self.record().ended.clone()
    }

    /// What was said beside the answers, in order.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.record().said.clone()
    }

    /// What was reserved for processes, in order.
    #[must_use]
    pub fn reserved(&self) -> Vec<ResourceLimits> {
        self.record().reserved.clone()
    }

    /// What processes used, attempt by attempt, with the limits that stopped them.
    #[must_use]
    pub fn resources(&self) -> Vec<(Resources, Option<LimitReached>)> {
        self.record().resources.clone()
    }

    /// What was used in all.
    #[must_use]
    pub fn used(&self) -> Usage {
        self.record().used
    }

    /// Makes the run begin to stop.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nobody_answers() -> HostError {
    HostError::NotAnswered { error: "the test answers nothing".to_owned(), transient: false }
}

impl Host for TestHost {
    fn agent(&self) -> AgentId {
        self.agent
    }

    fn send_priority(&self) -> MessagePriority {
        MessagePriority::Normal
    }

    fn find(&self, name: &str) -> Option<AgentId> {
        let by_id = || {
            let id = name.parse().ok()?;
            self.names.values().copied().find(|known| *known == id)
        };
        self.names.get(name).copied().or_else(by_id)
    }

    fn send(&self, message: AgentMessage) -> BoxFuture<'_, Result<MessageId, HostError>> {
        let id = message.id();
        self.record().sent.push(message);
        Box::pin(std::future::ready(Ok(id)))
    }

    fn ask(
        &self,
        message: AgentMessage,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Content, HostError>> {
        let answer = (self.answer)(&message);
        self.record().asked.push(message);
        Box::pin(async move {
            tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
                Err(HostError::NotAnswered {
                    error: "the time went by".to_owned(),
                    transient: true,
                })
            })
        })
    }

    fn broadcast(&self, message: AgentMessage) -> BoxFuture<'_, usize> {
        self.record().broadcast.push(message.content().clone());
        Box::pin(std::future::ready(self.names.len()))
    }

    fn publish<'a>(&'a self, topic: &'a str, message: AgentMessage) -> BoxFuture<'a, usize> {
        self.record().published.push((topic.to_owned(), message.content().clone()));
        Box::pin(std::future::ready(self.names.len()))
    }

    fn spawn(&self, _config: AgentConfig) -> BoxFuture<'_, Result<AgentId, HostError>> {
        Box::pin(std::future::ready(Err(not_allowed())))
    }

    fn retire(&self, _agent: AgentId) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(std::future::ready(Err(not_allowed())))
    }

    fn tool(&self, call: ToolCall) -> BoxFuture<'_, Decision> {
        let decision = (self.decide)(&call);
        self.record().tools.push(call);
        Box::pin(std::future::ready(decision))
    }

    fn begin_tool(
        &self,
        call: ToolCall,
        _idempotent: Idempotent,
    ) -> BoxFuture<'_, Result<ToolBegun, HostError>> {
        let decision = (self.decide)(&call);
        let mut record = self.record();
        record.tools.push(call);
        let begun = match (decision, record.delivery) {
            (Decision::Allow, Some(delivery)) => {
                let n = u32::try_from(record.tools.len()).unwrap_or(u32::MAX);
                let key = StepKey { delivery, n };
                record.begun.push(key);
                Ok(ToolBegun::Call(key))
            }
            (Decision::Deny { reason, possible_at }, _) => {
                Ok(ToolBegun::Denied { reason, possible_at })
            }
            _ => Err(not_allowed()),
        };
        Box::pin(std::future::ready(begun))
    }

    fn end_tool(&self, key: StepKey, end: ToolEnd) -> BoxFuture<'_, Result<(), HostError>> {
        let mut record = self.record();
        let begun = record.begun.iter().position(|it| *it == key);
        let ended = begun.map(|at| {
            record.begun.swap_remove(at);
            record.ended.push((key, end));
        });
        Box::pin(std::future::ready(ended.ok_or_else(not_allowed)))
    }

    fn report_usage(&self, usage: Usage) {
        self.record().used += usage;
    }

    fn reserve_resources(&self, at_most: &ResourceLimits) -> Result<(), HostError> {
        self.record().reserved.push(*at_most);
        Ok(())
    }

    fn report_resources(&self, _attempt: u32, used: Resources, reached: Option<LimitReached>) {
        self.record().resources.push((used, reached));
    }

    fn say(&self, text: &str) {
        self.record().said.push(text.to_owned());
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        let mut stopping = self.stopping.subscribe();
        Box::pin(async move {
            // The sender lives in `self`, which this future borrows, so it cannot be gone.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        })
    }
}

fn not_allowed() -> HostError {
    HostError::NotAllowed { error: "the test's host does nothing of this kind".to_owned() }
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").field("agent", &self.agent).finish_non_exhaustive()
    }
}
