//! The journal as the runtime uses it: what happens is recorded before anybody can see its effect
//! (*journal-before-effect*).
//!
//! ```text
//! accepted ──▶ lane        attempt started ──▶ handler       step ──▶ whoever it goes to
//! reply, usage, ack and what goes on as its consequence: one set
//! ```
//!
//! Two ways to record. `write` waits for the commit, and is for whatever has an effect. `tell` does not
//! wait, for what only says more about what was recorded; it is in its order all the same (`told`).

mod batch;
mod ends;
mod host;
mod many;
mod past;
mod recover;
mod replay;
mod retire;
mod told;
mod tools;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use orch_bus::{Admission, Commit, CommitFuture, QuestionFailure, Refusal};
use orch_core::{AgentId, AgentMessage, DeadLetter, MessageId, StepKey, StopReason, Timestamp};
use orch_journal::{CommitError, Illegal, Journal, Record, Seq, State, sent_afresh};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::orchestrator::Inner;

pub(crate) use batch::send_all;
pub(crate) use ends::Begin;
pub(crate) use ends::End;
pub(crate) use host::Stuck;
pub(crate) use many::Many;
pub use past::{Past, PastError};
pub use recover::RecoverError;
pub(crate) use recover::{Continued, Resumed, Unbound};

use told::Told;

/// The pause before a write is tried again that found the disk full, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What makes an orchestrator durable.
pub(crate) struct Durable {
    pub(crate) journal: Arc<Journal>,
    inner: OnceLock<Weak<Inner>>,
    told: Arc<Told>,
    /// Sends that go on although whoever made them is gone.
    rests: TaskTracker,
    /// Where handling goes on that a restart interrupted; asked once for each message.
    resumed: Mutex<HashMap<MessageId, Resumed>>,
    /// What the next run goes on with.
    continued: Mutex<Option<Arc<Continued>>>,
    /// Whether a run has begun since the restart.
    has_begun: AtomicBool,
    /// Agents of an earlier process, by name, which nobody has spawned again yet.
    unbound: Mutex<HashMap<String, VecDeque<AgentId>>>,
    /// Questions that handlers ask: which step of whose, so that its answer is recorded with the ack.
    questions: Mutex<HashMap<MessageId, (AgentId, StepKey)>>,
    /// Whose router is asked, and whose set is written: one end of an attempt at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Why something was not recorded. Nothing that follows from it may happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    /// The journal refuses it, for what it is.
    #[error(transparent)]
    Illegal(Illegal),
    /// The journal takes nothing now, or never will; the run stops.
    #[error("{0}")]
    Failed(String),
    /// There was no room before the run was cut off.
    #[error("the run was cut off before the journal had room")]
    Cut,
}

impl Durable {
    fn new(journal: Arc<Journal>) -> Self {
        Self {
            told: Told::new(journal.clone()),
            journal,
            inner: OnceLock::new(),
            rests: TaskTracker::new(),
            resumed: Mutex::default(),
            continued: Mutex::default(),
            has_begun: AtomicBool::new(false),
            unbound: Mutex::default(),
            questions: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Records a set before what follows from it; waits while the disk is full, until `cut`.
    ///
    /// After an error other than [`Unwritten::Illegal`] the run stops.
    pub(crate) async fn write(
        &self,
        records: Vec<Record>,
        cut: &CancellationToken,
    ) -> Result<Seq, Unwritten> {
        let (mut pause, longest) = PAUSE;
        tokio::select! {
            biased; // In the order of what was told before.
            () = self.told.caught_up() => {}
            () = cut.cancelled() => return Err(Unwritten::Cut),
        }
        loop {
            // A copy shares all texts.
            let error = match self.journal.commit(Timestamp::now(), records.clone()).await {
                Ok(seq) => return Ok(seq),
                Err(CommitError::Illegal(illegal)) => return Err(Unwritten::Illegal(illegal)),
                Err(error) => error,
            };
            if !is_transient(&error) {
                let error = error.to_string();
                self.stop_run(&error);
                return Err(Unwritten::Failed(error));
            }
            tracing::warn!(target: "orch", %error, "what happened waits to be recorded");
            tokio::select! {
                biased; // A stop before another try.
                () = cut.cancelled() => return Err(Unwritten::Cut),
                () = sleep(pause) => pause = (pause * 2).min(longest),
            }
        }
    }

    /// Records what says more about what was recorded before. Does not wait.
    pub(crate) fn tell(&self, records: Vec<Record>) {
        self.told.tell(records);
    }

    /// Records that a message was given up, and its question with it.
    pub(crate) fn tell_letter(&self, letter: &DeadLetter) {
        self.tell(vec![Record::DeadLettered { letter: letter.clone() }]);
        self.fail_question_of(letter);
    }

    /// Records that nobody will answer the question that a letter is, if it is one.
    fn fail_question_of(&self, letter: &DeadLetter) {
        let question = letter.message.id();
        if let Some((agent, _)) = self.asked(question) {
            let error = letter.reason.to_string();
            self.tell(vec![Record::QuestionFailed { agent, question, error }]);
            self.forget_question(question);
        }
    }

    /// Asks the state something. While the disk has no room there is nothing to be asked: it waits, until
    /// `cut`.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        question: impl Fn(&State) -> T + Clone + Send + 'static,
        cut: &CancellationToken,
    ) -> Result<T, CommitError> {
        let (mut pause, longest) = PAUSE;
        loop {
            let question = question.clone();
            match self.journal.ask(move |store| question(store.state())).await {
                Err(error) if is_transient(&error) && !cut.is_cancelled() => {}
                answer => return answer,
            }
            tokio::select! {
                biased; // A stop before another try.
                () = cut.cancelled() => {}
                () = sleep(pause) => pause = (pause * 2).min(longest),
            }
        }
    }

    /// Polls to its end also what its caller drops: what is recorded must be there. `None` if it
    /// panicked, or its runtime ended.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.rests.spawn(work).await.ok()
    }

    /// Stops the run: what is in flight cannot be recorded, and so must not be acked.
    fn stop_run(&self, error: &str) {
        tracing::error!(target: "orch", error, "the journal failed");
        let inner = self.inner.get().and_then(Weak::upgrade);
        if let Some(run) = inner.and_then(|inner| inner.running()) {
            run.cut_off(StopReason::JournalFailed { error: error.to_owned() });
        }
    }

    /// Where the handling of a message goes on that an earlier process began.
    pub(crate) fn take_resumed(&self, message: MessageId) -> Option<Resumed> {
        lock(&self.resumed).remove(&message)
    }

    async fn accept(&self, set: Vec<Record>) -> Commit {
        if let Some(reason) = self.told.trouble() {
            return Commit::NotDurable { reason, transient: true };
        }
        self.told.caught_up().await;
        match self.journal.commit(Timestamp::now(), set).await {
            Ok(_) => Commit::Committed,
            Err(error) => self.refusal(error),
        }
    }

    /// Tells whoever asks a question again that was settled before: nobody will answer it.
    async fn fail_if_settled(&self, question: MessageId, to: AgentId) {
        let Some(inner) = self.inner.get().and_then(Weak::upgrade) else { return };
        if !inner.bus.is_question(question) {
            return;
        }
        let live = self.journal.ask(move |store| store.state().delivery(question).is_some()).await;
        if live.is_ok_and(|is_live| !is_live) {
            inner.bus.fail_question(question, QuestionFailure::HandledBefore(to));
        }
    }

    /// What a sender hears.
    fn refusal(&self, error: CommitError) -> Commit {
        if error.duplicate().is_some() {
            return Commit::Known;
        }
        let (reason, transient) = (error.to_string(), is_transient(&error));
        match error {
            CommitError::Illegal(_) | CommitError::Prepare(_) => {
                Commit::Refused(Refusal::new(reason))
            }
            _ if transient => Commit::NotDurable { reason, transient },
            CommitError::Uncertain(_) => {
                self.stop_run(&reason);
                Commit::Uncertain(reason)
            }
            _ => {
                self.stop_run(&reason);
                Commit::NotDurable { reason, transient }
            }
        }
    }
}

/// Whether the journal takes the same again later, perhaps.
const fn is_transient(error: &CommitError) -> bool {
    matches!(error, CommitError::Full(_) | CommitError::Failed(_) | CommitError::Busy)
}

/// That a message was accepted.
pub(crate) fn accepted(message: AgentMessage, step: Option<StepKey>) -> Record {
    let origin = message.origin();
    Record::Accepted { message, origin_run: origin.run, origin_round: origin.round, step }
}

impl Admission for Durable {
    fn check(&self, _: &AgentMessage) -> Result<(), Refusal> {
        Ok(())
    }

    fn has_commit(&self) -> bool {
        true
    }

    fn commit(self: Arc<Self>, message: AgentMessage) -> CommitFuture {
        let (id, to) = (message.id(), message.to());
        Box::pin(async move {
            let commit = self.accept(vec![accepted(message, None)]).await;
            if commit == Commit::Known {
                self.fail_if_settled(id, to).await;
            }
            commit
        })
    }

    fn commit_again(self: Arc<Self>, message: AgentMessage) -> CommitFuture {
        let (agent, message) = (message.to(), message.id());
        // The oldest letter, as on the bus.
        let again = Record::SentAgain { agent, message, letter: None };
        Box::pin(async move {
            match self.accept(vec![again]).await {
                // The journal has its letter still, or will have it: so it stays here as well.
                Commit::Known => Commit::NotDurable {
                    reason: "the message is on its way already".to_owned(),
                    transient: true,
                },
                commit => commit,
            }
        })
    }

    fn commit_afresh(self: Arc<Self>, message: AgentMessage, former: MessageId) -> CommitFuture {
        let set = sent_afresh(former, None, message);
        Box::pin(async move { self.accept(set).await })
    }

    fn go_on(&self, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        match tokio::runtime::Handle::try_current() {
            Ok(_) => drop(self.rests.spawn(rest)),
            // The runtime is gone, and the process is about to be: the next one finds the message.
            Err(_) => drop(rest),
        }
    }

    fn given_up(&self, letter: &DeadLetter) {
        self.tell_letter(letter);
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("journal", &self.journal).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
