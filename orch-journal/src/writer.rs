//! The writer: one thread owns the store and commits in groups.
//!
//! It takes the first set that waits and whatever else waits by then, commits all in one
//! transaction, and answers. No timer: the sets that come during one commit are the next group.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use orch_core::{MessageId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::health::Health;
use crate::prepared::{PrepareError, Prepared};
use crate::record::{Record, Seq};
use crate::redact::Redactor;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::state::Illegal;
use crate::store::{Store, StoreError};

/// Sets that wait for the writer. Then whoever commits waits for room.
const QUEUE_MAX: usize = 4_096;
/// Sets in one transaction.
const GROUP_SETS_MAX: usize = 512;
/// Bytes after which a transaction takes no further set.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// A store with the thread that writes it. To share it, put it into an `Arc`.
///
/// # Ordering
///
/// If one commit returned before another began, its events come first. So do those of a
/// [`try_commit`](Self::try_commit) before those of any that one thread begins after it.
///
/// Dropping it writes what was queued, and waits for that.
pub struct Journal {
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    redactor: Redactor,
}

enum Job {
    Commit(Prepared, Ack),
    Ask(Question),
}

type Question = Box<dyn FnOnce(Result<&mut dyn Store, CommitError>) + Send>;

type Ack = oneshot::Sender<Result<Seq, CommitError>>;

/// Why a set was not written, or may not have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It cannot have happened; nothing of it was written. [`Illegal::Duplicate`] is no mistake, but
    /// what a message gets that is sent twice.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// It cannot be written at all.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The disk is full; nothing of it was written. The journal tries again by itself, at a later
    /// commit.
    #[error("the journal's disk is full: {0}")]
    Full(String),
    /// Nobody knows whether it was written; the next start will. To send the same message id again
    /// is safe.
    #[error("nobody knows whether it was written, and the journal stopped: {0}")]
    Uncertain(String),
    /// The journal stopped before: after a failed sync, or because it found damage. Nothing of it
    /// was written.
    #[error("the journal stopped: {0}")]
    Stopped(String),
    /// Something else failed; nothing of it was written.
    #[error("the journal failed: {0}")]
    Failed(String),
    /// Too many sets wait; nothing of it was written.
    #[error("too many sets wait for the journal")]
    Busy,
    /// The journal was closed; nothing of it was written.
    #[error("the journal is closed")]
    Closed,
}

impl CommitError {
    /// The message that was accepted before, if that is all that is wrong.
    #[must_use]
    pub const fn duplicate(&self) -> Option<MessageId> {
        match self {
            Self::Illegal(Illegal::Duplicate(message)) => Some(*message),
            _ => None,
        }
    }
}

/// Why a journal did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its file does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its first record could not be written.
    #[error("failed to record that the former process was cut off: {0}")]
    Recover(#[from] StoreError),
    /// The system gives no thread.
    #[error("failed to start the journal's thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl Journal {
    /// Opens or makes a file, and starts its writer; see [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn open(
        path: impl AsRef<Path>,
        options: SqliteOptions,
        redactor: Redactor,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        Self::start(SqliteStore::open(path, options)?, redactor, now)
    }

    /// Starts the writer of a store. If the process before was cut off, that is recorded first
    /// ([`Record::Recovered`]): its attempts failed, and its run is over.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(
        mut store: impl Store + 'static,
        redactor: Redactor,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        if store.state().is_cut_off() {
            let recovered = Prepared::new(now, [Record::Recovered {}], &redactor);
            let set = recovered.map_err(|error| StoreError::Failed(error.to_string()))?;
            let answers = store.append(&[set])?.into_iter();
            let wrong = |illegal: Illegal| StoreError::Failed(illegal.to_string());
            answers.collect::<Result<Vec<Seq>, _>>().map_err(wrong)?;
        }
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = Writer { store: Box::new(store), waiting, health: Health::default() };
        let thread = std::thread::Builder::new().name("orch-journal".to_owned());
        let thread = Some(thread.spawn(move || writer.run())?);
        Ok(Self { jobs: Some(jobs), thread, redactor })
    }

    /// Writes records whole or not at all, and returns the number of the last one once they are as
    /// durable as the store makes them.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, nothing is written. Dropped later, they are written and
    /// nobody is told; whoever needs to know asks the state.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; after all but [`CommitError::Uncertain`], nothing of it was written.
    pub async fn commit(&self, at: Timestamp, records: Vec<Record>) -> Result<Seq, CommitError> {
        let set = Prepared::new(at, records, &self.redactor)?;
        let (job, pending) = job(set);
        self.jobs()?.send(job).await.map_err(|_| CommitError::Closed)?;
        pending.await
    }

    /// As [`commit`](Self::commit), for threads that may wait.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Panics
    ///
    /// In a task of an asynchronous runtime.
    pub fn commit_blocking(&self, at: Timestamp, records: Vec<Record>) -> Result<Seq, CommitError> {
        let set = Prepared::new(at, records, &self.redactor)?;
        let (job, pending) = job(set);
        self.jobs()?.blocking_send(job).map_err(|_| CommitError::Closed)?;
        pending.wait()
    }

    /// Queues records without waiting. They are written whether or not the answer is awaited.
    ///
    /// # Errors
    ///
    /// [`CommitError::Busy`] if too many sets wait, and what makes a set unfit.
    pub fn try_commit(&self, at: Timestamp, records: Vec<Record>) -> Result<Pending, CommitError> {
        let set = Prepared::new(at, records, &self.redactor)?;
        let (job, pending) = job(set);
        self.jobs()?.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Closed,
        })?;
        Ok(pending)
    }

    /// Asks the store something, between two commits: its state, its events. Commits wait meanwhile;
    /// a question that takes long is one for a [`SqliteReader`](crate::SqliteReader).
    ///
    /// # Cancel safety
    ///
    /// Dropped once it is queued, it is asked all the same.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: after an error of the disk there is nothing to be asked until the store was read
    /// anew, as for a commit.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        let (job, answer) = ask(question);
        self.jobs()?.send(job).await.map_err(|_| CommitError::Closed)?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// As [`ask`](Self::ask), for threads that may wait.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Panics
    ///
    /// In a task of an asynchronous runtime.
    pub fn ask_blocking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        let (job, answer) = ask(question);
        self.jobs()?.blocking_send(job).map_err(|_| CommitError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(CommitError::Closed))
    }

    /// Writes what was queued, and ends the writer. Blocks meanwhile.
    pub fn close(self) {}

    fn jobs(&self) -> Result<&mpsc::Sender<Job>, CommitError> {
        self.jobs.as_ref().ok_or(CommitError::Closed)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The writer ends when nobody can send any more, and after it has written what was queued.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "orch", "the journal's thread panicked");
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

/// A set that was queued; the answer comes when it was written.
///
/// Cancel safe: dropping it changes nothing for the set.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Seq, CommitError>>);

impl Pending {
    /// Waits for the answer on this thread.
    ///
    /// # Errors
    ///
    /// As [`Journal::commit`].
    ///
    /// # Panics
    ///
    /// In a task of an asynchronous runtime.
    pub fn wait(self) -> Result<Seq, CommitError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(lost()))
    }
}

impl Future for Pending {
    type Output = Result<Seq, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|told| told.unwrap_or_else(|_| Err(lost())))
    }
}

fn lost() -> CommitError {
    CommitError::Uncertain("its writer ended without an answer".to_owned())
}

fn job(set: Prepared) -> (Job, Pending) {
    let (ack, told) = oneshot::channel();
    (Job::Commit(set, ack), Pending(told))
}

fn ask<T: Send + 'static>(
    question: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, CommitError>>) {
    let (tell, answer) = oneshot::channel();
    let ask = move |store: Result<&mut dyn Store, CommitError>| {
        // Whoever asked may have gone.
        let _ = tell.send(store.map(question));
    };
    (Job::Ask(Box::new(ask)), answer)
}

struct Writer {
    store: Box<dyn Store>,
    waiting: mpsc::Receiver<Job>,
    health: Health,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.waiting.blocking_recv() {
            let mut next = Some(first);
            let (mut sets, mut acks, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut question = None;
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(set, ack) => {
                        bytes += set.bytes();
                        sets.push(set);
                        acks.push(ack);
                    }
                    Job::Ask(ask) => question = Some(ask),
                }
                let room = sets.len() < GROUP_SETS_MAX && bytes < GROUP_BYTES_MAX;
                if question.is_none() && room {
                    next = self.waiting.try_recv().ok();
                }
            }
            self.commit(&sets, acks);
            if let Some(ask) = question {
                match self.health.prepare(&mut *self.store) {
                    Ok(()) => ask(Ok(&mut *self.store)),
                    Err(trouble) => ask(Err(trouble.error())),
                }
            }
            self.maintain();
        }
    }

    fn commit(&mut self, sets: &[Prepared], acks: Vec<Ack>) {
        if sets.is_empty() {
            return;
        }
        #[cfg(feature = "planted")]
        if crate::planted::is_planted(crate::planted::Plant::AckBeforeCommit) {
            return self.commit_after_ack(sets, acks);
        }
        match self.try_commit(sets) {
            Ok(answers) => {
                for (ack, answer) in acks.into_iter().zip(answers) {
                    // Whoever waited may have gone.
                    let _ = ack.send(answer.map_err(CommitError::Illegal));
                }
            }
            Err(refusal) => acks.into_iter().for_each(|ack| {
                let _ = ack.send(Err(refusal()));
            }),
        }
    }

    #[expect(clippy::type_complexity, reason = "an error for each waiter, which has no copy")]
    fn try_commit(
        &mut self,
        sets: &[Prepared],
    ) -> Result<Vec<Result<Seq, Illegal>>, Box<dyn Fn() -> CommitError>> {
        let appended = self.health.prepare(&mut *self.store).and_then(|()| {
            let appended = self.store.append(sets);
            self.health.note(appended)
        });
        appended.map_err(|trouble| Box::new(move || trouble.error()) as Box<dyn Fn() -> _>)
    }

    fn maintain(&mut self) {
        if self.health.is_good() {
            let maintained = self.store.maintain();
            // Those who waited have their answers, and they are true.
            let _ = self.health.note(maintained);
        }
    }

    /// Breaks the promise: see [`crate::planted`].
    #[cfg(feature = "planted")]
    fn commit_after_ack(&mut self, sets: &[Prepared], acks: Vec<Ack>) {
        let mut seq = self.store.state().last();
        for (ack, set) in acks.into_iter().zip(sets) {
            seq = Seq(seq.0 + set.records().count() as u64);
            let _ = ack.send(Ok(seq));
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
        let _ = self.store.append(sets);
    }
}
