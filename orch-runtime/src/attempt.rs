//! One attempt at one message: open a session, take a turn, pass the answer on, settle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use orch_bus::{Delivery, QuestionFailure};
use orch_connect::{Context, SessionSpec, Turn};
use orch_core::{
    AgentMessage, AgentStatus, AttemptError, Content, DeadLetter, DeadLetterReason, EventKind,
    Failure, Outcome, Severity, Timestamp,
};

use crate::agent_state::Agent;
use crate::clock::{Moment, Ticker};
use crate::host::AttemptHost;
use crate::metrics::Shard;
use crate::pool::Slot;
use crate::registry::Entry;
use crate::router::{REFUSALS_MAX, refused, routed};
use crate::run::Run;
use crate::scheduler::{AgentFate, HandOut, Next, Settled, Settling, Spare};
use crate::turn::{TurnEnd, within_limits};
use crate::verdict::{Circumstances, Ended, Verdict, verdict};
use crate::worker::{self, BATCH, Done, Job};

/// How a turn went, and what it left behind.
struct Turned {
    ended: Ended,
    output: Option<Content>,
    session_ended: bool,
    session: Spare,
    /// Whether the session must not be used again.
    is_spoilt: bool,
}

/// What one attempt leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    /// A turn that can be used again.
    turn: Option<Arc<Turn<AttemptHost>>>,
    ticker: Ticker,
}

/// Handles what waits for one agent, a batch at most.
pub(crate) async fn activate(run: &Arc<Run>, job: Job, keep: &mut Keep) -> Done {
    let Job { mailbox, slot } = job;
    let mut done = Done { mailbox, slot: Some(slot), again: None, n_messages: 0 };
    let Some(agent) = run.known(&done.mailbox) else { return done };
    let mut began = keep.ticker.begin(&run.clock, shift(run));
    let mut next = run.first(agent, began.now);
    while let Next::HandOut(out, session) = next {
        done.n_messages += 1;
        let is_last = done.n_messages >= BATCH;
        next = attempt(run, agent, out, session, &mut done.slot, keep, &mut began, is_last).await;
    }
    if let Next::Again(urgency) = next {
        done.again = Some(urgency);
    }
    done
}

/// The shift of the worker that runs the caller in place.
fn shift(run: &Run) -> Option<u64> {
    worker::here(run).map(|here| here.shift)
}

#[expect(clippy::too_many_arguments, reason = "an activation and its attempt are one function")]
async fn attempt(
    run: &Arc<Run>,
    agent: &Arc<Agent>,
    mut out: HandOut,
    session: Spare,
    slot: &mut Option<Slot>,
    keep: &mut Keep,
    time: &mut Moment,
    is_last: bool,
) -> Next {
    let of_it = turn_for(run, agent, &out, keep.turn.take());
    let mut guard =
        Abandoned { turn: of_it, slot: slot.take(), is_left_as_new: false, armed: true };
    begin(run, agent, &out);
    let turned = take_turn(run, agent, &guard.turn, &out, session).await;
    guard.end_turn();
    let (end, handling) = keep.ticker.end(&run.clock, shift(run), *time);
    *time = end;
    if !out.is_expired {
        counts(run).took(handling, 1);
    }
    let (verdict, session_ended, session) =
        conclude(run, agent, guard.turn.host(), &mut out, turned, (end.now, handling)).await;
    guard.look_for_slot();
    // What was awaited since may have taken its time.
    *time = keep.ticker.begin(&run.clock, shift(run));
    // Between two messages an agent yields to whoever is more urgent.
    let goes_on = !is_last && guard.slot.is_some() && !run.pool.is_scarce();
    let HandOut { delivery, state, round, .. } = out;
    let settling = Settling { delivery, state, round, verdict, session_ended, session };
    let Settled { fate, is_idle, next } = run.settle(agent, settling, goes_on, time.now);
    guard.armed = false;
    tell_fate(run, &agent.entry, fate);
    if is_idle {
        tell_status(run, &agent.entry, || AgentStatus::Idle);
    }
    *slot = guard.slot.take();
    if guard.is_left_as_new {
        keep.turn = Some(guard.turn.clone());
    }
    next
}

/// The turn of an attempt; that of another attempt serves again if nobody else knows it.
fn turn_for(
    run: &Arc<Run>,
    agent: &Arc<Agent>,
    out: &HandOut,
    kept: Option<Arc<Turn<AttemptHost>>>,
) -> Arc<Turn<AttemptHost>> {
    let message = AgentMessage::clone(&out.delivery);
    if let Some(mut kept) = kept
        && let Some(former) = Arc::get_mut(&mut kept)
    {
        former.renew(message, out.attempt).renew(agent, out);
        return kept;
    }
    let host = AttemptHost::new(run.clone(), agent.clone(), out);
    Arc::new(Turn::new(host, message, out.attempt))
}

/// Where this thread counts what happens with each message.
fn counts(run: &Run) -> &Shard {
    let metrics = &run.inner.metrics;
    worker::here(run).map_or_else(|| metrics.shared(), |here| metrics.shard(here.index))
}

fn begin(run: &Run, agent: &Agent, out: &HandOut) {
    let entry = &agent.entry;
    if out.was_idle {
        tell_status(run, entry, || AgentStatus::Processing);
    }
    if out.is_expired {
        return; // Nothing is attempted.
    }
    if out.attempt == 1 {
        counts(run).waited(out.now.since(out.delivery.created_at()));
    } else {
        run.inner.metrics.retries.bump();
    }
    run.inner.bus.events().emit(Severity::Debug, || EventKind::Started {
        agent: entry.id,
        message: out.delivery.id(),
        priority: out.delivery.priority(),
        attempt: out.attempt,
        round: out.round,
    });
}

async fn take_turn(
    run: &Arc<Run>,
    agent: &Arc<Agent>,
    turn: &Arc<Turn<AttemptHost>>,
    out: &HandOut,
    mut session: Spare,
) -> Turned {
    let nothing = |ended| Turned {
        ended,
        output: None,
        session_ended: false,
        session: None,
        is_spoilt: false,
    };
    if out.is_expired {
        return nothing(Ended::Expired);
    }
    let connector = match run.connector_of(agent) {
        Ok(connector) => connector.clone(),
        Err(error) => return nothing(Ended::CannotRun(error.to_string())),
    };
    let entry = &agent.entry;
    let context = Context::of(turn.clone());
    let timeout = match entry.config.timeout_ms {
        u64::MAX => None,
        millis => Some(Duration::from_millis(millis)),
    };
    let end = {
        let work = pin!(async {
            if !session.as_ref().is_some_and(|session| session.is_open()) {
                if let Some(ended) = session.take() {
                    ended.close().await;
                }
                let spec = SessionSpec::new(entry.id, entry.config.clone());
                session = Some(connector.open(spec).await?);
            }
            let session = session.as_mut().expect("a session was there or was opened above");
            Ok(session.turn(context).await)
        });
        within_limits(work, timeout, &run.cut).await
    };
    let (ended, output, is_spoilt) = read(end, entry.config.timeout_ms);
    let is_open = session.as_ref().is_some_and(|session| session.is_open());
    let session_ended = ended == Ended::Acked && !is_open;
    Turned { ended, output, session_ended, session, is_spoilt }
}

type Answered = Result<Outcome, orch_connect::ConnectError>;

/// What the end of a turn means, what came out of it, and whether it spoilt its session.
fn read(end: TurnEnd<Answered>, timeout_ms: u64) -> (Ended, Option<Content>, bool) {
    match end {
        TurnEnd::Returned(Ok(Outcome::Ack { output })) => (Ended::Acked, output, false),
        TurnEnd::Returned(Ok(Outcome::Nack(failure))) => (Ended::Failed(failure), None, false),
        TurnEnd::Returned(Ok(_)) => {
            let failure = Failure::last("the connector reported an outcome that is not known here");
            (Ended::Failed(failure), None, false)
        }
        TurnEnd::Returned(Err(error)) if error.is_transient() => {
            (Ended::Failed(Failure::transient(error.to_string())), None, true)
        }
        TurnEnd::Returned(Err(error)) => (Ended::CannotRun(error.to_string()), None, true),
        TurnEnd::Panicked(text) => {
            (Ended::Failed(Failure::transient(format!("the handler panicked: {text}"))), None, true)
        }
        TurnEnd::TimedOut => (
            Ended::Failed(Failure::transient(format!("timed out after {timeout_ms} ms"))),
            None,
            true,
        ),
        TurnEnd::Cut => (Ended::Cut, None, true),
    }
}

/// Decides what follows, and passes on what comes of it. Answers the verdict, whether the session
/// ended by itself, and the session if it is kept.
async fn conclude(
    run: &Arc<Run>,
    agent: &Agent,
    host: &AttemptHost,
    out: &mut HandOut,
    turned: Turned,
    (now, handling): (Timestamp, Duration),
) -> (Verdict, bool, Spare) {
    let Turned { ended, output, session_ended, session, is_spoilt } = turned;
    let about = Circumstances {
        attempt: out.attempt,
        max_retries: agent.entry.config.max_retries,
        deadline: out.delivery.deadline(),
        is_retired: agent.entry.is_gone(),
        now,
        retry: &run.options.retry,
    };
    let verdict = verdict(ended, &about, &mut || run.inner.random());
    let gives_up = matches!(verdict, Verdict::GiveUp { .. });
    // The next attempt starts only after nothing of this session is left.
    let restarts = session_ended && restarts_always(agent);
    // After a cut the run may have put its sessions away already.
    let is_last = gives_up || about.is_retired || run.cut.is_cancelled();
    let kept = match session {
        Some(session) if is_spoilt || is_last => {
            session.close().await;
            None
        }
        session => session,
    };
    match &verdict {
        Verdict::Ack => pass_on(run, agent, host, out, output, handling).await,
        Verdict::Retry { at, error } => {
            run.inner.metrics.errors.bump();
            out.delivery.note_attempt(AttemptError::new(out.attempt, error.clone(), now));
            tell_retry(run, agent, out, error, *at);
        }
        Verdict::PutBack => run.inner.bus.events().emit(Severity::Debug, || EventKind::PutBack {
            agent: agent.entry.id,
            message: out.delivery.id(),
        }),
        Verdict::GiveUp { reason, error, .. } => {
            if let Some(error) = error {
                run.inner.metrics.errors.bump();
                out.delivery.note_attempt(AttemptError::new(out.attempt, error.clone(), now));
            }
            give_up(run, host, &out.delivery, reason.clone()).await;
        }
    }
    (verdict, restarts, kept)
}

fn restarts_always(agent: &Agent) -> bool {
    agent.entry.config.restart == orch_core::RestartPolicy::Always
}

/// Tells what became of the agent.
fn tell_fate(run: &Run, entry: &Entry, fate: AgentFate) {
    let agent = entry.id;
    let events = run.inner.bus.events();
    match fate {
        AgentFate::GoesOn => {}
        AgentFate::Restarted { restarts } => {
            events.emit(Severity::Warn, || EventKind::Restarted { agent, restarts });
        }
        AgentFate::Failed { error } => {
            events.emit(Severity::Error, || EventKind::AgentFailed { agent, error: error.clone() });
            tell_status(run, entry, || AgentStatus::Failed { reason: error.clone() });
            let failure = QuestionFailure::AgentFailed { agent, error };
            run.inner.bus.fail_questions_to(agent, &failure);
        }
    }
}

pub(crate) fn tell_status(run: &Run, entry: &Entry, status: impl FnOnce() -> AgentStatus) {
    let changed = || EventKind::StatusChanged { agent: entry.id, status: status() };
    run.inner.bus.events().emit(Severity::Debug, changed);
}

/// Passes the answer to whoever asked, or along the flow, before the message is settled: a run
/// never looks complete while an answer is on its way.
async fn pass_on(
    run: &Arc<Run>,
    agent: &Agent,
    host: &AttemptHost,
    out: &HandOut,
    output: Option<Content>,
    handling: Duration,
) {
    let message = &*out.delivery;
    let bus = &run.inner.bus;
    counts(run).handled(1);
    agent.entry.messages.bump();
    bus.events().emit(Severity::Debug, || EventKind::Settled {
        agent: agent.entry.id,
        message: message.id(),
        attempt: out.attempt,
        output: output.clone(),
        usage: host.usage(),
        handling_ms: u64::try_from(handling.as_millis()).unwrap_or(u64::MAX),
    });
    if let Some(router) = &run.options.router {
        let agent = agent.entry.id;
        let route = || router.settled(agent, message, output.as_ref());
        send_routed(run, host, routed(route)).await;
    }
    match output {
        Some(output) => drop(bus.answer(message.id(), output)),
        None => drop(bus.fail_question(message.id(), QuestionFailure::NoAnswer(message.to()))),
    }
}

/// Makes a dead letter of a message, and tells everybody who waits for it.
async fn give_up(
    run: &Arc<Run>,
    host: &AttemptHost,
    delivery: &Delivery,
    reason: DeadLetterReason,
) {
    let letter = DeadLetter::new(AgentMessage::clone(delivery), reason, run.now())
        .with_attempts(delivery.attempts().to_vec());
    run.inner.keep_letter(letter.clone());
    if let Some(router) = &run.options.router {
        send_routed(run, host, routed(|| router.given_up(&letter))).await;
    }
}

async fn send_routed(run: &Arc<Run>, host: &AttemptHost, messages: Vec<AgentMessage>) {
    // What a refused message makes the router send is sent as well: a queue, not a recursion.
    let mut messages = std::collections::VecDeque::from(messages);
    let mut n_refused = 0;
    while let Some(message) = messages.pop_front() {
        if let Err(error) = host.send_routed(message).await {
            let letter = refused(error, run.now());
            run.inner.keep_letter(letter.clone());
            n_refused += 1;
            if let Some(router) = &run.options.router
                && n_refused <= REFUSALS_MAX
            {
                messages.extend(routed(|| router.given_up(&letter)));
            }
        }
    }
}

fn tell_retry(run: &Run, agent: &Agent, out: &HandOut, error: &str, retry_at: Timestamp) {
    run.inner.bus.events().emit(Severity::Warn, || EventKind::RetryScheduled {
        agent: agent.entry.id,
        message: out.delivery.id(),
        attempt: out.attempt,
        error: error.to_owned(),
        retry_at,
    });
}

/// An attempt that is dropped before it is settled: a panic outside of the handler, or the end of
/// the tokio runtime. Its delivery puts itself back; the agent must not take it again and again.
struct Abandoned {
    turn: Arc<Turn<AttemptHost>>,
    slot: Option<Slot>,
    /// Whether the turn has left nothing behind in the host, and nobody else knows it.
    is_left_as_new: bool,
    armed: bool,
}

impl Abandoned {
    fn host(&self) -> &AttemptHost {
        self.turn.host()
    }

    fn end_turn(&mut self) {
        // Whatever the router says is sent in the name of a turn that is over.
        let may_be_new = self.host().run.options.router.is_none();
        let sole = if may_be_new { Arc::get_mut(&mut self.turn) } else { None };
        self.is_left_as_new = sole.is_some_and(|turn| turn.host().is_as_new());
        if !self.is_left_as_new {
            self.host().end_turn();
        }
    }

    /// Looks whether the slot is still held.
    fn look_for_slot(&mut self) {
        if !self.is_left_as_new && !self.host().take_slot() {
            self.slot.take().into_iter().for_each(Slot::forget);
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        self.host().end_turn();
        self.is_left_as_new = false;
        self.look_for_slot();
        drop(self.slot.take());
        let run = &self.host().run;
        let fate = run.abandon(&self.host().agent);
        // An observer that panicked is the likeliest reason to be here, and must not do so again.
        let tell = || tell_fate(run, &self.host().agent.entry, fate);
        let _ = catch_unwind(AssertUnwindSafe(tell));
        run.pool.attachment.wake();
    }
}
