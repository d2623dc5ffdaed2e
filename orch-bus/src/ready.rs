//! Which mailboxes have something to look at, for the one scheduler of a bus.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::lane::Stack;
use crate::mailbox::Mailbox;

/// Mailboxes that announced themselves, oldest announcement first. An announcement is a hint: there
/// may be two for one mailbox, and the mailbox may be empty by the time it is looked at.
#[derive(Debug)]
pub(crate) struct Ready {
    announced: Stack<Arc<Mailbox>>,
    wake: Notify,
    attached: AtomicBool,
}

impl Default for Ready {
    fn default() -> Self {
        Self { announced: Stack::new(), wake: Notify::new(), attached: AtomicBool::new(false) }
    }
}

impl Ready {
    pub(crate) fn announce(&self, mailbox: Arc<Mailbox>) {
        let pushed = self.announced.push(mailbox);
        debug_assert!(pushed.is_ok(), "the announcements are never closed");
        self.wake.notify_one();
    }

    pub(crate) fn try_attach(&self) -> bool {
        // AcqRel: pairs with the Release in `Attachment::drop`, so the next scheduler sees all that
        // the former one did.
        !self.attached.swap(true, Ordering::AcqRel)
    }
}

/// The right to schedule a bus, of which there is one at a time; see
/// [`MessageBus::attach`](crate::MessageBus::attach). Given back when it is dropped.
#[derive(Debug)]
pub struct Attachment {
    home: Arc<crate::home::Home>,
}

impl Attachment {
    pub(crate) fn new(home: Arc<crate::home::Home>) -> Self {
        Self { home }
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

    /// Returns when a mailbox has announced itself since the last call, or [`wake`](Self::wake)
    /// was called. One waiter is woken by one announcement.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wake-up that a dropped future had received goes to another waiter.
    pub fn announced(&self) -> impl Future<Output = ()> + '_ {
        self.home.ready.wake.notified()
    }

    /// Wakes one waiter of [`announced`](Self::announced), or the next one to come.
    pub fn wake(&self) {
        self.home.ready.wake.notify_one();
    }

    /// Wakes all present waiters of [`announced`](Self::announced).
    pub fn wake_all(&self) {
        self.home.ready.wake.notify_waiters();
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.home.ready.attached.store(false, Ordering::Release);
    }
}
