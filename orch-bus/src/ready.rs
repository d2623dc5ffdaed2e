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
use std::future::poll_fn;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;
use orch_core::{AgentId, MessagePriority};

use crate::book::Book;
use crate::home::Home;
use crate::mailbox::Mailbox;
use crate::stack::Stack;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

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
            idle: Idle::default(),
        }
    }
}

/// Where one worker finds what became ready on its own thread: the most recent mailbox, whose message
/// is in this core's cache. Others may take it too.
#[derive(Default)]
pub struct Desk {
    fresh: CachePadded<AtomicCell<Option<Arc<Mailbox>>>>,
    /// While nobody works here.
    book: AtomicCell<Option<Box<Book>>>,
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
            Ok(()) => self.idle.rouse(),
            Err((mailbox, _)) => {
                lock(&self.waiting).add(agent, &mailbox);
                // A scheduler that attached meanwhile may have looked at the set before.
                if !self.announced.is_closed() && self.announced.push((mailbox, priority)).is_ok() {
                    self.idle.rouse();
                }
            }
        }
    }

    /// Forgets a mailbox that was removed.
    pub(crate) fn forget(&self, agent: AgentId) {
        lock(&self.waiting).numbers.remove(&agent);
    }

    pub(crate) fn try_attach(&self) -> bool {
        // AcqRel: pairs with the Release in `Attachment::detach`, so the next scheduler sees all that
        // the former one did.
        let is_first = !self.attached.swap(true, Ordering::AcqRel);
        if is_first {
            self.announced.open();
        }
        is_first
    }

    /// Those who announced while nobody was attached, the first one first.
    pub(crate) fn take_waiting(&self) -> Vec<Arc<Mailbox>> {
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

/// The workers that sleep. The word is changed under the lock only, and read without it: by a
/// read-modify-write, so that whoever announces either sees a sleeper, or is seen by the last look
/// of one who is about to sleep.
#[derive(Debug, Default)]
struct Idle {
    /// Sleepers in the low half; in the high half those who were woken and have found nothing yet.
    word: CachePadded<AtomicU64>,
    asleep: Mutex<Vec<Sleeper>>,
    names: AtomicU64,
}

#[derive(Debug)]
struct Sleeper {
    name: u64,
    waker: Option<Waker>,
}

const SEARCHER: u64 = 1 << 32;

fn n_asleep(word: u64) -> u64 {
    word % SEARCHER
}

impl Idle {
    /// Wakes one sleeper, unless one who was woken is still looking: it will find what is there.
    fn rouse(&self) {
        let word = self.word.fetch_add(0, Ordering::AcqRel);
        if n_asleep(word) > 0 && word < SEARCHER {
            let mut asleep = lock(&self.asleep);
            // Nobody else changes the word now.
            if self.word.load(Ordering::Relaxed) >= SEARCHER {
                return;
            }
            let woken = self.wake_last(&mut asleep);
            drop(asleep);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn wake_last(&self, asleep: &mut Vec<Sleeper>) -> Option<Waker> {
        let sleeper = asleep.pop()?;
        self.word.fetch_add(SEARCHER.wrapping_sub(1), Ordering::AcqRel);
        sleeper.waker
    }

    fn rouse_all(&self) {
        let mut asleep = lock(&self.asleep);
        let mut wakers = Vec::new();
        while !asleep.is_empty() {
            wakers.extend(self.wake_last(&mut asleep));
        }
        drop(asleep);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Counts as asleep.
    fn lie_down(&self) -> u64 {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let mut asleep = lock(&self.asleep);
        asleep.push(Sleeper { name, waker: None });
        self.word.fetch_add(1, Ordering::AcqRel);
        name
    }

    /// Stops counting as asleep; false if somebody has woken this sleeper, who then searches.
    fn get_up(&self, name: u64) -> bool {
        let mut asleep = lock(&self.asleep);
        let place = asleep.iter().position(|sleeper| sleeper.name == name);
        let Some(place) = place else { return false };
        asleep.remove(place);
        self.word.fetch_sub(1, Ordering::AcqRel);
        true
    }

    /// Keeps the waker of a sleeper; true if it was woken.
    fn poll(&self, name: u64, waker: &Waker) -> bool {
        let mut asleep = lock(&self.asleep);
        match asleep.iter_mut().find(|sleeper| sleeper.name == name) {
            Some(sleeper) => {
                sleeper.waker = Some(waker.clone());
                false
            }
            None => true,
        }
    }

    fn stop_searching(&self) {
        let _asleep = lock(&self.asleep);
        self.word.fetch_sub(SEARCHER, Ordering::AcqRel);
    }
}

/// Gets up when it is dropped; woken meanwhile, it passes the wake-up on.
struct Bed<'a> {
    idle: &'a Idle,
    name: Option<u64>,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take()
            && !self.idle.get_up(name)
        {
            self.idle.stop_searching();
            self.idle.rouse();
        }
    }
}

/// The right to schedule a bus, of which there is one at a time; see
/// [`MessageBus::attach`](crate::MessageBus::attach). Given back when it is dropped.
#[derive(Debug)]
pub struct Attachment {
    home: Arc<Home>,
    detached: AtomicBool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// The look found something, and did not wait.
    Found(T),
    /// Somebody woke this worker, which is a searcher now: while there is one, announcements wake
    /// nobody else. It says [`searched`](Attachment::searched) once it has found something, or
    /// before it looks for the last time and waits again.
    Woken,
}

impl Attachment {
    pub(crate) fn new(home: Arc<Home>) -> Self {
        home.ready.has_fresh.store(true, Ordering::Relaxed);
        Self { home, detached: AtomicBool::new(false) }
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
                if let Some(At { desk, book, .. }) = AT.replace(self.0.take()) {
                    desk.book.store(Some(book));
                }
            }
        }
        let book = desk.book.take().unwrap_or_default();
        let at = At { of: &raw const self.home.ready, desk: desk.clone(), book };
        let _former = Former(AT.replace(Some(at)));
        f()
    }

    /// Whether desks are used. Without them every announcement is in one order.
    pub fn use_desks(&self, yes: bool) {
        self.home.ready.has_fresh.store(yes, Ordering::Relaxed);
    }

    /// Looks, and if there is nothing to see, waits until somebody announces or
    /// [`wake`](Self::wake) is called. Nothing that comes after the look is slept through.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wake-up that a dropped future had received goes to another waiter.
    pub async fn look_or_wait<T>(&self, look: impl FnOnce() -> Option<T>) -> Look<T> {
        let idle = &self.home.ready.idle;
        // Counted as asleep before looking, or what comes in between wakes nobody.
        let name = idle.lie_down();
        let mut bed = Bed { idle, name: Some(name) };
        if let Some(found) = look() {
            return Look::Found(found);
        }
        poll_fn(|cx| if idle.poll(name, cx.waker()) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        bed.name = None;
        Look::Woken
    }

    /// A worker that was [woken](Look::Woken) searches no longer.
    pub fn searched(&self) {
        self.home.ready.idle.stop_searching();
    }

    /// Whether somebody was [woken](Look::Woken) and has not found anything yet.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.home.ready.idle.word.load(Ordering::Relaxed) >= SEARCHER
    }

    /// How many wait in [`look_or_wait`](Self::look_or_wait).
    #[must_use]
    pub fn n_asleep(&self) -> usize {
        n_asleep(self.home.ready.idle.word.load(Ordering::Acquire)) as usize
    }

    /// Wakes one who waits in [`look_or_wait`](Self::look_or_wait), unless one who was woken before
    /// is still searching.
    pub fn wake(&self) {
        self.home.ready.idle.rouse();
    }

    /// Wakes all who wait in [`look_or_wait`](Self::look_or_wait).
    pub fn wake_all(&self) {
        self.home.ready.idle.rouse_all();
    }

    /// Gives the right back before the drop. What was announced and not taken, and what is on a
    /// desk, is for the caller to [leave](Mailbox::leave) as the next scheduler expects it. Using this
    /// attachment afterwards does no harm, but takes from the next scheduler what it should be told.
    pub fn detach(&self) {
        if !self.detached.swap(true, Ordering::AcqRel) {
            let left = self.home.ready.announced.close();
            // They go to the set of those who wait for the next scheduler.
            for (mailbox, _) in left {
                mailbox.leave();
            }
            self.home.ready.attached.store(false, Ordering::Release);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
