//! One attempt at one message: open a session, take a turn, pass the answer on, settle.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use orch_bus::QuestionFailure;
use orch_connect::{Context, DynSession, SessionSpec, Turn};
use orch_core::{
    AgentMessage, AgentStatus, AttemptError, Content, DeadLetter, EventKind, Failure, Outcome,
    RestartPolicy, Severity, Timestamp,
};
use orch_journal::Record;

use crate::agent_state::Agent;
use crate::clock::{Moment, Ticker};
use crate::durable::{Begin, End};
use crate::host::AttemptHost;
use crate::metrics::Shard;
use crate::pool::Slot;
use crate::registry::Entry;
use crate::router::{REFUSALS_MAX, Router, refused, routed};
use crate::run::Run;
use crate::scheduler::{AgentFate, HandOut, Next, Settled, Settling, Spare};
use crate::turn::{TurnEnd, whatever_observers_do, within_limits};
use crate::verdict::{Circumstances, Ended, Verdict, verdict};
use crate::worker::{self, BATCH, Done, Job};

/// What one attempt leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    /// A turn that can be used again.
    turn: Option<Arc<Turn<AttemptHost>>>,
    ticker: Ticker,
}

/// Handles what waits for one agent, a batch at most.
///
/// What most messages need happens in here without a future of its own: each of those would be
/// written and moved for every message. What few need waits behind a pointer.
pub(crate) async fn activate(run: &Arc<Run>, job: Job, keep: &mut Keep) -> Done {
    let Job { mailbox, slot } = job;
    let mut done = Done { mailbox, slot: Some(slot), again: None, n_messages: 0 };
    let Some(agent) = run.known(&done.mailbox) else { return done };
    let mut time = keep.ticker.begin(&run.clock, shift(run));
    let mut next = run.first(agent, time.now);
    while let Next::HandOut(out, session) = next {
        done.n_messages += 1;
        let guard = Abandoned::begin(run, agent, &out, keep.turn.take(), done.slot.take());
        let mut attempt = Attempt { guard, out, session };
        let Turned { ended, output, is_spoilt } = attempt.take_turn().await;
        let handling = attempt.end_turn(keep, &mut time);
        let is_acked = ended == Ended::Acked;
        // What is to be tried again waits from now on, and not from a reading that is shared.
        let now = if is_acked { time.now } else { run.now() };
        let restarts = is_acked && attempt.session_ended();
        let mut verdict = attempt.judge(ended, now);
        // The next attempt starts only after nothing of this session is left.
        if let Some(session) = attempt.session_to_close(&verdict, is_spoilt) {
            session.close().await;
        }
        if run.durable.is_some() {
            // Journal-before-effect: nobody sees the end of an attempt that a restart would undo.
            Box::pin(attempt.record_end(&mut verdict, output.as_ref(), (now, handling))).await;
        }
        let letter = match run.durable.is_some() {
            false => attempt.note(&verdict, output.as_ref(), (now, handling)),
            // It is recorded: whatever observers do, the message does not go back.
            true => {
                whatever_observers_do(|| {
                    attempt.note(&verdict, output.as_ref(), (now, handling));
                });
                None
            }
        };
        if let Some(router) = &run.options.router
            && run.durable.is_none()
        {
            let said = attempt.routed(&**router, &verdict, output.as_ref(), letter);
            if !said.is_empty() {
                Box::pin(send_routed(run, attempt.guard.host(), said)).await;
            }
        }
        attempt.answer(&verdict, output);
        attempt.guard.look_for_slot();
        // What was awaited since may have taken its time.
        time = keep.ticker.begin(&run.clock, shift(run));
        // Between two messages an agent yields to whoever is more urgent.
        let may_go_on = done.n_messages < BATCH && !run.pool.is_scarce();
        let goes_on = may_go_on && attempt.guard.slot.is_some();
        let Attempt { mut guard, out: HandOut { delivery, state, round, .. }, session } = attempt;
        let settling = Settling { delivery, state, round, verdict, restarts, session };
        let Settled { fate, is_idle, next: follows } =
            run.settle(agent, settling, goes_on, time.now);
        (done.slot, keep.turn) = guard.end();
        if is_idle || fate != AgentFate::GoesOn {
            // What comes next is in this hand alone.
            whatever_observers_do(|| {
                tell_fate(run, &agent.entry, fate);
                if is_idle {
                    tell_status(run, &agent.entry, || AgentStatus::Idle);
                }
            });
        }
        next = follows;
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

/// Where this thread counts what happens with each message.
fn counts(run: &Run) -> &Shard {
    let metrics = &run.inner.metrics;
    worker::here(run).map_or_else(|| metrics.shared(), |here| metrics.shard(here.index))
}

/// One attempt at one message. If it is dropped before it is settled, the guard is first, and then the
/// delivery puts itself back.
struct Attempt<'a> {
    guard: Abandoned<'a>,
    out: HandOut<'a>,
    session: Spare,
}

/// How a turn went.
struct Turned {
    ended: Ended,
    output: Option<Content>,
    /// Whether its session must not be used again.
    is_spoilt: bool,
}

impl Turned {
    fn without_output(ended: Ended, is_spoilt: bool) -> Self {
        Self { ended, output: None, is_spoilt }
    }
}

impl Attempt<'_> {
    async fn take_turn(&mut self) -> Turned {
        if self.out.is_expired {
            return Turned::without_output(Ended::Expired, false);
        }
        let Abandoned { run, agent, .. } = self.guard;
        if let Some(durable) = &run.durable {
            // Journal-before-effect: an attempt that kills the process is counted.
            let host = self.guard.host();
            let begin = Box::pin(durable.begin(run, host, &self.out)).await;
            self.guard.is_recorded = matches!(begin, Begin::Recorded);
            if let Begin::EndedBefore = begin {
                return Turned::without_output(Ended::Before, false);
            }
            if let Begin::FailedBefore { next } = begin {
                let error = "what it failed with is in the journal alone";
                for attempt in self.out.attempt..next {
                    let failed = AttemptError::new(attempt, error, self.out.now);
                    self.out.delivery.note_attempt(failed);
                }
            }
            if !self.guard.is_recorded || run.is_cut() {
                return Turned::without_output(Ended::Cut, false);
            }
        }
        let connector = match run.connector_of(agent) {
            Ok(connector) => connector,
            Err(error) => {
                return Turned::without_output(Ended::CannotRun(error.to_string()), false);
            }
        };
        let entry = &agent.entry;
        let context = Context::of(self.guard.turn().clone());
        let timeout = match entry.config.timeout_ms {
            u64::MAX => None,
            millis => Some(Duration::from_millis(millis)),
        };
        let session = &mut self.session;
        let work = pin!(async {
            if !session.as_ref().is_some_and(|session| session.is_open()) {
                if let Some(ended) = session.take() {
                    ended.close().await;
                }
                let spec = SessionSpec::new(entry.id, entry.config.clone());
                *session = Some(connector.open(spec).await?);
            }
            let session = session.as_mut().expect("a session was there or was opened above");
            Ok(session.turn(context).await)
        });
        let turned = read(within_limits(work, timeout, &run.cut).await, entry.config.timeout_ms);
        if run.durable.is_some() { with_steps(self.guard.host(), turned) } else { turned }
    }

    /// Records the end with all that follows from it. What cannot be recorded has not ended: it goes
    /// back.
    #[cold]
    async fn record_end(
        &mut self,
        verdict: &mut Verdict,
        output: Option<&Content>,
        (now, handling): (Timestamp, Duration),
    ) {
        let Some(durable) = &self.guard.run.durable else { return };
        let is_recorded = match (&*verdict, self.guard.is_recorded) {
            // It never began.
            (Verdict::PutBack, false) | (Verdict::Forget, _) => true,
            _ => {
                let (run, host, out) = (&**self.guard.run, self.guard.host(), &self.out);
                let usage = host.usage();
                let verdict = &*verdict;
                let end = End { run, host, out, verdict, output, usage, now, handling };
                durable.end(&end).await
            }
        };
        self.guard.is_recorded = false;
        if !is_recorded {
            *verdict = Verdict::PutBack;
        }
    }

    /// Ends the turn, and answers how long it took.
    fn end_turn(&mut self, keep: &mut Keep, time: &mut Moment) -> Duration {
        self.guard.end_turn();
        let run = self.guard.run;
        let (end, handling) = keep.ticker.end(&run.clock, shift(run), *time);
        *time = end;
        if !self.out.is_expired {
            counts(run).took(handling, 1);
        }
        handling
    }

    /// Whether the session ended by itself, and the agent is to be restarted all the same.
    fn session_ended(&self) -> bool {
        let is_open = self.session.as_ref().is_some_and(|session| session.is_open());
        !is_open && self.guard.agent.entry.config.restart == RestartPolicy::Always
    }

    /// Decides what follows.
    fn judge(&self, ended: Ended, now: Timestamp) -> Verdict {
        let Abandoned { run, agent, .. } = self.guard;
        let about = Circumstances {
            attempt: self.out.attempt,
            max_retries: agent.entry.config.max_retries,
            deadline: self.out.delivery.deadline(),
            is_retired: agent.entry.is_unregistered(),
            now,
            retry: &run.options.retry,
        };
        verdict(ended, &about, &mut || run.inner.random())
    }

    /// The session, if no other attempt may use it.
    fn session_to_close(
        &mut self,
        verdict: &Verdict,
        is_spoilt: bool,
    ) -> Option<Box<dyn DynSession>> {
        let Abandoned { run, agent, .. } = self.guard;
        // A message that expired before its attempt says nothing about a session that it did not use.
        let gives_up = matches!(verdict, Verdict::GiveUp { .. }) && !self.out.is_expired;
        // After a cut the run may have put its sessions away already.
        let is_last = is_spoilt || gives_up || agent.entry.is_unregistered() || run.is_cut();
        self.session.take_if(|_| is_last)
    }

    /// Counts and tells what was decided; answers the dead letter, if it is one.
    fn note(
        &mut self,
        verdict: &Verdict,
        output: Option<&Content>,
        (now, handling): (Timestamp, Duration),
    ) -> Option<DeadLetter> {
        let Abandoned { run, agent, .. } = self.guard;
        let (out, bus) = (&mut self.out, &run.inner.bus);
        match verdict {
            Verdict::Ack => {
                counts(run).handled(1);
                agent.entry.messages.bump();
                bus.events().emit(Severity::Debug, || EventKind::Settled {
                    agent: agent.entry.id,
                    message: out.delivery.id(),
                    attempt: out.attempt,
                    output: output.cloned(),
                    usage: self.guard.host().usage(),
                    handling_ms: u64::try_from(handling.as_millis()).unwrap_or(u64::MAX),
                });
                None
            }
            Verdict::Forget => None,
            Verdict::Retry { at, error } => {
                run.inner.metrics.errors.bump();
                out.delivery.note_attempt(AttemptError::new(out.attempt, error.clone(), now));
                tell_retry(run, agent, out, error, *at);
                None
            }
            Verdict::PutBack => {
                bus.events().emit(Severity::Debug, || EventKind::PutBack {
                    agent: agent.entry.id,
                    message: out.delivery.id(),
                });
                None
            }
            Verdict::GiveUp { reason, error, .. } => {
                if let Some(error) = error {
                    run.inner.metrics.errors.bump();
                    out.delivery.note_attempt(AttemptError::new(out.attempt, error.clone(), now));
                }
                let message = AgentMessage::clone(&out.delivery);
                let letter = DeadLetter::new(message, reason.clone(), now)
                    .with_attempts(out.delivery.attempts().to_vec());
                run.inner.keep_letter(letter.clone());
                Some(letter)
            }
        }
    }

    /// What the router says to it.
    fn routed(
        &self,
        router: &dyn Router,
        verdict: &Verdict,
        output: Option<&Content>,
        letter: Option<DeadLetter>,
    ) -> Vec<AgentMessage> {
        let agent = self.guard.agent.entry.id;
        match (verdict, letter) {
            (Verdict::Ack, _) => routed(|| router.settled(agent, &self.out.delivery, output)),
            (_, Some(letter)) => routed(|| router.given_up(&letter)),
            _ => Vec::new(),
        }
    }

    /// Passes the answer to whoever asked, before the message is settled, as what the router says is: a
    /// run never looks complete while an answer is on its way.
    fn answer(&self, verdict: &Verdict, output: Option<Content>) {
        if *verdict != Verdict::Ack {
            return;
        }
        let (bus, message) = (&self.guard.run.inner.bus, &self.out.delivery);
        match output {
            Some(output) => drop(bus.answer(message.id(), output)),
            None => drop(bus.fail_question(message.id(), QuestionFailure::NoAnswer(message.to()))),
        }
    }
}

/// The turn of an attempt; that of another attempt serves again if nobody else knows it.
fn turn_for(
    run: &Arc<Run>,
    agent: &Arc<Agent>,
    out: &HandOut<'_>,
    kept: Option<Arc<Turn<AttemptHost>>>,
) -> Arc<Turn<AttemptHost>> {
    let message = AgentMessage::clone(&out.delivery);
    if let Some(mut kept) = kept
        && let Some(former) = Arc::get_mut(&mut kept)
    {
        former.renew(message, out.attempt).renew(agent.index, out);
        return kept;
    }
    let host = AttemptHost::new(run.clone(), agent.index, out);
    Arc::new(Turn::new(host, message, out.attempt))
}

fn begin(run: &Run, agent: &Agent, out: &HandOut<'_>) {
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

type Answered = Result<Outcome, orch_connect::ConnectError>;

/// What the end of a turn means, what came out of it, and whether it spoilt its session.
fn read(end: TurnEnd<Answered>, timeout_ms: u64) -> Turned {
    let (ended, is_spoilt) = match end {
        TurnEnd::Returned(Ok(Outcome::Ack { output })) => {
            return Turned { ended: Ended::Acked, output, is_spoilt: false };
        }
        TurnEnd::Returned(Ok(Outcome::Nack(failure))) => (Ended::Failed(failure), false),
        TurnEnd::Returned(Ok(_)) => {
            let error = "the connector reported an outcome that is not known here";
            (Ended::Failed(Failure::last(error)), false)
        }
        TurnEnd::Returned(Err(error)) if error.is_transient() => {
            (Ended::Failed(Failure::transient(error.to_string())), true)
        }
        TurnEnd::Returned(Err(error)) => (Ended::CannotRun(error.to_string()), true),
        TurnEnd::Panicked(text) => {
            (Ended::Failed(Failure::transient(format!("the handler panicked: {text}"))), true)
        }
        TurnEnd::TimedOut => {
            (Ended::Failed(Failure::transient(format!("timed out after {timeout_ms} ms"))), true)
        }
        TurnEnd::Cut => (Ended::Cut, true),
    };
    Turned::without_output(ended, is_spoilt)
}

/// An attempt about whose steps a person has to decide has failed, whatever its handler made of that.
#[cold]
fn with_steps(host: &AttemptHost, turned: Turned) -> Turned {
    match host.stuck().get() {
        Some(reason) if turned.ended != Ended::Cut => {
            Turned::without_output(Ended::Undecided(reason.clone()), true)
        }
        _ => turned,
    }
}

/// Tells what became of the agent.
fn tell_fate(run: &Run, entry: &Entry, fate: AgentFate) {
    let agent = entry.id;
    let events = run.inner.bus.events();
    match fate {
        AgentFate::GoesOn => {}
        AgentFate::Restarted { restarts } => {
            if let Some(durable) = &run.durable {
                durable.tell(vec![Record::AgentRestarted { agent, restarts }]);
            }
            events.emit(Severity::Warn, || EventKind::Restarted { agent, restarts });
        }
        AgentFate::Failed { error } => {
            if let Some(durable) = &run.durable {
                durable.tell(vec![Record::AgentFailed { agent, error: error.clone() }]);
            }
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

fn tell_retry(run: &Run, agent: &Agent, out: &HandOut<'_>, error: &str, retry_at: Timestamp) {
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
struct Abandoned<'a> {
    run: &'a Arc<Run>,
    agent: &'a Arc<Agent>,
    /// Invariant: `Some` until it is settled.
    turn: Option<Arc<Turn<AttemptHost>>>,
    slot: Option<Slot>,
    /// Whether the turn has left nothing behind in the host, and nobody else knows it.
    is_left_as_new: bool,
    /// Whether the journal knows that it began, and not yet how it ended.
    is_recorded: bool,
}

impl<'a> Abandoned<'a> {
    fn begin(
        run: &'a Arc<Run>,
        agent: &'a Arc<Agent>,
        out: &HandOut<'_>,
        kept: Option<Arc<Turn<AttemptHost>>>,
        slot: Option<Slot>,
    ) -> Self {
        let turn = Some(turn_for(run, agent, out, kept));
        let guard = Self { run, agent, turn, slot, is_left_as_new: false, is_recorded: false };
        begin(run, agent, out);
        guard
    }

    fn turn(&self) -> &Arc<Turn<AttemptHost>> {
        self.turn.as_ref().expect("it has its turn until it is settled")
    }

    fn host(&self) -> &AttemptHost {
        self.turn().host()
    }

    fn end_turn(&mut self) {
        // Whatever the router says is sent in the name of a turn that is over.
        if self.run.options.router.is_none() {
            let sole = self.turn.as_mut().and_then(Arc::get_mut);
            self.is_left_as_new = sole.is_some_and(|turn| turn.host().is_as_new());
        }
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

    /// It is settled; answers its slot, and its turn if another attempt can use it.
    fn end(&mut self) -> (Option<Slot>, Option<Arc<Turn<AttemptHost>>>) {
        let turn = self.turn.take();
        (self.slot.take(), turn.filter(|_| self.is_left_as_new))
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.turn.is_none() {
            return;
        }
        self.host().end_turn();
        if let Some(durable) = &self.run.durable
            && self.is_recorded
        {
            durable.abandon(self.agent.entry.id, self.host().message());
        }
        self.is_left_as_new = false;
        self.look_for_slot();
        drop(self.slot.take());
        let Self { run, agent, .. } = *self;
        let fate = run.abandon(agent);
        // An observer that panicked is the likeliest reason to be here, and must not do so again.
        whatever_observers_do(|| tell_fate(run, &agent.entry, fate));
        run.pool.attachment.wake();
    }
}
