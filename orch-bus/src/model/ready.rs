//! Who looks after mailboxes: the stack of announcements, desks, sleepers, and a mailbox that one worker
//! hands over to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use orch_core::{AgentId, AgentMessage, MessagePriority};

use super::{block_on, check, spawn_with};
use crate::home::Home;
use crate::sync::Life;
use crate::{Announce, Attachment, Desk, Look, Mailbox};

/// A bus, as far as schedulers know it.
struct Bus {
    home: Arc<Home>,
    mailboxes: [(Arc<Mailbox>, Life); 2],
    /// Whoever is attached has it alone.
    schedule: Life,
    /// Not seen by the checker: it orders nothing.
    n_served: Count,
}

impl Bus {
    fn new() -> Arc<Self> {
        let home = Home::with_ready();
        let mailbox = |_| Mailbox::at_home(AgentId::OUTSIDE, u32::MAX, home.clone());
        Arc::new(Self {
            mailboxes: std::array::from_fn(|at| (mailbox(at), Life::new())),
            home,
            schedule: Life::new(),
            n_served: Count::new(0),
        })
    }

    fn attach(self: &Arc<Self>) -> Arc<Scheduler> {
        let attachment = Attachment::attach(self.home.clone()).expect("nobody else is attached");
        Arc::new(Scheduler { bus: self.clone(), attachment, desk: Arc::default() })
    }

    /// A scheduler that goes at once, unless another one is there.
    fn come_and_go(&self) {
        if let Some(attachment) = Attachment::attach(self.home.clone()) {
            self.schedule.alone();
            drop(attachment);
        }
    }

    /// As `Mailbox::try_send`.
    fn send(&self, to: usize) {
        let (mailbox, priority) = (&self.mailboxes[to].0, MessagePriority::Normal);
        let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, "x");
        assert!(mailbox.try_reserve(priority) && mailbox.push_reserved(message).is_ok());
        mailbox.signal_arrival(priority);
    }

    fn send_twice(&self) {
        (0..2).for_each(|_| self.send(0));
    }

    /// Handles what waits in a mailbox, unless somebody else does.
    fn serve(&self, mailbox: &Arc<Mailbox>) {
        if !mailbox.claim() {
            return;
        }
        let of = self.mailboxes.iter().find(|(it, _)| Arc::ptr_eq(it, mailbox));
        let (_, held) = of.expect("there are no others");
        while let Some(delivery) = mailbox.checkout_or_rest_after(|| held.alone()) {
            held.alone();
            delivery.finish();
            self.n_served.fetch_add(1, SeqCst);
        }
    }
}

/// Workers, one of which has a desk.
struct Scheduler {
    bus: Arc<Bus>,
    attachment: Attachment,
    desk: Arc<Desk>,
}

impl Scheduler {
    /// Sends as a handler does at the desk: first to one mailbox, then to each of the others.
    fn send_at_desk<const N: usize>(&self, to: [usize; N]) {
        self.attachment.at_desk(&self.desk, || to.map(|it| self.bus.send(it)));
    }

    fn serve_fresh(&self) {
        self.desk.take().iter().for_each(|it| self.bus.serve(it));
    }

    /// Whether anything was announced.
    fn serve_announced(&self) -> bool {
        let announced = self.attachment.take_announced();
        announced.map(|(mailbox, _)| self.bus.serve(&mailbox)).count() > 0
    }

    /// Serves until so many messages were served in all, and sleeps in between.
    fn work(&self, n: usize) {
        while self.bus.n_served.load(SeqCst) < n {
            if self.serve_announced() {
                continue;
            }
            let look = || self.attachment.has_announced().then_some(());
            if block_on(self.attachment.look_or_wait(look)) == Look::Woken {
                self.attachment.searched();
            }
        }
    }

    /// Leaves what was announced as the next one expects it, and goes.
    fn leave(&self) {
        for (mailbox, _) in self.attachment.take_announced() {
            mailbox.announce(Announce::Every);
            mailbox.announce_if_waiting();
        }
        self.attachment.detach();
    }

    /// Call when nobody else is there: serves what is announced still, and then nothing is left.
    fn assert_served(&self, n: usize) {
        while self.serve_announced() {}
        let n_served = self.bus.n_served.load(SeqCst);
        assert_eq!(n_served, n, "a message waits, and nobody was told");
    }
}

#[test]
fn sleeping() {
    check("ready: two sends while a worker lies down", || {
        let bus = Bus::new();
        let scheduler = bus.attach();
        let sender = spawn_with(&bus, Bus::send_twice);
        scheduler.work(2);
        sender.join().unwrap();
        scheduler.assert_served(2);
    });
}

/// Each of them may be told, and one has it at a time.
#[test]
fn claiming() {
    check("ready: a mailbox that two workers look at", || {
        let bus = Bus::new();
        let scheduler = bus.attach();
        let workers = [(); 2].map(|()| spawn_with(&scheduler, Scheduler::serve_announced));
        bus.send_twice();
        for worker in workers {
            worker.join().unwrap();
        }
        scheduler.assert_served(2);
    });
}

/// What is displaced from a desk wakes another worker: the one at the desk is busy.
#[test]
fn a_desk_that_overflows() {
    check("ready: a mailbox is displaced while a worker lies down", || {
        let scheduler = Bus::new().attach();
        let other = spawn_with(&scheduler, |it| it.work(1));
        scheduler.send_at_desk([0, 1]);
        other.join().unwrap();
        scheduler.serve_fresh();
        scheduler.assert_served(2);
    });
}

#[test]
fn a_desk_that_others_take_from() {
    check("ready: a desk that another worker takes from", || {
        let scheduler = Bus::new().attach();
        let other = spawn_with(&scheduler, Scheduler::serve_fresh);
        scheduler.send_at_desk([0, 1]);
        scheduler.serve_fresh();
        other.join().unwrap();
        scheduler.assert_served(2);
    });
}

#[test]
fn a_desk_and_the_stack() {
    check("ready: a mailbox on a desk and on the stack", || {
        let bus = Bus::new();
        let scheduler = bus.attach();
        let sender = spawn_with(&bus, |it| it.send(0));
        let other = spawn_with(&scheduler, Scheduler::serve_announced);
        scheduler.send_at_desk([0]);
        scheduler.serve_fresh();
        sender.join().unwrap();
        other.join().unwrap();
        scheduler.assert_served(2);
    });
}

#[test]
fn attaching() {
    check("ready: a send while a scheduler comes", || {
        let bus = Bus::new();
        let sender = spawn_with(&bus, |it| it.send(0));
        let scheduler = bus.attach();
        scheduler.work(1);
        sender.join().unwrap();
        scheduler.assert_served(1);
    });
}

#[test]
fn attaching_in_turn() {
    check("ready: one scheduler at a time", || {
        let bus = Bus::new();
        let other = spawn_with(&bus, Bus::come_and_go);
        bus.come_and_go();
        other.join().unwrap();
    });
}

#[test]
fn detaching() {
    check("ready: sends while one scheduler goes and another one comes", || {
        let bus = Bus::new();
        let former = bus.attach();
        let sender = spawn_with(&bus, Bus::send_twice);
        former.leave();
        let next = bus.attach();
        next.work(2);
        sender.join().unwrap();
        next.assert_served(2);
    });
}

/// Woken, or about to lie down, a worker may go when the next scheduler is at work already.
#[test]
fn going_home_late() {
    check("ready: a send while a worker of the former scheduler goes home", || {
        let bus = Bus::new();
        let former = bus.attach();
        let late = spawn_with(&former, |former| {
            assert_eq!(block_on(former.attachment.look_or_wait(|| None::<()>)), Look::Woken);
            former.attachment.searched();
        });
        former.attachment.wake_all();
        former.leave();
        let next = bus.attach();
        let sender = spawn_with(&bus, |it| it.send(0));
        assert_eq!(next.attachment.n_asleep(), 0, "none of the former one counts");
        next.work(1);
        late.join().unwrap();
        sender.join().unwrap();
        next.assert_served(1);
    });
}
