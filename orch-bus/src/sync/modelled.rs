//! Stand-ins for what others wrote, which a model checker cannot look into.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use super::kind::{AtomicU64, Mutex, MutexGuard, Ordering};

/// Stands in for `once_cell::race::OnceBox`: whoever sees it filled sees all that was before.
#[derive(Debug)]
pub(crate) struct OnceBox<T> {
    filled: AtomicU64,
    content: OnceLock<T>,
}

impl<T> OnceBox<T> {
    pub(crate) fn new() -> Self {
        Self { filled: AtomicU64::new(0), content: OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let is_filled = self.filled.load(Ordering::Acquire) == 1;
        is_filled.then(|| self.content.get().expect("the mark is set with the content"))
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> Box<T>) -> &T {
        if let Some(content) = self.get() {
            return content;
        }
        let mine = make();
        // Nobody runs between the two: a model checker changes threads before its atomics alone.
        if self.filled.swap(1, Ordering::AcqRel) == 0 {
            assert!(self.content.set(*mine).is_ok(), "only one is the first to swap");
        }
        self.content.get().expect("the mark is set with the content")
    }
}

/// Stands in for `crossbeam_utils::atomic::AtomicCell`, each of whose steps is one exchange: whoever
/// takes something out sees all that was before it was put in.
#[derive(Debug)]
pub(crate) struct AtomicCell<T> {
    exchanges: AtomicU64,
    /// Not seen by the checker, and never contended.
    content: std::sync::Mutex<T>,
}

impl<T> AtomicCell<T> {
    pub(crate) fn new(content: T) -> Self {
        Self { exchanges: AtomicU64::new(0), content: std::sync::Mutex::new(content) }
    }

    pub(crate) fn swap(&self, content: T) -> T {
        // Nobody runs between the two: see `OnceBox`.
        self.exchanges.fetch_add(1, Ordering::AcqRel);
        mem::replace(&mut *self.content.lock().expect("nothing in here panics"), content)
    }
}

impl<T: Default> AtomicCell<T> {
    pub(crate) fn take(&self) -> T {
        self.swap(T::default())
    }
}

impl<T: Default> Default for AtomicCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Stands in for tokio's `Notify`, with the same promises: a permit is kept for the next one who
/// waits, who waits first is woken first, and one who was woken and goes away wakes another.
#[derive(Debug)]
pub(crate) struct Notify(Mutex<Waiters>);

#[derive(Debug, Default)]
struct Waiters {
    permit: bool,
    next: u64,
    waiting: VecDeque<(u64, Option<Waker>)>,
    /// Woken, and not come to see it.
    woken: Vec<(u64, Woken)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    AsOne,
    WithAll,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Waiters::default()))
    }

    pub(crate) fn notify_one(&self) {
        let waker = self.lock().wake_one();
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notify_waiters(&self) {
        let mut waiters = self.lock();
        let all: Vec<_> = waiters.waiting.drain(..).collect();
        waiters.woken.extend(all.iter().map(|(number, _)| (*number, Woken::WithAll)));
        drop(waiters);
        all.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified { notify: self, number: None, done: false }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().expect("nothing in here panics")
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl Waiters {
    fn wake_one(&mut self) -> Option<Waker> {
        let Some((number, waker)) = self.waiting.pop_front() else {
            self.permit = true;
            return None;
        };
        self.woken.push((number, Woken::AsOne));
        waker
    }

    fn take_woken(&mut self, number: u64) -> Option<Woken> {
        let at = self.woken.iter().position(|(woken, _)| *woken == number)?;
        Some(self.woken.swap_remove(at).1)
    }
}

#[derive(Debug)]
pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    number: Option<u64>,
    done: bool,
}

impl Notified<'_> {
    /// Waits from now on, though nobody polls. True if it was notified already.
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        self.wait(None)
    }

    fn wait(&mut self, waker: Option<&Waker>) -> bool {
        if self.done {
            return true;
        }
        let mut waiters = self.notify.lock();
        match self.number {
            None if waiters.permit => {
                waiters.permit = false;
                self.done = true;
            }
            None => {
                let number = waiters.next;
                waiters.next += 1;
                waiters.waiting.push_back((number, waker.cloned()));
                self.number = Some(number);
            }
            Some(number) if waiters.take_woken(number).is_some() => self.done = true,
            Some(number) => {
                let mine = waiters.waiting.iter_mut().find(|(waiting, _)| *waiting == number);
                mine.expect("it waits, or was woken").1 = waker.cloned();
            }
        }
        self.done
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.wait(Some(cx.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number.filter(|_| !self.done) else { return };
        let mut waiters = self.notify.lock();
        waiters.waiting.retain(|(waiting, _)| *waiting != number);
        let was_woken = waiters.take_woken(number);
        let next = (was_woken == Some(Woken::AsOne)).then(|| waiters.wake_one()).flatten();
        drop(waiters);
        next.into_iter().for_each(Waker::wake);
    }
}
