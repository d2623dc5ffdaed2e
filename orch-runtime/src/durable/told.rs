//! Records that say more about what was recorded. Nobody waits for one, and none is lost while the
//! process lives: what the queue or the disk has no room for waits here, in order, and whatever is
//! recorded meanwhile comes after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use orch_core::Timestamp;
use orch_journal::{CommitError, Journal, Pending, Record};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{PAUSE, is_transient, lock};

#[derive(Debug)]
pub(super) struct Told {
    journal: Arc<Journal>,
    waiting: Mutex<Waiting>,
    /// Tells those who wait that something changed.
    changed: Notify,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first.
    sets: VecDeque<Set>,
    /// Whether one of them is to be queued (again): then nothing may pass it.
    is_behind: bool,
    /// Why the first one was not written.
    trouble: Option<String>,
    /// Why none ever will be.
    failed: Option<String>,
    /// Whether a task sees to it.
    is_seen_to: bool,
}

#[derive(Debug)]
struct Set {
    records: Vec<Record>,
    /// The answer that is awaited, if it was queued in the journal.
    pending: Option<Pending>,
    /// Whether it may have been queued in front of one that was told before it, and so be refused for
    /// that alone.
    has_passed: bool,
}

impl Told {
    pub(super) fn new(journal: Arc<Journal>) -> Arc<Self> {
        let (waiting, changed, tasks) = Default::default();
        Arc::new(Self { journal, waiting, changed, tasks })
    }

    pub(super) fn tell(self: &Arc<Self>, records: Vec<Record>) {
        let mut waiting = self.lock();
        let pending = match waiting.is_behind {
            true => None,
            false => match self.journal.try_commit(Timestamp::now(), records.clone()) {
                Ok(pending) => Some(pending),
                Err(CommitError::Busy) => None,
                Err(error) => return lost(&error),
            },
        };
        waiting.is_behind |= pending.is_none();
        waiting.sets.push_back(Set { records, pending, has_passed: false });
        drop(waiting);
        self.see_to();
    }

    /// Why what was told before is not written yet, if it is known to be late.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Returns when what is queued from now on comes after all that was told.
    pub(super) async fn caught_up(self: &Arc<Self>) {
        self.until(|waiting| (!waiting.is_behind).then_some(())).await;
    }

    /// Returns when all that was told is written, or cannot be now.
    pub(super) async fn written(self: &Arc<Self>) -> Result<(), String> {
        self.until(|waiting| match (&waiting.failed, &waiting.trouble) {
            (Some(error), _) | (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => waiting.sets.is_empty().then_some(Ok(())),
        })
        .await
    }

    async fn until<T>(self: &Arc<Self>, answer: impl Fn(&Waiting) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(answer) = answer(&self.lock()) {
                return answer;
            }
            // The task may have gone with its runtime.
            self.see_to();
            changed.await;
        }
    }

    /// Starts the task unless there is one. Without a runtime the next one who comes with one does.
    fn see_to(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err()
            || std::mem::replace(&mut self.lock().is_seen_to, true)
        {
            return;
        }
        // Without the lock: a runtime that ends drops it here. It keeps nothing alive: whoever drops the
        // journal does not wait for room on the disk.
        self.tasks.spawn(write_all(Hand { told: Arc::downgrade(self), pending: None }));
    }

    /// Queues what is not queued, as far as there is room, and answers the first one's answer.
    fn first(&self, waiting: &mut Waiting) -> Option<Pending> {
        for set in waiting.sets.iter_mut().filter(|set| set.pending.is_none()) {
            match self.journal.try_commit(Timestamp::now(), set.records.clone()) {
                Ok(queued) => set.pending = Some(queued),
                Err(_) => break,
            }
        }
        waiting.sets.front_mut()?.pending.take()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

/// The task that sees to it, and the answer that it awaits. Dropped with its runtime, it leaves both to
/// the next one.
struct Hand {
    told: Weak<Told>,
    pending: Option<Pending>,
}

impl Drop for Hand {
    fn drop(&mut self) {
        let Some(told) = self.told.upgrade() else { return };
        let mut waiting = told.lock();
        if let (Some(first), Some(pending)) = (waiting.sets.front_mut(), self.pending.take()) {
            first.pending = Some(pending);
        }
        waiting.is_seen_to = false;
        drop(waiting);
        told.changed.notify_waiters();
    }
}

async fn write_all(mut hand: Hand) {
    let (mut pause, longest) = PAUSE;
    while hand.takes_first() {
        let answer = match &mut hand.pending {
            Some(pending) => pending.await.map(drop),
            None => Err(CommitError::Busy),
        };
        hand.pending = None;
        if hand.note(answer) {
            pause = PAUSE.0;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

impl Hand {
    /// Takes the answer of the first set; false if there is none, or nobody who wants it.
    fn takes_first(&mut self) -> bool {
        let Some(told) = self.told.upgrade() else { return false };
        let mut waiting = told.lock();
        self.pending = told.first(&mut waiting);
        let is_done = waiting.sets.is_empty();
        if is_done {
            (waiting.is_behind, waiting.trouble) = (false, None);
            // Under the lock: what is told next needs another one.
            waiting.is_seen_to = false;
            self.told = Weak::new();
        }
        drop(waiting);
        told.changed.notify_waiters();
        !is_done
    }

    /// Takes note of how the first set fared; false if it is to be tried again.
    fn note(&self, answer: Result<(), CommitError>) -> bool {
        let Some(told) = self.told.upgrade() else { return true };
        let mut waiting = told.lock();
        let is_over = match answer {
            Err(error) if is_transient(&error) => {
                waiting.is_behind = true;
                waiting.sets.iter_mut().for_each(|set| set.has_passed |= set.pending.is_some());
                // A queue without room has some soon.
                if !matches!(error, CommitError::Busy) {
                    waiting.trouble = Some(error.to_string());
                }
                false
            }
            Err(CommitError::Illegal(_))
                if waiting.sets.front().is_some_and(|it| it.has_passed) =>
            {
                if let Some(first) = waiting.sets.front_mut() {
                    first.has_passed = false;
                }
                true
            }
            answer => {
                waiting.sets.pop_front();
                waiting.trouble = None;
                if let Err(error) = answer {
                    if !matches!(error, CommitError::Illegal(_) | CommitError::Prepare(_)) {
                        waiting.failed = Some(error.to_string());
                    }
                    lost(&error);
                }
                true
            }
        };
        drop(waiting);
        told.changed.notify_waiters();
        is_over
    }
}

fn lost(error: &CommitError) {
    tracing::warn!(target: "orch", %error, "something was not recorded");
}
