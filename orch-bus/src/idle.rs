//! The workers of the one scheduler that sleep, and who wakes them.
//!
//! ```text
//!   awake ──lies down──▶ looks ──sees nothing──▶ asleep
//!     ▲                    │                        │ woken: who came last, and one at a time
//!     ├───sees something───┘                        ▼
//!     └──has searched◀── takes something, or finds nothing ◀── searches
//! ```
//!
//! The promise: what was made visible before somebody [wakes](Idle::wake) is not slept through. A
//! worker that is about to lie down sees it when it looks, or one that sleeps is woken for it and
//! sees it, or one that searches sees it when it looks again after it [has searched](Idle::searched).
//! So a searcher that takes something looks again, and wakes the next one if more is left; then
//! nobody sleeps beside something that nobody will look at.
//!
//! One searches at a time: a herd would find one thing, and be in each other's way. Only
//! [`wake_all`](Idle::wake_all) makes more of them.
//!
//! Waking takes no lock as long as nobody sleeps.
//!
//! Sleepers and searchers belong to a term, which is the time of one scheduler. [Its end](Idle::end)
//! wakes all who sleep; nobody of it counts any more, as they go home in their own time, and the next
//! scheduler must not wait for them.

use std::future::poll_fn;
use std::mem;
use std::task::{Poll, Waker};

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// The workers that sleep. The word is changed under the lock only, and read without it: by a
/// read-modify-write, so that whoever announces either sees a sleeper, or is seen by the last look
/// of one who is about to sleep.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Sleepers in the low half; in the high half those who were woken and have found nothing yet.
    word: CachePadded<AtomicU64>,
    beds: Mutex<Beds>,
}

#[derive(Debug, Default)]
struct Beds {
    term: Term,
    /// Those of this term, the last one last.
    asleep: Vec<Sleeper>,
    next_name: u64,
}

/// The time of one scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Term(u64);

#[derive(Debug)]
struct Sleeper {
    name: u64,
    waker: Option<Waker>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// The look found something, and did not wait.
    Found(T),
    /// Somebody woke this worker, which is a searcher now: while there is one, announcements wake
    /// nobody else. It says [`searched`](crate::Attachment::searched) once it has found something, or
    /// before it looks for the last time and waits again; if it goes away instead, it then wakes
    /// another one.
    Woken,
}

const SEARCHER: u64 = 1 << 32;

impl Idle {
    pub(crate) fn new() -> Self {
        let word = CachePadded::new(AtomicU64::new(0));
        Self { word, beds: Mutex::default() }
    }

    pub(crate) fn term(&self) -> Term {
        lock(&self.beds).term
    }

    /// Ends the term, and wakes all who sleep.
    pub(crate) fn end(&self) {
        let mut beds = lock(&self.beds);
        beds.term.0 += 1;
        let asleep = mem::take(&mut beds.asleep);
        self.word.swap(0, Ordering::AcqRel);
        drop(beds);
        asleep.into_iter().filter_map(|it| it.waker).for_each(Waker::wake);
    }

    /// Looks, and if there is nothing to see, sleeps until somebody wakes it, or the term has ended.
    pub(crate) async fn look_or_wait<T>(
        &self,
        term: Term,
        look: impl FnOnce() -> Option<T>,
    ) -> Look<T> {
        // Counted as asleep before looking, or what comes in between wakes nobody.
        let name = self.lie_down(term);
        let mut bed = Bed { idle: self, term, name: Some(name) };
        if let Some(found) = look() {
            return Look::Found(found);
        }
        poll_fn(|cx| if self.poll(name, cx.waker()) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        bed.name = None;
        Look::Woken
    }

    /// Wakes one sleeper, unless one who was woken is still looking: it will find what is there.
    pub(crate) fn wake(&self) {
        let word = self.word.fetch_add(0, Ordering::AcqRel);
        if n_asleep(word) > 0 && word < SEARCHER {
            let mut beds = lock(&self.beds);
            // Nobody else changes the word now.
            if self.word.load(Ordering::Relaxed) >= SEARCHER {
                return;
            }
            let woken = self.wake_last(&mut beds);
            drop(beds);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Wakes all sleepers.
    pub(crate) fn wake_all(&self) {
        let mut beds = lock(&self.beds);
        let mut wakers = Vec::new();
        while !beds.asleep.is_empty() {
            wakers.extend(self.wake_last(&mut beds));
        }
        drop(beds);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// One who was woken in this term searches no longer.
    pub(crate) fn searched(&self, term: Term) {
        let beds = lock(&self.beds);
        if beds.term == term {
            self.word.fetch_sub(SEARCHER, Ordering::AcqRel);
        }
    }

    /// Whether somebody searches. Orders nothing.
    pub(crate) fn is_searched(&self) -> bool {
        self.word.load(Ordering::Relaxed) >= SEARCHER
    }

    pub(crate) fn n_asleep(&self) -> u64 {
        n_asleep(self.word.load(Ordering::Acquire))
    }

    fn wake_last(&self, beds: &mut Beds) -> Option<Waker> {
        let sleeper = beds.asleep.pop()?;
        self.word.fetch_add(SEARCHER.wrapping_sub(1), Ordering::AcqRel);
        sleeper.waker
    }

    /// Counts as asleep, unless the term has ended: then it is as if somebody had woken it.
    fn lie_down(&self, term: Term) -> u64 {
        let mut beds = lock(&self.beds);
        let name = beds.next_name;
        beds.next_name += 1;
        if beds.term == term {
            beds.asleep.push(Sleeper { name, waker: None });
            self.word.fetch_add(1, Ordering::AcqRel);
        }
        name
    }

    /// Stops counting as asleep; false if somebody has woken this sleeper, who then searches.
    fn get_up(&self, name: u64) -> bool {
        let mut beds = lock(&self.beds);
        let place = beds.asleep.iter().position(|sleeper| sleeper.name == name);
        let Some(place) = place else { return false };
        beds.asleep.remove(place);
        self.word.fetch_sub(1, Ordering::AcqRel);
        true
    }

    /// Keeps the waker of a sleeper; true if it was woken.
    fn poll(&self, name: u64, waker: &Waker) -> bool {
        let mut beds = lock(&self.beds);
        match beds.asleep.iter_mut().find(|sleeper| sleeper.name == name) {
            Some(sleeper) => {
                sleeper.waker = Some(waker.clone());
                false
            }
            None => true,
        }
    }

    /// Sleepers and searchers.
    #[cfg(all(test, any(orch_loom, orch_shuttle)))]
    pub(crate) fn counts(&self) -> (u64, u64) {
        let word = self.word.load(Ordering::Acquire);
        (n_asleep(word), word / SEARCHER)
    }
}

fn n_asleep(word: u64) -> u64 {
    word % SEARCHER
}

/// Gets up when it is dropped; woken meanwhile, it passes the wake-up on.
struct Bed<'a> {
    idle: &'a Idle,
    term: Term,
    name: Option<u64>,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take()
            && !self.idle.get_up(name)
        {
            self.idle.searched(self.term);
            self.idle.wake();
        }
    }
}
