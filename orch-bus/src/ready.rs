//! Which mailboxes have something to look at, and the workers of the one scheduler that look.
//!
//! ```text
//! a send into an idle mailbox ──┬─ on a thread at a desk ─▶ the desk's fresh slot ─┐
//!                               │                  (one; a former one moves on ↓)  ├─▶ workers
//!                               └─ elsewhere ─────────────▶ the announced stack ───┘
//!                                                           and one sleeper is woken
//! ```
//!
//! An announcement is a hint: there may be two for one mailbox, and the mailbox may be empty by the
//! time it is looked at. Announcing to a scheduler is lock-free; waking somebody who sleeps is not, nor is
//! announcing while there is no scheduler.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ptr;
use std::sync::{Arc, Weak};

use crossbeam_utils::CachePadded;
use orch_core::{AgentId, MessagePriority};

use crate::book::Book;
use crate::home::Home;
use crate::idle::{Idle, Look, Term};
use crate::mailbox::Mailbox;
use crate::stack::Stack;
use crate::sync::{AtomicBool, AtomicCell, Mutex, Ordering, lock, thread_local};

/// A mailbox that has something to look at, and how urgent that was.
pub type Announced = (Arc<Mailbox>, MessagePriority);

#[derive(Debug)]
pub(crate) struct Ready {
    /// Closed while no scheduler is attached.
    announced: Stack<Announced>,
    /// While no scheduler is attached: who announced. They are not kept alive: a mailbox keeps its
    /// bus, so what nobody takes would keep both for good.
    waiting: Mutex<Waiting>,
    attached: AtomicBool,
    /// Whether desks take announcements.
    has_fresh: AtomicBool,
    idle: Idle,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            announced: Stack::new_closed(),
            waiting: Mutex::default(),
            attached: AtomicBool::new(false),
            has_fresh: AtomicBool::new(true),
            idle: Idle::new(),
        }
    }
}

/// Where one worker finds what became ready on its own thread: the most recent mailbox, whose message
/// is in this core's cache. Others may take it too.
#[derive(Default)]
pub struct Desk {
    fresh: CachePadded<AtomicCell<Option<Arc<Mailbox>>>>,
    /// While nobody works here. No step of the protocol, so models do not see it.
    book: crossbeam_utils::atomic::AtomicCell<Option<Box<Book>>>,
}

impl Desk {
    /// Takes what became ready last.
    pub fn take(&self) -> Option<Arc<Mailbox>> {
        self.fresh.take()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

thread_local! {
    static AT: RefCell<Option<At>> = const { RefCell::new(None) };
}

/// The desk at which a thread works, and for which bus.
struct At {
    of: *const Ready,
    desk: Arc<Desk>,
    book: Box<Book>,
}

impl At {
    fn is_of(&self, ready: &Ready) -> bool {
        ptr::eq(self.of, ready)
    }
}

/// The address of an agent, if this thread works for that bus and has it. To be
/// [noted](note_address) again.
pub(crate) fn take_address(home: &Arc<Home>, agent: AgentId) -> Option<Arc<Mailbox>> {
    let take = |at: &RefCell<Option<At>>| at.borrow_mut().as_mut()?.book.take(home, agent);
    // A thread that is ending is at no desk.
    AT.try_with(take).ok().flatten()
}

/// Keeps an address for the next message, if this thread works for its bus.
pub(crate) fn note_address(mailbox: Arc<Mailbox>) {
    let mut mailbox = Some(mailbox);
    let note = |at: &RefCell<Option<At>>| {
        if let Some(at) = &mut *at.borrow_mut()
            && let Some(mailbox) = mailbox.take_if(|it| at.is_of(&it.home.ready))
        {
            return at.book.note(mailbox);
        }
        None
    };
    // Dropped outside: it may be the last that knows its mailbox.
    let displaced = AT.try_with(note);
    drop((displaced, mailbox));
}

impl Ready {
    /// Tells the scheduler, or, if there is none, whoever attaches next.
    pub(crate) fn announce(&self, mailbox: &Arc<Mailbox>, priority: MessagePriority) {
        match self.put_on_desk(mailbox) {
            OnDesk::Alone => {}
            OnDesk::Displaced(former) => {
                let priority = former.announced_priority();
                self.announce_to_all(former, priority);
            }
            OnDesk::NoDesk => self.announce_to_all(mailbox.clone(), priority),
        }
    }

    fn put_on_desk(&self, mailbox: &Arc<Mailbox>) -> OnDesk {
        let put = |at: &RefCell<Option<At>>| match &*at.borrow() {
            Some(at) if at.is_of(self) && self.has_fresh.load(Ordering::Relaxed) => {
                match at.desk.fresh.swap(Some(mailbox.clone())) {
                    None => OnDesk::Alone,
                    Some(former) => OnDesk::Displaced(former),
                }
            }
            _ => OnDesk::NoDesk,
        };
        // A thread that is ending may send too, and has no desk any more.
        AT.try_with(put).unwrap_or(OnDesk::NoDesk)
    }

    fn announce_to_all(&self, mailbox: Arc<Mailbox>, priority: MessagePriority) {
        let agent = mailbox.agent();
        match self.announced.push((mailbox, priority)) {
            Ok(()) => self.idle.wake(),
            Err((mailbox, _)) => {
                lock(&self.waiting).add(agent, &mailbox);
                // A scheduler that attached meanwhile may have looked at the set before.
                if !self.announced.is_closed() && self.announced.push((mailbox, priority)).is_ok() {
                    self.idle.wake();
                }
            }
        }
    }

    /// Forgets a mailbox that was removed.
    pub(crate) fn forget(&self, agent: AgentId) {
        lock(&self.waiting).numbers.remove(&agent);
    }

    fn try_attach(&self) -> bool {
        // AcqRel: pairs with the Release in `Attachment::detach`, so the next scheduler sees all that
        // the former one did.
        let is_first = !self.attached.swap(true, Ordering::AcqRel);
        if is_first {
            self.announced.open();
        }
        is_first
    }

    /// Those who announced while nobody was attached, the first one first.
    fn take_waiting(&self) -> Vec<Arc<Mailbox>> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let mut waiting: Vec<_> = waiting.numbers.into_values().collect();
        waiting.sort_unstable_by_key(|(number, _)| *number);
        waiting.into_iter().filter_map(|(_, mailbox)| mailbox.upgrade()).collect()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    numbers: HashMap<AgentId, (u64, Weak<Mailbox>)>,
    next: u64,
}

impl Waiting {
    fn add(&mut self, agent: AgentId, mailbox: &Arc<Mailbox>) {
        self.numbers.entry(agent).or_insert_with(|| (self.next, Arc::downgrade(mailbox)));
        self.next += 1;
    }
}

enum OnDesk {
    Alone,
    Displaced(Arc<Mailbox>),
    NoDesk,
}

/// The right to schedule a bus, of which there is one at a time; see
/// [`MessageBus::attach`](crate::MessageBus::attach). Given back when it is dropped.
#[derive(Debug)]
pub struct Attachment {
    home: Arc<Home>,
    term: Term,
    detached: AtomicBool,
}

impl Attachment {
    /// See [`MessageBus::attach`](crate::MessageBus::attach).
    pub(crate) fn attach(home: Arc<Home>) -> Option<Self> {
        if !home.ready.try_attach() {
            return None;
        }
        home.ready.has_fresh.store(true, Ordering::Relaxed);
        let term = home.ready.idle.term();
        let attachment = Self { home, term, detached: AtomicBool::new(false) };
        for mailbox in attachment.home.ready.take_waiting() {
            mailbox.leave();
        }
        Some(attachment)
    }

    /// Takes the mailboxes that announced themselves to everybody, oldest first.
    pub fn take_announced(&self) -> impl Iterator<Item = Announced> + use<> {
        self.home.ready.announced.take()
    }

    /// Whether a mailbox has announced itself to everybody and was not taken.
    #[must_use]
    pub fn has_announced(&self) -> bool {
        !self.home.ready.announced.is_empty()
    }

    /// Announces a mailbox to everybody, whatever waits in it.
    pub fn announce(&self, mailbox: Arc<Mailbox>, priority: MessagePriority) {
        self.home.ready.announce_to_all(mailbox, priority);
    }

    /// Runs `f`; what it announces on this bus from this thread goes to `desk`, and wakes nobody. A
    /// mailbox that is displaced there by a later one is announced to everybody. The caller looks at
    /// the desk right after, also if `f` panics.
    pub fn at_desk<R>(&self, desk: &Arc<Desk>, f: impl FnOnce() -> R) -> R {
        struct Former(Option<At>);
        impl Drop for Former {
            fn drop(&mut self) {
                let at = AT.with(|at| at.replace(self.0.take()));
                if let Some(At { desk, book, .. }) = at {
                    desk.book.store(Some(book));
                }
            }
        }
        let ready: &Ready = &self.home.ready;
        let book = desk.book.take().unwrap_or_default();
        let here = At { of: ptr::from_ref(ready), desk: desk.clone(), book };
        let _former = Former(AT.with(|at| at.replace(Some(here))));
        f()
    }

    /// Whether desks are used. Without them every announcement is in one order.
    pub fn use_desks(&self, yes: bool) {
        self.home.ready.has_fresh.store(yes, Ordering::Relaxed);
    }

    /// Looks, and if there is nothing to see, waits until somebody announces or
    /// [`wake`](Self::wake) is called. Nothing that comes after the look is slept through. Nobody waits
    /// once this attachment is detached.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wake-up that a dropped future had received goes to another waiter.
    pub async fn look_or_wait<T>(&self, look: impl FnOnce() -> Option<T>) -> Look<T> {
        self.home.ready.idle.look_or_wait(self.term, look).await
    }

    /// A worker that was [woken](Look::Woken) searches no longer.
    pub fn searched(&self) {
        self.home.ready.idle.searched(self.term);
    }

    /// Whether somebody was [woken](Look::Woken) and has not found anything yet.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.home.ready.idle.is_searched()
    }

    /// How many wait in [`look_or_wait`](Self::look_or_wait).
    #[must_use]
    pub fn n_asleep(&self) -> usize {
        self.home.ready.idle.n_asleep() as usize
    }

    /// Wakes one who waits in [`look_or_wait`](Self::look_or_wait), unless one who was woken before
    /// is still searching.
    pub fn wake(&self) {
        self.home.ready.idle.wake();
    }

    /// Wakes all who wait in [`look_or_wait`](Self::look_or_wait).
    pub fn wake_all(&self) {
        self.home.ready.idle.wake_all();
    }

    /// Gives the right back before the drop. What was announced and not taken, and what is on a
    /// desk, is for the caller to [leave](Mailbox::leave) as the next scheduler expects it. All who wait
    /// are woken. Using this attachment afterwards does no harm, but takes from the next scheduler what
    /// it should be told.
    pub fn detach(&self) {
        if !self.detached.swap(true, Ordering::AcqRel) {
            let left = self.home.ready.announced.close();
            // They go to the set of those who wait for the next scheduler.
            for (mailbox, _) in left {
                mailbox.leave();
            }
            self.home.ready.idle.end();
            self.home.ready.attached.store(false, Ordering::Release);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}
