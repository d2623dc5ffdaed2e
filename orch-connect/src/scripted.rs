//! Agents that follow exact steps: for tests, for examples, and for trying a team before it costs
//! money.

mod parse;
mod run;
mod step;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orch_core::{AgentConfig, AgentId, Content, Failure, Outcome, ToolCall, Usage};

use self::run::Progress;
use self::step::{Action, End, Repeat, Script};
use crate::{ConnectError, Connector, Context, Session, SessionSpec};

/// A connector whose agents follow a script.
///
/// A script is a list of turns. Each turn is any number of actions (`delay`, `usage`, `say`,
/// `send`, `ask`, `broadcast`, `publish`, `tool`, `block`) and one step that ends it (`reply`,
/// `echo`, `reply_answer`, `done`, `fail`, `panic`, `hang`); actions at the end of the script end in
/// `done`. Each agent goes through the script by itself, and keeps its place when its session is
/// opened again: a retry meets the next turn. A message for which no turn is left fails for good.
///
/// A message takes the first unused turn whose [condition](Self::when) holds for it.
///
/// Clones share what was seen, so that a test keeps one. An agent whose settings have `steps`
/// follows those instead of the connector's:
///
/// ```toml
/// steps = [
///     { delay_ms = 200 },
///     { usage = { input_tokens = 900, output_tokens = 40 } },
///     { reply = "a plan" },
///     { fail = "overloaded", retry_after_ms = 1000 },
///     { when = "budget", reply = "42" },
///     { send = "write it", to = "coder" },
///     { done = true },
/// ]
/// repeat = true # or "last"
/// ```
///
/// | step | ends the turn | with |
/// |---|---|---|
/// | `reply = "text"` | yes | |
/// | `echo = true` | yes, with the message's content | |
/// | `reply_answer = true` | yes, with the answer to the turn's last `ask` | |
/// | `done = true` | yes, without an answer | |
/// | `fail = "error"` | yes | `final = true`, `retry_after_ms` |
/// | `panic = "text"` | yes | |
/// | `hang = true` | never | |
/// | `delay_ms = 10` | no | |
/// | `block_ms = 10` | no; blocks its thread | |
/// | `usage = { … }` | no | the fields of [`Usage`] |
/// | `say = "text"` | no | |
/// | `send = "text"` | no | `to` (name or id) |
/// | `ask = "text"` | no | `to`, `timeout_ms` (60,000) |
/// | `broadcast = "text"` | no | |
/// | `publish = "text"` | no | `topic` |
/// | `tool = "name"` | no | `access`, `paths`, `arguments`, `expect` (`"allow"` or `"deny"`) |
///
/// The first step of a turn may have `when = "text"`.
///
/// # Examples
///
/// ```
/// use orch_connect::{Connectors, Scripted};
///
/// let reviewer = Scripted::new().fail("overloaded").reply("looks good");
/// let connectors = Connectors::new().with("reviewer", reviewer.clone());
/// // … run …
/// assert_eq!(reviewer.seen().len(), 0);
/// assert_eq!(reviewer.unused().len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    /// `None` if every agent has to have steps in its settings.
    script: Option<Arc<Script>>,
    agents: Arc<Mutex<BTreeMap<AgentId, Progress>>>,
}

/// A session of a [`Scripted`] agent.
#[derive(Debug)]
pub struct ScriptedSession {
    agent: AgentId,
    agents: Arc<Mutex<BTreeMap<AgentId, Progress>>>,
}

impl Scripted {
    /// A script without steps: every message fails.
    #[must_use]
    pub fn new() -> Self {
        Self { script: Some(Arc::default()), agents: Arc::default() }
    }

    /// Takes each agent's steps from its settings, and refuses one that has none.
    #[must_use]
    pub fn from_settings() -> Self {
        Self::default()
    }

    /// Answers, and ends the turn.
    #[must_use]
    pub fn reply(self, text: impl Into<Content>) -> Self {
        self.end(End::Reply(text.into()))
    }

    /// Answers with the content of the message, and ends the turn.
    #[must_use]
    pub fn echo(self) -> Self {
        self.end(End::Echo)
    }

    /// Answers with the answer to the turn's last question, and ends the turn.
    #[must_use]
    pub fn reply_answer(self) -> Self {
        self.end(End::ReplyAnswer)
    }

    /// Ends the turn without an answer.
    #[must_use]
    pub fn done(self) -> Self {
        self.end(End::Done)
    }

    /// Fails in a way that may be tried again.
    #[must_use]
    pub fn fail(self, error: impl Into<String>) -> Self {
        self.fail_with(Failure::transient(error))
    }

    /// Fails in a way that would happen again.
    #[must_use]
    pub fn fail_finally(self, error: impl Into<String>) -> Self {
        self.fail_with(Failure::last(error))
    }

    /// Fails with this failure, which may have a time before which not to try again.
    #[must_use]
    pub fn fail_with(self, failure: Failure) -> Self {
        self.end(End::Fail(failure))
    }

    /// Panics.
    #[must_use]
    pub fn panic(self, text: impl Into<String>) -> Self {
        self.end(End::Panic(text.into()))
    }

    /// Never ends; the turn is cut off by its timeout or a stop.
    #[must_use]
    pub fn hang(self) -> Self {
        self.end(End::Hang)
    }

    /// Waits, in tokio's time: paused time makes it virtual.
    #[must_use]
    pub fn delay(self, time: Duration) -> Self {
        self.act(Action::Delay(time))
    }

    /// Blocks its thread, in real time: what an async handler must not do.
    #[must_use]
    pub fn block(self, time: Duration) -> Self {
        self.act(Action::Block(time))
    }

    /// Reports usage.
    #[must_use]
    pub fn usage(self, usage: Usage) -> Self {
        self.act(Action::Usage(usage))
    }

    /// Says something beside the answer.
    #[must_use]
    pub fn say(self, text: impl Into<String>) -> Self {
        self.act(Action::Say(text.into()))
    }

    /// Sends a message to the agent of that name or id. The turn fails if it is not accepted.
    #[must_use]
    pub fn send(self, to: impl Into<String>, content: impl Into<Content>) -> Self {
        self.act(Action::Send { to: to.into(), content: content.into() })
    }

    /// Asks the agent of that name or id, and waits up to a minute. The turn fails without an
    /// answer.
    #[must_use]
    pub fn ask(self, to: impl Into<String>, content: impl Into<Content>) -> Self {
        self.ask_within(to, content, step::ASK_TIMEOUT)
    }

    /// As [`ask`](Self::ask), with a time of its own.
    #[must_use]
    pub fn ask_within(
        self,
        to: impl Into<String>,
        content: impl Into<Content>,
        timeout: Duration,
    ) -> Self {
        self.act(Action::Ask { to: to.into(), content: content.into(), timeout })
    }

    /// Sends a message to every other agent.
    #[must_use]
    pub fn broadcast(self, content: impl Into<Content>) -> Self {
        self.act(Action::Broadcast(content.into()))
    }

    /// Sends a message to the subscribers of a topic.
    #[must_use]
    pub fn publish(self, topic: impl Into<String>, content: impl Into<Content>) -> Self {
        self.act(Action::Publish { topic: topic.into(), content: content.into() })
    }

    /// Asks about a tool call that is expected to be allowed. The turn fails for good if it is not.
    #[must_use]
    pub fn tool_allowed(self, call: ToolCall) -> Self {
        self.act(Action::Tool { call, allowed: true })
    }

    /// Asks about a tool call that is expected to be denied. The turn fails for good if it is not.
    #[must_use]
    pub fn tool_denied(self, call: ToolCall) -> Self {
        self.act(Action::Tool { call, allowed: false })
    }

    /// Makes the turn that begins here one for messages whose content contains `text`.
    ///
    /// # Panics
    ///
    /// If a turn has begun already: the condition belongs before its first step.
    #[must_use]
    pub fn when(self, text: impl Into<String>) -> Self {
        self.change(|script| {
            assert!(script.when(text.into()), "`when` must come before the steps of its turn");
        })
    }

    /// Begins again with the first turn when no unused one is left.
    #[must_use]
    pub fn repeat(self) -> Self {
        self.change(|script| script.repeat = Repeat::All)
    }

    /// Repeats the last turn that fits when no unused one is left.
    #[must_use]
    pub fn repeat_last(self) -> Self {
        self.change(|script| script.repeat = Repeat::Last)
    }

    /// What the agents were given, in order for each agent: the latest 65,536 of each.
    #[must_use]
    pub fn seen(&self) -> Vec<Content> {
        self.agents().values().flat_map(Progress::seen).collect()
    }

    /// What this agent was given, in order: the latest 65,536.
    #[must_use]
    pub fn seen_by(&self, agent: AgentId) -> Vec<Content> {
        self.agents().get(&agent).map_or_else(Vec::new, |it| it.seen().collect())
    }

    /// The steps that no message has reached, in words: of every agent that was opened, and of the
    /// connector's script if none was.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let agents = self.agents();
        if let (true, Some(script)) = (agents.is_empty(), &self.script) {
            return Progress::new(Arc::clone(script)).unused("no agent").collect();
        }
        agents.iter().flat_map(|(id, progress)| progress.unused(&id.to_string())).collect()
    }

    /// Checks that every step was used.
    ///
    /// # Panics
    ///
    /// With the list of those that were not.
    #[track_caller]
    pub fn assert_complete(&self) {
        let unused = self.unused();
        assert!(unused.is_empty(), "steps were not used:\n{}", unused.join("\n"));
    }

    fn act(self, action: Action) -> Self {
        self.change(|script| script.act(action))
    }

    fn end(self, end: End) -> Self {
        self.change(|script| script.end(end))
    }

    /// Changes the script. What was seen belongs to the script as it was, and stays with its clones.
    fn change(mut self, change: impl FnOnce(&mut Script)) -> Self {
        change(Arc::make_mut(self.script.get_or_insert_default()));
        self.agents = Arc::default();
        self
    }

    fn script_of(&self, config: &AgentConfig) -> Result<Arc<Script>, ConnectError> {
        match (parse::script(&config.settings)?, &self.script) {
            (Some(script), _) => Ok(Arc::new(script)),
            (None, Some(script)) => Ok(Arc::clone(script)),
            (None, None) => Err(parse::no_steps()),
        }
    }

    fn agents(&self) -> MutexGuard<'_, BTreeMap<AgentId, Progress>> {
        lock(&self.agents)
    }
}

impl Connector for Scripted {
    type Session = ScriptedSession;

    /// Checks the steps in the settings, if there are any. Policies hold in the host.
    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError> {
        self.script_of(config).map(|_| ())
    }

    async fn open(&self, spec: SessionSpec) -> Result<ScriptedSession, ConnectError> {
        let script = self.script_of(&spec.config)?;
        self.agents().entry(spec.agent).or_insert_with(|| Progress::new(script));
        Ok(ScriptedSession { agent: spec.agent, agents: Arc::clone(&self.agents) })
    }
}

impl Session for ScriptedSession {
    async fn turn(&mut self, context: Context) -> Outcome {
        let next = self.with_progress(|progress| progress.begin(context.content()));
        let Some((script, turn)) = next else {
            return Failure::last("the script has no step left").into();
        };
        run::turn(self, &script, turn, &context).await
    }
}

impl ScriptedSession {
    fn with_progress<T>(&self, read: impl FnOnce(&mut Progress) -> T) -> T {
        let mut agents = lock(&self.agents);
        read(agents.get_mut(&self.agent).expect("`open` enters each agent, and none is removed"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A scripted panic happens outside of the lock, so what a poisoned one guards is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
