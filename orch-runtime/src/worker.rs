//! A worker takes an agent that is ready and runs it in place; what has to wait becomes a task of its
//! own.
//!
//! An *activation* handles what waits for one agent. It is polled inside of a *stint*, a future that
//! lasts: when an activation ends, the stint waits for the next one, so that an activation costs no
//! allocation and no task. Only when one has to wait does the whole stint become a tokio task, which
//! ends with it, and the worker begins a new stint.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use orch_bus::{Look, Mailbox};
use orch_core::{MessagePriority, Timestamp};
use tokio::task::{unconstrained, yield_now};
use tokio_util::task::TaskTracker;

use crate::clock::Watch;
use crate::pool::{Order, Pool, Seat, Slot};
use crate::turn::text_of;

/// Messages that one activation handles at most.
pub(crate) const BATCH: u32 = 64;

/// What the workers of a pool do.
pub(crate) trait Work: Order + Send + Sync + 'static {
    /// What a stint keeps from one activation to the next.
    type Keep: Default + Send;

    fn pool(&self) -> &Arc<Pool>;

    fn tasks(&self) -> &TaskTracker;

    /// Handles what waits for an agent, at most [`BATCH`] messages.
    fn activate(
        self: &Arc<Self>,
        job: Job,
        keep: &mut Self::Keep,
    ) -> impl Future<Output = Done> + Send;

    /// An activation becomes a task.
    fn goes_away(&self);

    /// An activation that became a task has ended.
    fn came_back(&self);

    /// Every worker sleeps. Called while this one counts as asleep.
    fn rests(&self);

    /// Whether workers go home.
    fn has_ended(&self) -> bool;
}

/// An agent to run, and the slot for it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) slot: Slot,
}

/// How an activation ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) mailbox: Arc<Mailbox>,
    /// `None` if a handler has let go of it and goes on elsewhere.
    pub(crate) slot: Option<Slot>,
    /// How urgent what is left is, if anything is.
    pub(crate) again: Option<MessagePriority>,
    pub(crate) n_messages: u32,
}

thread_local! {
    /// The stint that a worker of this thread polls in place; 0 for none.
    static IN_PLACE: Cell<u64> = const { Cell::new(0) };
    /// The worker that does so.
    static WORKER: Cell<Option<Here>> = const { Cell::new(None) };
    static JOB: Cell<Option<Job>> = const { Cell::new(None) };
    static DONE: Cell<Option<Done>> = const { Cell::new(None) };
}

/// The worker of `work` on whose thread the caller runs in place; `None` for everybody else.
pub(crate) fn here<W>(work: &W) -> Option<Here> {
    WORKER.get().filter(|here| ptr::eq(here.of, ptr::from_ref(work).cast()))
}

/// A worker on its thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    /// What it works for.
    of: *const (),
    pub(crate) index: usize,
    /// Counts its shifts.
    pub(crate) shift: u64,
}

struct Stint {
    number: u64,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stint {
    fn new<W: Work>(work: &Arc<W>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { number, future: Box::pin(stint(work.clone(), number)) }
    }
}

async fn stint<W: Work>(work: Arc<W>, number: u64) {
    let mut keep = W::Keep::default();
    loop {
        // Nothing wakes this but the worker that polls it with a job.
        let job = poll_fn(|_| JOB.take().map_or(Poll::Pending, Poll::Ready)).await;
        let done = work.activate(job, &mut keep).await;
        if IN_PLACE.get() == number {
            DONE.set(Some(done));
            continue;
        }
        finish_away(&*work, done);
        return;
    }
}

/// Ends an activation that had become a task.
fn finish_away(work: &impl Work, done: Done) {
    if let Some(urgency) = done.again {
        work.pool().attachment.announce(done.mailbox, urgency);
    }
    drop(done.slot);
}

/// Comes back when the task ends, in whatever way.
struct Away<W: Work>(Arc<W>);

impl<W: Work> Drop for Away<W> {
    fn drop(&mut self) {
        self.0.came_back();
    }
}

pub(crate) async fn work<W: Work>(work: Arc<W>, index: usize) {
    let mut worker = Worker {
        seat: Seat::new(index),
        stint: None,
        n_shifts: 0,
        is_new_shift: true,
        has_made_way: false,
        held: Timestamp::default(),
        n_held: 0,
        work,
    };
    loop {
        // Without tokio's own budget, which would make a ready channel look pending after 128
        // operations and so turn handlers into tasks for nothing. The worker yields instead.
        let shift = poll_fn(|cx| Poll::Ready(worker.shift(cx)));
        match unconstrained(shift).await {
            Shift::Over => return,
            Shift::Yields => yield_now().await,
            Shift::MakesWay => make_way().await,
            Shift::FoundNothing => worker.sleep().await,
        }
    }
}

/// Lets tokio poll others first, and any thread go on with this one.
async fn make_way() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            // Unlike `yield_now`, which keeps it for this thread until that has nothing else to do.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

enum Shift {
    /// The run has ended.
    Over,
    /// It is time for tokio's timers and I/O.
    Yields,
    /// Somebody was woken, perhaps by this worker: then tokio polls them on this thread, next, and
    /// lets no other thread do so.
    MakesWay,
    FoundNothing,
}

struct Worker<W: Work> {
    seat: Seat,
    stint: Option<Stint>,
    n_shifts: u64,
    is_new_shift: bool,
    /// Whether it has made way for whoever searches now.
    has_made_way: bool,
    /// The time that ids and messages are made at, and how many activations have had it.
    held: Timestamp,
    n_held: u32,
    work: Arc<W>,
}

impl<W: Work> Drop for Worker<W> {
    fn drop(&mut self) {
        // What handlers that outlived the run have sent and put back is in no other place.
        self.work.pool().leave(&mut self.seat);
        // Or the next run on this bus would wait for a searcher that is gone, also for what came while
        // this one searched.
        if self.stop_searching() {
            self.work.pool().attachment.wake();
        }
    }
}

impl<W: Work> Worker<W> {
    fn stop_searching(&mut self) -> bool {
        let searched = std::mem::take(&mut self.seat.is_searching);
        if searched {
            self.work.pool().attachment.searched();
        }
        searched
    }

    fn shift(&mut self, cx: &mut Context<'_>) -> Shift {
        let work = self.work.clone();
        let pool = work.pool();
        let desk = pool.desk(&self.seat).clone();
        self.n_shifts += 1;
        self.is_new_shift = true;
        // What the handlers send is looked at by this worker next, so it wakes nobody.
        pool.attachment.at_desk(&desk, || {
            let mut watch = Watch::start();
            loop {
                if work.has_ended() {
                    return Shift::Over;
                }
                let Some(mailbox) = pool.next(&mut self.seat, &*work) else {
                    return Shift::FoundNothing;
                };
                let n_messages = self.run(cx, mailbox);
                let is_searched = pool.attachment.is_searched();
                if is_searched && !std::mem::replace(&mut self.has_made_way, true) {
                    return Shift::MakesWay;
                }
                self.has_made_way = is_searched;
                if watch.is_over(n_messages) {
                    return Shift::Yields;
                }
            }
        })
    }

    /// Runs an agent; answers how many messages it handled, as far as that is known.
    fn run(&mut self, cx: &mut Context<'_>, mailbox: Arc<Mailbox>) -> u32 {
        let Some(slot) = self.seat.slot.take() else {
            debug_assert!(false, "nothing is found without a slot");
            return 0;
        };
        // One reading of the clock for what is sent in an activation.
        let held = orch_core::mint::hold(self.sends_at());
        // Borrowed: a clone would have all workers write to one counter for each activation.
        let Self { seat, work, n_shifts, .. } = self;
        let pool = work.pool();
        let mut stint = self.stint.take().unwrap_or_else(|| Stint::new(work));
        pool.set_busy(seat, true);
        JOB.set(Some(Job { mailbox, slot }));
        let here = Here { of: Arc::as_ptr(work).cast(), index: seat.index(), shift: *n_shifts };
        let outer = (IN_PLACE.replace(stint.number), WORKER.replace(Some(here)));
        let polled = catch_unwind(AssertUnwindSafe(|| stint.future.as_mut().poll(cx)));
        drop(held);
        IN_PLACE.set(outer.0);
        WORKER.set(outer.1);
        let done = DONE.take();
        let n_messages = done.as_ref().map_or(1, |done| done.n_messages);
        match (done, polled) {
            (Some(done), _) => {
                self.stint = Some(stint);
                seat.slot = done.slot;
                if let Some(urgency) = done.again {
                    pool.again(seat, done.mailbox, urgency);
                }
            }
            (None, Ok(Poll::Pending)) => {
                work.goes_away();
                let away = Away(work.clone());
                work.tasks().spawn(async move {
                    let _away = away;
                    stint.future.await;
                });
            }
            (None, Ok(Poll::Ready(()))) => {}
            (None, Err(panic)) => {
                // Beside the handler, whose panics are caught nearer: an observer's, say.
                let error = text_of(panic);
                tracing::error!(target: "orch", error, "an attempt panicked outside of its handler");
            }
        }
        pool.set_busy(seat, false);
        n_messages
    }

    /// The time that messages of the next activation are made at: read anew at least every
    /// `SHARED` activations, and for each while they are slow.
    fn sends_at(&mut self) -> Timestamp {
        const SHARED: u32 = 16;
        if self.n_held >= SHARED || self.is_new_shift {
            let now = Timestamp::now();
            // More than a millisecond has gone by since the last reading.
            let is_slow = now.since(self.held).as_millis() > 1;
            self.n_held = if is_slow { SHARED } else { 0 };
            self.held = now;
            self.is_new_shift = false;
        }
        self.n_held += 1;
        self.held
    }

    /// Waits until there may be something to do.
    async fn sleep(&mut self) {
        let pool = self.work.pool().clone();
        // A handler that waits for a slot may have it.
        drop(self.seat.slot.take());
        self.stop_searching();
        let look = || {
            let found = pool.has_work() || self.work.has_ended();
            if !found && pool.all_asleep() {
                self.work.rests();
            }
            (found || self.work.has_ended()).then_some(())
        };
        if pool.attachment.look_or_wait(look).await == Look::Woken {
            self.seat.is_searching = true;
        }
    }
}
