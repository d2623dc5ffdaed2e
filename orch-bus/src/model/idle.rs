//! Workers that sleep: nobody sleeps beside something that nobody will look at. Whoever does so never
//! wakes up, which the checker takes for a deadlock.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{JoinHandle, block_on, check, spawn_with};
use crate::Look;
use crate::idle::{Idle, Term};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Things to do, and the workers that sleep while there are none. What says so orders nothing: that
/// it is seen is for `Idle` alone to bring about.
struct House {
    idle: Idle,
    term: Term,
    n_things: AtomicU64,
    has_ended: AtomicBool,
}

impl House {
    fn new() -> Arc<Self> {
        let idle = Idle::new();
        Arc::new(Self {
            term: idle.term(),
            idle,
            n_things: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        })
    }

    fn announce(&self) {
        self.n_things.fetch_add(1, Ordering::Relaxed);
        self.idle.wake();
    }

    fn has_things(&self) -> bool {
        self.n_things.load(Ordering::Relaxed) > 0
    }

    fn take(&self) -> bool {
        let one_less = |n: u64| n.checked_sub(1);
        self.n_things.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// A worker that finds one thing, and is busy with it for good.
    fn work(&self) {
        let mut is_searching = false;
        while !self.take() {
            if is_searching {
                self.searched();
            }
            is_searching = self.look_or_wait(|| self.has_things());
        }
        if is_searching {
            self.searched();
            self.hand_on();
        }
    }

    /// Whether it was woken.
    fn look_or_wait(&self, look: impl FnOnce() -> bool) -> bool {
        let look = || look().then_some(());
        block_on(self.idle.look_or_wait(self.term, look)) == Look::Woken
    }

    fn searched(&self) {
        self.idle.searched(self.term);
    }

    fn hand_on(&self) {
        if self.has_things() {
            self.idle.wake();
        }
    }

    /// A worker that waits for the end.
    fn wait_for_the_end(&self) {
        let has_ended = || self.has_ended.load(Ordering::Relaxed);
        while !has_ended() {
            if self.look_or_wait(has_ended) {
                self.searched();
            }
        }
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        self.idle.wake_all();
    }

    /// A worker that lies down, and goes away whatever comes.
    fn lie_down_shortly(&self) {
        let mut sleeps = pin!(self.idle.look_or_wait(self.term, || None::<()>));
        let polled = sleeps.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Ready(Look::Woken) {
            self.searched();
            self.hand_on();
        }
    }

    /// Waits for all threads: nobody sleeps or searches then, and nothing is left.
    fn assert_ends<const N: usize>(&self, threads: [JoinHandle<()>; N]) {
        threads.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!((self.has_things(), self.idle.counts()), (false, (0, 0)));
    }
}

#[test]
fn lying_down() {
    check("idle: an announcement while a worker lies down", || {
        let house = House::new();
        let worker = spawn_with(&house, House::work);
        let announcer = spawn_with(&house, House::announce);
        house.assert_ends([worker, announcer]);
    });
}

/// The second one may find a searcher, and then wakes nobody.
#[test]
fn two_announcements() {
    check("idle: two announcements, two workers", || {
        let house = House::new();
        let [one, other] = [(); 2].map(|()| spawn_with(&house, House::work));
        let announcer = spawn_with(&house, |house| (0..2).for_each(|_| house.announce()));
        house.assert_ends([one, other, announcer]);
    });
}

#[test]
fn two_announcers() {
    check("idle: two announcers wake one of two", || {
        let house = House::new();
        let mut sleepers =
            [(); 2].map(|()| Box::pin(house.idle.look_or_wait(house.term, || None::<()>)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sleepers.iter_mut().all(|it| it.as_mut().poll(&mut cx).is_pending()));
        let announcer = spawn_with(&house, House::announce);
        house.announce();
        announcer.join().unwrap();
        assert_eq!(house.idle.counts(), (1, 1), "one searches at a time");
    });
}

/// Somebody else may take what it was woken for; it then lies down while the next thing comes.
#[test]
fn searching_in_vain() {
    check("idle: a searcher that finds nothing", || {
        let house = House::new();
        let worker = spawn_with(&house, House::work);
        let announcer = spawn_with(&house, |house| {
            house.announce();
            if house.take() {
                house.announce();
            }
        });
        house.assert_ends([worker, announcer]);
    });
}

#[test]
fn waking_all() {
    check("idle: all are woken while two lie down", || {
        let house = House::new();
        let workers = [(); 2].map(|()| spawn_with(&house, House::wait_for_the_end));
        house.end();
        house.assert_ends(workers);
    });
}

#[test]
fn waking_all_while_one_is_woken() {
    check("idle: all are woken while one is woken", || {
        let house = House::new();
        let [one, other] = [(); 2].map(|()| spawn_with(&house, House::wait_for_the_end));
        let announcer = spawn_with(&house, |house| house.idle.wake());
        house.end();
        house.assert_ends([one, other, announcer]);
    });
}

/// Whoever goes away may have been woken for what another one must do then.
#[test]
fn going_away() {
    check("idle: a sleeper that goes away", || {
        let house = House::new();
        let worker = spawn_with(&house, House::work);
        let other = spawn_with(&house, House::lie_down_shortly);
        let announcer = spawn_with(&house, House::announce);
        house.assert_ends([worker, other, announcer]);
    });
}
