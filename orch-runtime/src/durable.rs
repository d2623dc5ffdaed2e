//! The journal as the runtime uses it: what happens is recorded before anybody can see its effect
//! (*journal-before-effect*).
//!
//! ```text
//! accepted ──▶ lane        attempt started ──▶ handler       step ──▶ whoever it goes to
//! reply, usage, ack and what goes on as its consequence: one set
//! ```
//!
//! Two ways to record. `write` waits for the commit, and is for whatever has an effect. `tell` queues a
//! record and does not wait, for what only says more about what was recorded; it is in its order all the
//! same, because a journal commits in the order in which it is told.

mod ends;
mod host;
mod recover;
mod replay;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use orch_bus::{Admission, Commit, CommitFuture, Refusal};
use orch_core::{AgentId, AgentMessage, DeadLetter, MessageId, StopReason, Timestamp};
use orch_journal::{CommitError, Illegal, Journal, Pending, Record, Seq, StepKey};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::orchestrator::Inner;

pub(crate) use ends::End;
pub(crate) use host::Mismatch;
pub use recover::RecoverError;

/// The pause before a write is tried again that found the disk full, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What makes an orchestrator durable.
pub(crate) struct Durable {
    journal: Arc<Journal>,
    inner: OnceLock<Weak<Inner>>,
    /// Sends that go on although whoever made them is gone.
    rests: TaskTracker,
    /// When retries are due that a restart interrupted; asked once for each.
    due: Mutex<HashMap<MessageId, Timestamp>>,
    /// Agents of an earlier process, by name, which nobody has spawned again yet.
    unbound: Mutex<HashMap<String, VecDeque<AgentId>>>,
    /// Questions that handlers ask: which step of whose, so that its answer is recorded with the ack.
    questions: Mutex<HashMap<MessageId, (AgentId, StepKey)>>,
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
            journal,
            inner: OnceLock::new(),
            rests: TaskTracker::new(),
            due: Mutex::default(),
            unbound: Mutex::default(),
            questions: Mutex::default(),
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

    /// Queues records that say more about what was recorded before. Does not wait.
    pub(crate) fn tell(&self, records: Vec<Record>) -> Option<Pending> {
        match self.journal.try_commit(Timestamp::now(), records) {
            Ok(pending) => Some(pending),
            Err(error) => {
                tracing::warn!(target: "orch", %error, "something was not recorded");
                None
            }
        }
    }

    /// Stops the run: what is in flight cannot be recorded, and so must not be acked.
    fn stop_run(&self, error: &str) {
        tracing::error!(target: "orch", error, "the journal failed");
        let inner = self.inner.get().and_then(Weak::upgrade);
        if let Some(run) = inner.and_then(|inner| inner.running()) {
            run.cut_off(StopReason::JournalFailed { error: error.to_owned() });
        }
    }

    /// When a message is due that an earlier process was to try again.
    pub(crate) fn take_due(&self, message: MessageId) -> Option<Timestamp> {
        lock(&self.due).remove(&message)
    }

    /// The agent of an earlier process that has this name, the first time that it is asked for.
    pub(crate) fn take_unbound(&self, name: &str) -> Option<AgentId> {
        lock(&self.unbound).get_mut(name)?.pop_front()
    }

    async fn accept(&self, record: Record) -> Commit {
        match self.journal.commit(Timestamp::now(), vec![record]).await {
            Ok(_) => Commit::Committed,
            Err(error) => self.refusal(error),
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
        Box::pin(async move { self.accept(accepted(message, None)).await })
    }

    fn commit_again(self: Arc<Self>, message: AgentMessage) -> CommitFuture {
        let again = Record::SentAgain { agent: message.to(), message: message.id() };
        Box::pin(async move { self.accept(again).await })
    }

    fn go_on(&self, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        match tokio::runtime::Handle::try_current() {
            Ok(_) => drop(self.rests.spawn(rest)),
            // The runtime is gone, and the process is about to be: the next one finds the message.
            Err(_) => drop(rest),
        }
    }

    fn given_up(&self, letter: &DeadLetter) {
        self.tell(vec![Record::DeadLettered { letter: letter.clone() }]);
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
