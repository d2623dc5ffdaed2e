//! What a handler may ask of its host while it handles a message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orch_core::{
    AgentConfig, AgentId, AgentMessage, Content, Decision, LimitReached, MessageId,
    MessagePriority, ResourceLimits, Resources, StepKey, ToolCall, Usage,
};

use crate::{BoxFuture, HostError, Idempotent, ToolBegun, ToolEnd, ToolError, ToolFailure};

/// What the runtime offers to a session during a turn. Handlers use it through [`Context`].
///
/// Every method that waits frees the handler's slot and takes it again before it returns.
pub trait Host: Send + Sync {
    /// The agent that handles the message.
    fn agent(&self) -> AgentId;

    /// The priority of what this agent sends, unless a message says otherwise.
    fn send_priority(&self) -> MessagePriority;

    /// The agent of that name (the first registered, if several have it) or id.
    fn find(&self, name: &str) -> Option<AgentId>;

    /// Sends a message; waits for room.
    fn send(&self, message: AgentMessage) -> BoxFuture<'_, Result<MessageId, HostError>>;

    /// As [`send`](Self::send), if that needs no wait; [`Context`] asks this first, and a message that
    /// is accepted or refused at once costs no boxed future.
    ///
    /// # Errors
    ///
    /// The message, if it has to wait: it was neither accepted nor refused, and `send` is to be
    /// called with it. The provided method says so of every message.
    fn send_now(
        &self,
        message: AgentMessage,
    ) -> Result<Result<MessageId, HostError>, AgentMessage> {
        Err(message)
    }

    /// Sends a message and waits for its answer, at most `timeout`.
    fn ask(
        &self,
        message: AgentMessage,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Content, HostError>>;

    /// Sends a message to every agent but this one; the answer is how many accepted it.
    fn broadcast(&self, message: AgentMessage) -> BoxFuture<'_, usize>;

    /// Sends a message to the subscribers of a topic but this agent; answers how many accepted it.
    fn publish<'a>(&'a self, topic: &'a str, message: AgentMessage) -> BoxFuture<'a, usize>;

    /// Makes a new agent, a child of this one.
    fn spawn(&self, config: AgentConfig) -> BoxFuture<'_, Result<AgentId, HostError>>;

    /// Retires this agent or one of its descendants.
    fn retire(&self, agent: AgentId) -> BoxFuture<'_, Result<(), HostError>>;

    /// Asks the policy (and a person, where it says so) about a tool call, and records the
    /// decision. Never answers [`Decision::Ask`].
    fn tool(&self, call: ToolCall) -> BoxFuture<'_, Decision>;

    /// As [`tool`](Self::tool), for a call that is made at once if it may be: where there is a journal,
    /// that it begins is recorded with the decision.
    fn begin_tool(
        &self,
        call: ToolCall,
        idempotent: Idempotent,
    ) -> BoxFuture<'_, Result<ToolBegun, HostError>>;

    /// Records how a call ended that was begun under this key.
    fn end_tool(&self, key: StepKey, end: ToolEnd) -> BoxFuture<'_, Result<(), HostError>>;

    /// Adds to what this agent used.
    fn report_usage(&self, usage: Usage);

    /// Asked before processes are started for the message: whether the budget has room for what they may
    /// use at most. The provided method says so.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAllowed`] names the budget.
    fn reserve_resources(&self, at_most: &ResourceLimits) -> Result<(), HostError> {
        let _ = at_most;
        Ok(())
    }

    /// Takes note of what the processes of this attempt used of the machine, once after each
    /// [`reserve_resources`](Self::reserve_resources) that succeeded; `reached` is the limit that
    /// stopped them. Comes after the end of the turn where that was cut off. The provided method
    /// forgets it.
    fn report_resources(&self, attempt: u32, used: Resources, reached: Option<LimitReached>) {
        let _ = (attempt, used, reached);
    }

    /// Tells whoever watches something beside the answer.
    fn say(&self, text: &str);

    /// Whether the run is stopping: a handler that takes long should come to an end.
    fn is_stopping(&self) -> bool;

    /// Returns when the run begins to stop.
    fn stopping(&self) -> BoxFuture<'_, ()>;
}

/// A host that others share.
impl Host for Arc<dyn Host> {
    fn agent(&self) -> AgentId {
        (**self).agent()
    }

    fn send_priority(&self) -> MessagePriority {
        (**self).send_priority()
    }

    fn find(&self, name: &str) -> Option<AgentId> {
        (**self).find(name)
    }

    fn send(&self, message: AgentMessage) -> BoxFuture<'_, Result<MessageId, HostError>> {
        (**self).send(message)
    }

    fn send_now(
        &self,
        message: AgentMessage,
    ) -> Result<Result<MessageId, HostError>, AgentMessage> {
        (**self).send_now(message)
    }

    fn ask(
        &self,
        message: AgentMessage,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Content, HostError>> {
        (**self).ask(message, timeout)
    }

    fn broadcast(&self, message: AgentMessage) -> BoxFuture<'_, usize> {
        (**self).broadcast(message)
    }

    fn publish<'a>(&'a self, topic: &'a str, message: AgentMessage) -> BoxFuture<'a, usize> {
        (**self).publish(topic, message)
    }

    fn spawn(&self, config: AgentConfig) -> BoxFuture<'_, Result<AgentId, HostError>> {
        (**self).spawn(config)
    }

    fn retire(&self, agent: AgentId) -> BoxFuture<'_, Result<(), HostError>> {
        (**self).retire(agent)
    }

    fn tool(&self, call: ToolCall) -> BoxFuture<'_, Decision> {
        (**self).tool(call)
    }

    fn begin_tool(
        &self,
        call: ToolCall,
        idempotent: Idempotent,
    ) -> BoxFuture<'_, Result<ToolBegun, HostError>> {
        (**self).begin_tool(call, idempotent)
    }

    fn end_tool(&self, key: StepKey, end: ToolEnd) -> BoxFuture<'_, Result<(), HostError>> {
        (**self).end_tool(key, end)
    }

    fn report_usage(&self, usage: Usage) {
        (**self).report_usage(usage);
    }

    fn reserve_resources(&self, at_most: &ResourceLimits) -> Result<(), HostError> {
        (**self).reserve_resources(at_most)
    }

    fn report_resources(&self, attempt: u32, used: Resources, reached: Option<LimitReached>) {
        (**self).report_resources(attempt, used, reached);
    }

    fn say(&self, text: &str) {
        (**self).say(text);
    }

    fn is_stopping(&self) -> bool {
        (**self).is_stopping()
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        (**self).stopping()
    }
}

/// One message to handle, and what may be asked of the host meanwhile.
///
/// The methods that wait free the handler's slot, so that waiting costs no other agent anything;
/// the attempt's timeout runs on. A handler that drops such a future while it waits goes on at once,
/// and takes a slot again when one is free: for that time it runs beside `max_concurrency`. All of them are cancel safe: a send that is dropped before it
/// returns either was accepted or was not, and an ask that is dropped forgets its answer.
///
/// # Steps
///
/// Where there is a journal, what a handler sends, asks, broadcasts, publishes, spawns, retires and calls
/// are its steps, numbered in the order in which their futures are first polled. Another attempt gets the
/// recorded ones back by their numbers, so it must take the same steps in the same order, or it fails
/// for good. `join!` and `join_all` poll first in the order of their arguments; a `select!` that is not
/// `biased`, and tasks of their own, do not.
///
/// A pointer to its [`Turn`]: cheap to move, to clone, and to keep in a future.
#[derive(Clone)]
pub struct Context {
    turn: Arc<Turn<dyn Host>>,
}

/// What the clones of a [`Context`] share: the message, the number of the attempt, and the host, in
/// one allocation.
///
/// A host for one turn keeps it, and makes contexts of it with [`Context::of`]:
///
/// ```
/// # fn example(host: impl orch_connect::Host + 'static, message: orch_core::AgentMessage) {
/// use std::sync::Arc;
/// use orch_connect::{Context, Turn};
///
/// let turn = Arc::new(Turn::new(host, message, 1));
/// let context = Context::of(turn.clone());
/// assert_eq!(context.message(), turn.message());
/// # }
/// ```
#[derive(Debug)]
pub struct Turn<H: ?Sized> {
    message: AgentMessage,
    attempt: u32,
    host: H,
}

impl<H> Turn<H> {
    /// Attempt number `attempt` (counted from 1) at `message`.
    #[must_use]
    pub const fn new(host: H, message: AgentMessage, attempt: u32) -> Self {
        Self { message, attempt, host }
    }
}

impl<H> Turn<H> {
    /// Makes another turn of one that nobody else knows any more, and answers its host. Allocates
    /// nothing.
    pub fn renew(&mut self, message: AgentMessage, attempt: u32) -> &mut H {
        self.message = message;
        self.attempt = attempt;
        &mut self.host
    }
}

impl<H: ?Sized> Turn<H> {
    /// The message to handle.
    #[must_use]
    pub const fn message(&self) -> &AgentMessage {
        &self.message
    }

    /// The number of this attempt, counted from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &H {
        &self.host
    }
}

impl Context {
    /// Attempt number `attempt` (counted from 1) at `message`, with a host that others share.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, message: AgentMessage, attempt: u32) -> Self {
        Self::of(Arc::new(Turn::new(host, message, attempt)))
    }

    /// The context of a turn. Allocates nothing.
    #[must_use]
    pub fn of<H: Host + 'static>(turn: Arc<Turn<H>>) -> Self {
        Self { turn }
    }

    /// The message to handle.
    #[must_use]
    pub fn message(&self) -> &AgentMessage {
        self.turn.message()
    }

    /// What the message says.
    #[must_use]
    pub fn content(&self) -> &Content {
        self.message().content()
    }

    /// The number of this attempt, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.turn.attempt()
    }

    /// Names what is handled, for whoever can use it as an idempotency key: the same for each attempt,
    /// also after a restart of a durable orchestrator.
    #[must_use]
    pub fn delivery_key(&self) -> MessageId {
        self.message().id()
    }

    fn host(&self) -> &dyn Host {
        self.turn.host()
    }

    /// The agent that handles the message.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.host().agent()
    }

    /// The agent of that name (the first registered, if several have it) or id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AgentId> {
        self.host().find(name)
    }

    /// A message from this agent with the priority that it sends with, to be changed and then
    /// [sent](Self::send_message).
    #[must_use]
    pub fn message_to(&self, to: AgentId, content: impl Into<Content>) -> AgentMessage {
        AgentMessage::new(self.agent(), to, content).with_priority(self.host().send_priority())
    }

    /// Sends `content` to `to`; waits for room (30 s by default), but never for room in this
    /// agent's own mailbox.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAccepted`] with the message.
    pub async fn send(
        &self,
        to: AgentId,
        content: impl Into<Content>,
    ) -> Result<MessageId, HostError> {
        // Not through `send_message`: the message would be moved into a future and out of it again.
        match self.begin_send(self.message_to(to, content)) {
            Ok(sent) => sent,
            Err(waits) => waits.await,
        }
    }

    /// Sends a message; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_message(&self, message: AgentMessage) -> Result<MessageId, HostError> {
        match self.begin_send(message) {
            Ok(sent) => sent,
            Err(waits) => waits.await,
        }
    }

    fn begin_send(
        &self,
        message: AgentMessage,
    ) -> Result<Result<MessageId, HostError>, BoxFuture<'_, Result<MessageId, HostError>>> {
        self.host().send_now(message).map_err(|message| self.host().send(message))
    }

    /// Sends `content` to `to` and waits for the answer, at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAccepted`] if the question was refused, [`HostError::NotAnswered`] if the
    /// time went by, or the asked agent failed, was retired, or gave the question up.
    pub async fn ask(
        &self,
        to: AgentId,
        content: impl Into<Content>,
        timeout: Duration,
    ) -> Result<Content, HostError> {
        self.ask_message(self.message_to(to, content), timeout).await
    }

    /// Sends a message and waits for its answer; see [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn ask_message(
        &self,
        message: AgentMessage,
        timeout: Duration,
    ) -> Result<Content, HostError> {
        self.host().ask(message, timeout).await
    }

    /// Sends `content` to every agent but this one; answers how many accepted it.
    pub async fn broadcast(&self, content: impl Into<Content>) -> usize {
        self.host().broadcast(self.message_to(self.agent(), content)).await
    }

    /// Sends `content` to the subscribers of `topic`; answers how many accepted it.
    pub async fn publish(&self, topic: &str, content: impl Into<Content>) -> usize {
        self.host().publish(topic, self.message_to(self.agent(), content)).await
    }

    /// Makes a new agent, a child of this one, with at most this agent's rights.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAllowed`] names the limit or the right; [`HostError::CannotRun`] says what
    /// the new agent lacks.
    pub async fn spawn(&self, config: AgentConfig) -> Result<AgentId, HostError> {
        self.host().spawn(config).await
    }

    /// Retires this agent or one of its descendants; what waits for it becomes dead letters.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAllowed`] for an agent that is not this one's to retire.
    pub async fn retire(&self, agent: AgentId) -> Result<(), HostError> {
        self.host().retire(agent).await
    }

    /// Asks whether a tool call may be made. The decision is recorded; making the call (or not) is
    /// the handler's part, and so is not making it twice: see [`call_tool`](Self::call_tool). Never
    /// [`Decision::Ask`]: where a person decides, this waits for them.
    pub async fn tool(&self, call: ToolCall) -> Decision {
        self.host().tool(call).await
    }

    /// Makes a tool call: asks whether it may be made, calls `run` with the key of the step, and answers
    /// its output.
    ///
    /// Where there is a journal, the decision and the begin are recorded before `run` is called, and the
    /// output after it: another attempt gets that output, and `run` is not called again. A call that
    /// began and did not end (the process was killed, the attempt timed out, the tool failed and does
    /// not say that it had [no effect](ToolFailure::NotDone)) is made again only if it is idempotent.
    /// Else the message becomes a dead letter, and a person decides.
    ///
    /// The key is the same for each attempt, also after a restart: a tool that takes an idempotency key
    /// should get it.
    ///
    /// ```
    /// # use orch_connect::{Context, Idempotent, ToolFailure};
    /// # use orch_core::{Access, Content, Failure, ToolCall};
    /// # async fn create(_: &str, _: String) -> Result<String, Failure> { Ok("42".into()) }
    /// async fn open_ticket(ctx: Context) -> Result<Content, Failure> {
    ///     let call = ToolCall::new("tickets", Access::Write);
    ///     let title = ctx.content();
    ///     let number = ctx.call_tool(call, Idempotent::No, async |key| {
    ///         Ok(create(title, key.to_string()).await?)
    ///     });
    ///     Ok(number.await?)
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped while `run` is under way, the call has begun and not ended.
    ///
    /// # Errors
    ///
    /// [`ToolError`].
    pub async fn call_tool<C: Into<Content>>(
        &self,
        call: ToolCall,
        idempotent: Idempotent,
        run: impl AsyncFnOnce(StepKey) -> Result<C, ToolFailure>,
    ) -> Result<Content, ToolError> {
        let key = match self.begin_tool(call, idempotent).await? {
            ToolBegun::Call(key) => key,
            ToolBegun::Done(output) => return Ok(output),
            ToolBegun::Denied { reason, possible_at } => {
                return Err(ToolError::Denied { reason, possible_at });
            }
            ToolBegun::Unfinished(key) => return Err(ToolError::Unfinished(key)),
        };
        match run(key).await {
            Ok(output) => {
                let output = output.into();
                self.end_tool(key, ToolEnd::Done(output.clone())).await?;
                Ok(output)
            }
            Err(ToolFailure::NotDone(failure)) => {
                self.end_tool(key, ToolEnd::NotDone { error: failure.error.clone() }).await?;
                Err(ToolError::Failed(failure))
            }
            Err(ToolFailure::Unknown(failure)) => Err(ToolError::Failed(failure)),
        }
    }

    /// The first half of [`call_tool`](Self::call_tool), for agents that make their calls themselves:
    /// asks whether the call may be made, and records that it begins.
    ///
    /// # Errors
    ///
    /// [`HostError`] if that cannot be recorded: then the call must not be made.
    pub async fn begin_tool(
        &self,
        call: ToolCall,
        idempotent: Idempotent,
    ) -> Result<ToolBegun, HostError> {
        self.host().begin_tool(call, idempotent).await
    }

    /// The second half of [`call_tool`](Self::call_tool): records how a call ended.
    ///
    /// # Errors
    ///
    /// [`HostError`] if no such call is under way in this turn, or it cannot be recorded.
    pub async fn end_tool(&self, key: StepKey, end: ToolEnd) -> Result<(), HostError> {
        self.host().end_tool(key, end).await
    }

    /// Adds to what this agent used.
    pub fn report_usage(&self, usage: Usage) {
        self.host().report_usage(usage);
    }

    /// Asks, before processes are started for this message, whether the budget has room for what they
    /// may use at most. [`report_resources`](Self::report_resources) is to follow, whatever becomes of
    /// them.
    ///
    /// # Errors
    ///
    /// [`HostError::NotAllowed`] names the budget.
    pub fn reserve_resources(&self, at_most: &ResourceLimits) -> Result<(), HostError> {
        self.host().reserve_resources(at_most)
    }

    /// Tells what the processes of this attempt used of the machine, and the limit that stopped them.
    /// May be told after the turn.
    pub fn report_resources(&self, used: Resources, reached: Option<LimitReached>) {
        self.host().report_resources(self.attempt(), used, reached);
    }

    /// Tells whoever watches something beside the answer.
    pub fn say(&self, text: &str) {
        self.host().say(text);
    }

    /// Whether the run is stopping: a handler that takes long should come to an end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.host().is_stopping()
    }

    /// Returns when the run begins to stop; to be raced against long work.
    pub async fn stopping(&self) {
        self.host().stopping().await;
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("agent", &self.agent())
            .field("message", self.message())
            .field("attempt", &self.attempt())
            .finish()
    }
}
