//! The scheduler alone: mailboxes, workers, and code that handles messages. No registry, no retries,
//! no guards, no policy.
//!
//! For programs that want actors and nothing else, and to measure what an
//! [`Orchestrator`](crate::Orchestrator) adds: both are driven by the same workers.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! use orch_runtime::bare::{BareScheduler, Behaviour, Cx};
//! use orch_runtime::{AgentId, AgentMessage};
//!
//! struct Counts(Arc<AtomicUsize>);
//!
//! impl Behaviour for Counts {
//!     async fn handle(&mut self, _message: &AgentMessage, _cx: Cx<'_>) {
//!         self.0.fetch_add(1, Ordering::Relaxed);
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let count = Arc::new(AtomicUsize::new(0));
//! let scheduler = BareScheduler::new();
//! let counter = scheduler.spawn(Counts(count.clone()));
//! for _ in 0..3 {
//!     counter.try_send(AgentMessage::new(AgentId::OUTSIDE, counter.agent(), "one more")).unwrap();
//! }
//! scheduler.run().await;
//! assert_eq!(count.load(Ordering::Relaxed), 3);
//! # }
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crossbeam_utils::atomic::AtomicCell;
use orch_bus::{Announce, Attachment, BusLimits, Mailbox, MessageBus};
use orch_core::{AgentId, AgentMessage};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::pool::{Order, Pool, Waiting};
use crate::run::n_workers;
use crate::table::Table;
use crate::turn::text_of;
use crate::worker::{self, BATCH, Done, Job, Work};

/// What an agent of a [`BareScheduler`] does with a message.
pub trait Behaviour: Send + Sized + 'static {
    /// Handles one message; the next one of this agent comes after it. A panic is logged, and the
    /// message is gone.
    fn handle(&mut self, message: &AgentMessage, cx: Cx<'_>) -> impl Future<Output = ()> + Send;
}

/// What a behaviour may know of where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Cx<'a> {
    mailbox: &'a Arc<Mailbox>,
}

impl Cx<'_> {
    /// This agent.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.mailbox.agent()
    }

    /// This agent's address.
    #[must_use]
    pub fn address(&self) -> &Arc<Mailbox> {
        self.mailbox
    }
}

/// Runs agents of one kind of behaviour (an enum makes several of one).
pub struct BareScheduler<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    bus: MessageBus,
    /// By the slot of their mailbox.
    agents: Table<Agent<B>>,
}

struct Agent<B> {
    /// Kept, as the bus does not know it: what was sent must not be gone with its sender.
    _mailbox: Arc<Mailbox>,
    /// Unless somebody runs it now.
    behaviour: AtomicCell<Option<Box<B>>>,
}

impl<B: Behaviour> Default for BareScheduler<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Behaviour> BareScheduler<B> {
    /// A scheduler without agents. Its lanes have no limit.
    #[must_use]
    pub fn new() -> Self {
        let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(u32::MAX));
        Self { shared: Arc::new(Shared { bus, agents: Table::default() }) }
    }

    /// Adds an agent, and answers its address.
    pub fn spawn(&self, behaviour: B) -> Arc<Mailbox> {
        let mailbox = self.shared.bus.unlisted_mailbox(AgentId::new());
        let behaviour = AtomicCell::new(Some(Box::new(behaviour)));
        let index = self.shared.agents.push(Agent { _mailbox: mailbox.clone(), behaviour });
        mailbox.set_slot(index as u64);
        mailbox
    }

    /// Runs until nothing is left to do. One run at a time: a second one returns at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the run at the next message of each agent; nothing is lost.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn run(&self) {
        self.until_rest(false).await;
    }

    /// Runs until the future is dropped.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn serve(&self) {
        self.until_rest(true).await;
    }

    async fn until_rest(&self, serves: bool) {
        let Some(attachment) = self.shared.bus.attach() else { return };
        let run = Arc::new(BareRun::new(self.shared.clone(), attachment, serves));
        let _end = End(run.clone());
        for index in 0..run.pool.n_workers() {
            run.tasks.spawn(worker::work(run.clone(), index));
        }
        run.ended.notified().await;
    }
}

impl<B> fmt::Debug for BareScheduler<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareScheduler").finish_non_exhaustive()
    }
}

struct BareRun<B> {
    shared: Arc<Shared<B>>,
    pool: Arc<Pool>,
    tasks: TaskTracker,
    serves: bool,
    n_away: AtomicUsize,
    /// Orders those who look whether the run has ended.
    resting: Mutex<()>,
    has_ended: AtomicBool,
    ended: Notify,
}

/// Ends a run, and leaves the mailboxes as the next one expects them.
struct End<B: Behaviour>(Arc<BareRun<B>>);

impl<B: Behaviour> Drop for End<B> {
    fn drop(&mut self) {
        self.0.end();
        self.0.pool.clear().iter().for_each(Mailbox::leave);
        self.0.pool.attachment.detach();
    }
}

impl<B: Behaviour> BareRun<B> {
    fn new(shared: Arc<Shared<B>>, attachment: Attachment, serves: bool) -> Self {
        // As many handlers as there are may run at once.
        let pool = Arc::new(Pool::new(attachment, n_workers(), usize::MAX));
        Self {
            shared,
            pool,
            tasks: TaskTracker::new(),
            serves,
            n_away: AtomicUsize::new(0),
            resting: Mutex::new(()),
            has_ended: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.ended.notify_one();
        self.pool.attachment.wake_all();
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    async fn activate(&self, job: Job) -> Done {
        let Job { mailbox, slot } = job;
        let mut done = Done { mailbox, slot: Some(slot), again: None, n_messages: 0 };
        let mailbox = &done.mailbox;
        let Some(agent) = self.shared.agents.get(mailbox.slot() as usize) else { return done };
        // Whoever has claimed it looks again before it lets go.
        if !mailbox.claim() {
            return done;
        }
        let mut held = Held { cell: &agent.behaviour, behaviour: None, claimed: Some(mailbox) };
        while let Some(delivery) = mailbox.checkout_or_rest_after(|| held.put_back()) {
            done.n_messages += 1;
            handle(held.get(), &delivery, Cx { mailbox }).await;
            delivery.finish();
            if done.n_messages >= BATCH || self.has_ended() {
                held.put_back();
                mailbox.announce(Announce::Every);
                done.again = mailbox.most_urgent();
                break;
            }
        }
        held.claimed = None;
        drop(held);
        done
    }
}

async fn handle<B: Behaviour>(behaviour: &mut B, message: &AgentMessage, cx: Cx<'_>) {
    // Within another future, so that it is dropped where its panics are caught.
    let mut work = pin!(async { behaviour.handle(message, cx).await });
    let caught = |cx: &mut Context<'_>| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
    let mut caught = caught;
    if let Err(panic) = poll_fn(|cx| match caught(cx) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
    {
        let error = text_of(panic);
        tracing::error!(target: "orch", error, "a behaviour panicked");
    }
}

/// The behaviour of an agent that this activation has claimed.
struct Held<'a, B> {
    cell: &'a AtomicCell<Option<Box<B>>>,
    behaviour: Option<Box<B>>,
    /// The mailbox, until it was let go of.
    claimed: Option<&'a Arc<Mailbox>>,
}

impl<B> Held<'_, B> {
    fn get(&mut self) -> &mut B {
        let take = || self.cell.take().expect("whoever has the claim has the behaviour");
        self.behaviour.get_or_insert_with(take)
    }

    fn put_back(&mut self) {
        if let Some(behaviour) = self.behaviour.take() {
            self.cell.store(Some(behaviour));
        }
    }
}

impl<B> Drop for Held<'_, B> {
    fn drop(&mut self) {
        self.put_back();
        // Dropped half-way, as the end of a tokio runtime does: the message is back.
        if let Some(mailbox) = self.claimed.take() {
            mailbox.announce(Announce::Every);
            mailbox.announce_if_waiting();
        }
    }
}

impl<B: Behaviour> Order for BareRun<B> {
    // There are as many slots as anybody could want, so nobody waits for one.
    fn place(&self, mailbox: &Arc<Mailbox>, waiting: &mut Waiting<'_>) {
        if let Some(urgency) = mailbox.most_urgent() {
            waiting.place(mailbox, None, urgency);
        }
    }

    fn unplace(&self, _: &Arc<Mailbox>) {}
}

impl<B: Behaviour> Work for BareRun<B> {
    type Keep = ();

    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn activate(self: &Arc<Self>, job: Job, (): &mut ()) -> impl Future<Output = Done> + Send {
        Self::activate(self, job)
    }

    fn goes_away(&self) {
        self.n_away.fetch_add(1, Ordering::AcqRel);
    }

    fn came_back(&self) {
        if self.n_away.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.rests();
        }
    }

    fn rests(&self) {
        // Two may come here at once, and both are right.
        let is_at_rest = || self.pool.all_asleep() && self.n_away.load(Ordering::Acquire) == 0;
        let _one_at_a_time = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.serves && is_at_rest() && !self.pool.has_work() {
            self.end();
        }
    }

    fn has_ended(&self) -> bool {
        Self::has_ended(self)
    }
}
