//! Which mailboxes have something to look at, for the one scheduler of a bus.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::lane::Stack;
use crate::mailbox::Mailbox;

/// Mailboxes that announced themselves, oldest announcement first. An announcement is a hint: there
/// may be two for one mailbox, and the mailbox may be empty by the time it is looked at.
///
/// Only while a scheduler is attached: an announcement keeps its mailbox, and through it this bus,
/// so what nobody took would keep both for good.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Closed while no scheduler is attached.
    announced: Stack<Arc<Mailbox>>,
    wake: Notify,
    attached: AtomicBool,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            announced: Stack::new_closed(),
            wake: Notify::new(),
            attached: AtomicBool::new(false),
        }
    }
}

thread_local! {
    /// Whose announcements this thread looks at by itself soon.
    static QUIET: Cell<*const Ready> = const { Cell::new(ptr::null()) };
}

impl Ready {
    /// False if nobody is attached; [`MessageBus::attach`](crate::MessageBus::attach) looks at every
    /// mailbox.
    pub(crate) fn announce(&self, mailbox: &Arc<Mailbox>) -> bool {
        let announced = !self.announced.is_closed() && self.announced.push(mailbox.clone()).is_ok();
        if announced && !ptr::eq(QUIET.get(), self) {
            self.wake.notify_one();
        }
        announced
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
}

/// The right to schedule a bus, of which there is one at a time; see
/// [`MessageBus::attach`](crate::MessageBus::attach). Given back when it is dropped.
#[derive(Debug)]
pub struct Attachment {
    home: Arc<crate::home::Home>,
    detached: AtomicBool,
}

impl Attachment {
    pub(crate) fn new(home: Arc<crate::home::Home>) -> Self {
        Self { home, detached: AtomicBool::new(false) }
    }

    /// Takes the mailboxes that announced themselves, oldest first.
    pub fn take_announced(&self) -> impl Iterator<Item = Arc<Mailbox>> + use<> {
        self.home.ready.announced.take()
    }

    /// Whether a mailbox has announced itself and was not taken.
    #[must_use]
    pub fn has_announced(&self) -> bool {
        !self.home.ready.announced.is_empty()
    }

    /// Looks, and if there is nothing to see, waits until a mailbox announces itself or
    /// [`wake`](Self::wake) is called. Answers what the look found, `None` after a wait. Nothing
    /// that comes after the look is slept through; one waiter is woken by one announcement.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wake-up that a dropped future had received goes to another waiter.
    pub async fn look_or_wait<T>(&self, look: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut announced = std::pin::pin!(self.home.ready.wake.notified());
        // Registered before looking, or what comes in between is slept through.
        announced.as_mut().enable();
        let found = look();
        if found.is_none() {
            announced.await;
        }
        found
    }

    /// Wakes one who waits in [`look_or_wait`](Self::look_or_wait), or the next one to come.
    pub fn wake(&self) {
        self.home.ready.wake.notify_one();
    }

    /// Wakes all who wait in [`look_or_wait`](Self::look_or_wait).
    pub fn wake_all(&self) {
        self.home.ready.wake.notify_waiters();
    }

    /// Runs `f`; what this thread announces on this bus meanwhile wakes nobody. The caller looks at
    /// the announcements right after, also if `f` panics, and wakes others if there is more than it
    /// does itself.
    pub fn quietly<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Former(*const Ready);
        impl Drop for Former {
            fn drop(&mut self) {
                QUIET.set(self.0);
            }
        }
        let _former = Former(QUIET.replace(&raw const self.home.ready));
        f()
    }
}

impl Attachment {
    /// Gives the right back before the drop. Using this attachment afterwards does no harm, but
    /// takes from the next scheduler what it should be told.
    pub fn detach(&self) {
        if !self.detached.swap(true, Ordering::AcqRel) {
            drop(self.home.ready.announced.close());
            self.home.ready.attached.store(false, Ordering::Release);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}
