//! A program that lives as long as its session and speaks the protocol of `PROTOCOL.md`.

mod outbox;
mod pending;

use std::pin::pin;
use std::time::Duration;

use orch_core::{
    AgentMessage, Content, Failure, LimitReached, MessagePriority, Outcome, Resources,
};
use serde_json::Value;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;

use self::outbox::Outbox;
use self::pending::{Done, Pending};
use super::env::Env;
use super::exit;
use super::lines::{LineError, Lines};
use super::process::{DRAIN_MAX, Process, Runner, spawn_failure};
use super::protocol::{self, Incoming};
use super::stderr::Tail;
use crate::{ConnectError, Context};

/// How long a program may take to start.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a question waits unless its line says otherwise.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// A session whose program lives as long.
///
/// The process comes before the runner, so that it is dropped before its folder.
#[derive(Debug)]
pub(super) struct JsonlSession {
    process: Process,
    outbox: Outbox,
    lines: Lines<pipe::Receiver>,
    stderr: Tail,
    /// The task that reads stderr, also between turns.
    stderr_reader: JoinSet<()>,
    /// False from the start of a turn to its good end: nobody knows where a program stands whose
    /// turn was cut off, or which broke the protocol.
    settled: bool,
    /// The turn that runs, or was cut off.
    open: Option<Context>,
    /// Turns that began.
    n_turns: u64,
    /// Processor time that was reported, of all turns.
    reported_cpu_ms: u64,
    runner: Runner,
}

/// What a turn has so far.
struct Turn<'a> {
    context: &'a Context,
    /// The message's id, as the program was given it.
    message: String,
    reply: Option<Content>,
    pending: Pending,
}

impl JsonlSession {
    pub(super) async fn open(runner: Runner) -> Result<Self, ConnectError> {
        let failed = |failure: Failure| ConnectError::OpenFailed {
            transient: failure.is_transient(),
            error: failure.error,
        };
        let (mut process, pipes) =
            runner.start(Env::new()).map_err(|error| failed(spawn_failure(&error)))?;
        let started = tokio::time::timeout(START_MAX, process.started()).await;
        let late = || Failure::transient("the program did not start in time");
        if let Err(failure) = started.unwrap_or_else(|_| Err(late())) {
            process.end(Duration::ZERO, pipes.stdout, pipes.stderr).await;
            return Err(failed(failure));
        }
        let stderr = Tail::default();
        let mut stderr_reader = JoinSet::new();
        stderr_reader.spawn(stderr.clone().drain(pipes.stderr));
        Ok(Self {
            process,
            outbox: Outbox::new(pipes.stdin),
            lines: Lines::new(pipes.stdout, runner.settings.output_bytes_max),
            stderr,
            stderr_reader,
            settled: true,
            open: None,
            n_turns: 0,
            reported_cpu_ms: 0,
            runner,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.settled && self.process.is_running() && self.outbox.is_open()
    }

    pub(super) async fn turn(&mut self, context: &Context) -> Outcome {
        if !self.settled {
            return Failure::transient("the session was cut off and cannot go on").into();
        }
        if let Err(refusal) = context.reserve_resources(&self.runner.settings.limits.limits) {
            return Failure::from(refusal).into();
        }
        self.settled = false;
        self.open = Some(context.clone());
        self.n_turns += 1;
        let reached = self.process.reached();
        let outcome = tokio::select! {
            biased; // What the program said counts, unless a limit was reached before.
            () = reached => self.stop().await,
            conversed = self.converse(context) => match conversed {
                Ok(outcome) => {
                    self.settled = true;
                    outcome
                }
                Err(failure) => failure.into(),
            },
        };
        let used = self.process.measure().await;
        match self.report(used) {
            Some(reached) => {
                self.settled = false;
                exit::stopped(reached, self.n_turns == 1)
            }
            None => outcome,
        }
    }

    /// Reports what the turn used, if it has not been; answers the limit that was reached.
    fn report(&mut self, mut used: Resources) -> Option<LimitReached> {
        let context = self.open.take()?;
        let all_ms = used.cpu_ms;
        used.cpu_ms = all_ms.saturating_sub(self.reported_cpu_ms);
        self.reported_cpu_ms = self.reported_cpu_ms.max(all_ms);
        let reached = self.process.limit_reached();
        context.report_resources(used, reached);
        reached
    }

    /// Asks the program to stop, and ends it, in the middle of a turn.
    async fn stop(&mut self) -> Outcome {
        let grace = self.runner.settings.grace / 2;
        let _ = tokio::time::timeout(grace, self.say_stop()).await;
        self.outbox.close();
        self.process.end(grace, self.lines.reader(), tokio::io::empty()).await;
        Failure::last("the program reached a limit").into()
    }

    /// Tells a program that can still hear to stop, and ends it.
    pub(super) async fn close(mut self) {
        let mut grace = self.runner.settings.grace;
        if self.is_open() {
            grace /= 2;
            // Whoever does not stop in time is stopped.
            let _ = tokio::time::timeout(grace, self.say_stop()).await;
        }
        self.outbox.close();
        // The task that reads stderr goes on meanwhile.
        self.process.end(grace, self.lines.reader(), tokio::io::empty()).await;
        self.report(self.process.used());
    }

    async fn say_stop(&mut self) {
        self.outbox.push(&protocol::stop());
        let over = self.process.over();
        let write = async {
            self.outbox.flush().await;
            self.outbox.close();
        };
        // What it still writes is read, or it could hang in a full pipe instead of stopping.
        let read = async { while let Ok(Some(_)) = self.lines.next().await {} };
        tokio::join!(over, write, read);
    }

    /// One turn. After an error the session is at an end.
    async fn converse(&mut self, context: &Context) -> Result<Outcome, Failure> {
        self.read_what_came_between(context).await?;
        self.outbox.push(&protocol::message(context.message(), context.attempt()));
        let mut turn = Turn {
            context,
            message: context.message().id().to_string(),
            reply: None,
            pending: Pending::default(),
        };
        let over = self.process.over();
        let mut left_open = pin!(async {
            over.await;
            tokio::time::sleep(DRAIN_MAX).await;
        });
        loop {
            tokio::select! {
                // Writing first, so that a flood of lines does not keep the program from its
                // message; answers before lines, so that lines take effect in their order.
                biased;
                () = self.outbox.write(), if !self.outbox.is_empty() => {}
                done = turn.pending.next(), if !turn.pending.is_empty() => self.tell(done)?,
                line = self.lines.next(), if !turn.pending.is_sending() => {
                    let Some(line) = line.map_err(broken_line)? else {
                        return Err(self.ended("before it acknowledged").await);
                    };
                    let line = Incoming::read(&line).map_err(Failure::transient)?;
                    if let Some(outcome) = self.hear(line, &mut turn)? {
                        return Ok(outcome);
                    }
                }
                () = &mut left_open => return Err(self.ended("before it acknowledged").await),
            }
        }
    }

    /// Reads the lines that are there before the message is. A program must be silent between two
    /// turns, but for logs and usage; a late line must not be taken for a part of the next turn.
    async fn read_what_came_between(&mut self, context: &Context) -> Result<(), Failure> {
        loop {
            let line = tokio::select! {
                biased;
                line = self.lines.next() => line.map_err(broken_line)?,
                () = std::future::ready(()) => return Ok(()),
            };
            let Some(line) = line else {
                return Err(self.ended("between two messages").await);
            };
            match Incoming::read(&line).map_err(Failure::transient)? {
                Incoming::Usage(usage) => context.report_usage(usage),
                Incoming::Log { text } => context.say(&text),
                other => {
                    debug_assert!(!other.is_beside_turns(), "the arms above are those lines");
                    return Err(Failure::transient("the program wrote a line between two turns"));
                }
            }
        }
    }

    /// Takes one line; answers how the turn ended, if it did.
    fn hear(&mut self, line: Incoming, turn: &mut Turn<'_>) -> Result<Option<Outcome>, Failure> {
        match line {
            Incoming::Reply { message, content } => {
                turn.check(message)?;
                turn.reply = Some(content.into());
            }
            Incoming::Ack { message } => {
                turn.check(message)?;
                return Ok(Some(turn.reply.take().map_or_else(Outcome::done, Outcome::output)));
            }
            Incoming::Fail { message, error, transient, retry_after_ms } => {
                turn.check(message)?;
                return Ok(Some(protocol::failure(error, transient, retry_after_ms).into()));
            }
            Incoming::Usage(usage) => turn.context.report_usage(usage),
            Incoming::Log { text } => turn.context.say(&text),
            request => {
                if let Some(refusal) = turn.request(request) {
                    self.tell(Done { line: Some(refusal) })?;
                }
            }
        }
        Ok(None)
    }

    fn tell(&mut self, done: Done) -> Result<(), Failure> {
        if let Some(line) = done.line {
            self.outbox.push(&line);
        }
        if self.outbox.is_full() {
            return Err(Failure::transient("the program does not read its stdin"));
        }
        Ok(())
    }

    /// The failure of a program that ended, or closed its stdout, when it should not have.
    async fn ended(&mut self, when: &str) -> Failure {
        // So that its exit and its last words are known; one that lives on is not waited for.
        let _ = tokio::time::timeout(DRAIN_MAX, self.process.over()).await;
        let _ = tokio::time::timeout(DRAIN_MAX, self.stderr_reader.join_next()).await;
        let what = match self.process.exit() {
            Some(exit) => exit.to_string(),
            None => "closed its stdout".to_owned(),
        };
        Failure::transient(self.stderr.explain(format!("the program {what} {when}")))
    }
}

fn broken_line(error: LineError) -> Failure {
    Failure::transient(format!("the program's output cannot be read: {error}"))
}

impl Turn<'_> {
    /// Refuses what belongs to another message.
    fn check(&self, message: Option<String>) -> Result<(), Failure> {
        match message {
            Some(message) if message != self.message => Err(Failure::transient(format!(
                "the program answered `{message}` while it handled `{}`",
                self.message
            ))),
            _ => Ok(()),
        }
    }

    /// Begins what the program asks for; answers a line if that is refused at once.
    fn request(&mut self, request: Incoming) -> Option<Value> {
        let context = self.context.clone();
        match request {
            Incoming::Send { id, to, content, priority } => {
                let Some(to) = context.find(&to) else { return Some(unknown(id.as_ref(), &to)) };
                let message = with_priority(context.message_to(to, content), priority);
                self.pending.send(async move {
                    match context.send_message(message).await {
                        Ok(message) => id.map(|id| protocol::sent(&id, message)),
                        Err(refusal) => Some(protocol::refused(id.as_ref(), &refusal)),
                    }
                });
                None
            }
            Incoming::Broadcast { id, content } => {
                self.pending.send(async move {
                    let n_accepted = context.broadcast(content).await;
                    id.map(|id| protocol::accepted(&id, n_accepted))
                });
                None
            }
            Incoming::Publish { id, topic, content } => {
                self.pending.send(async move {
                    let n_accepted = context.publish(&topic, content).await;
                    id.map(|id| protocol::accepted(&id, n_accepted))
                });
                None
            }
            Incoming::Ask { id, to, content, timeout_ms, priority } => {
                let Some(to) = context.find(&to) else { return Some(unknown(Some(&id), &to)) };
                let message = with_priority(context.message_to(to, content), priority);
                let timeout = timeout_ms.map_or(ASK_TIMEOUT, Duration::from_millis);
                self.pending.question(&id.clone(), async move {
                    match context.ask_message(message, timeout).await {
                        Ok(content) => protocol::answer(&id, &content),
                        Err(refusal) => protocol::refused(Some(&id), &refusal),
                    }
                })
            }
            Incoming::Tool { id, tool, access, paths, arguments, idempotent } => {
                let call = protocol::tool_call(tool, access, paths, arguments);
                self.pending.question(&id.clone(), async move {
                    let Some(idempotent) = idempotent else {
                        return protocol::decision(&id, &context.tool(call).await);
                    };
                    match context.begin_tool(call, protocol::idempotent(idempotent)).await {
                        Ok(begun) => protocol::begun(&id, begun),
                        Err(refusal) => protocol::refused(Some(&id), &refusal),
                    }
                })
            }
            Incoming::ToolEnd { id, key, output, error } => {
                let (key, end) = match protocol::tool_end(&key, output, error) {
                    Ok(ended) => ended,
                    Err(wrong) => return Some(protocol::error(id.as_ref(), &wrong, false)),
                };
                // As a send: what the program says next comes after it.
                self.pending.send(async move {
                    match context.end_tool(key, end).await {
                        Ok(()) => id.map(|id| protocol::ended(&id)),
                        Err(refusal) => Some(protocol::refused(id.as_ref(), &refusal)),
                    }
                });
                None
            }
            // The caller has taken the other lines itself.
            _ => None,
        }
    }
}

fn with_priority(message: AgentMessage, priority: Option<MessagePriority>) -> AgentMessage {
    match priority {
        Some(priority) => message.with_priority(priority),
        None => message,
    }
}

fn unknown(id: Option<&Value>, to: &str) -> Value {
    protocol::error(id, &format!("no agent is called `{to}`"), false)
}
