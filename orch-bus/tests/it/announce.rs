//! What a scheduler is told.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use orch_bus::{Announce, Attachment, Desk, Look, Mailbox, MessageBus};
use orch_core::AgentId;
use orch_core::MessagePriority::{self, High, Low, Normal};
use tokio::time::timeout;

use crate::support::{PATIENCE, block_on, bus_with_lanes_of, message, poll_once, put};

/// Looks at nothing, and so is ready only when it is woken; it searches no longer then.
async fn woken(attachment: &Attachment) {
    assert_eq!(attachment.look_or_wait(|| None::<()>).await, Look::Woken);
    attachment.searched();
}

fn announced(attachment: &Attachment) -> Vec<AgentId> {
    attachment.take_announced().map(|(mailbox, _)| mailbox.agent()).collect()
}

#[test]
fn one_scheduler_at_a_time_is_attached() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let first = bus.attach().unwrap();
    assert!(bus.attach().is_none());
    drop(first);
    let second = bus.attach().unwrap();
    second.detach();
    let third = bus.attach().unwrap();
    // Detached already: dropping it takes nothing from the third.
    drop(second);
    assert!(bus.attach().is_none());
    put(&mailbox, Normal, "x");
    assert_eq!(announced(&third), [mailbox.agent()]);
}

#[test]
fn what_waits_when_a_scheduler_comes_is_announced_to_it() {
    let bus = MessageBus::new();
    let [a, b, c] = [(); 3].map(|()| bus.open_mailbox(AgentId::new()));
    put(&b, Low, "x");
    put(&a, Low, "x");
    put(&a, Normal, "x");
    let first = bus.attach().unwrap();
    // In the order in which something came.
    assert_eq!(announced(&first), [b.agent(), a.agent()]);

    // It leaves what it took as it found it, and an announcement that it did not take.
    for mailbox in [&a, &b] {
        mailbox.announce(Announce::Every);
        mailbox.announce_if_waiting();
    }
    put(&c, Low, "x");
    drop(first);
    let second = bus.attach().unwrap();
    assert_eq!(announced(&second), [a.agent(), b.agent(), c.agent()]);
}

/// A mailbox that is removed is forgotten, and one in which nothing waits any more announces nothing.
#[test]
fn what_does_not_wait_any_more_when_a_scheduler_comes_is_not_announced_to_it() {
    let bus = MessageBus::new();
    let [a, b] = [(); 2].map(|()| bus.open_mailbox(AgentId::new()));
    put(&a, Low, "x");
    put(&b, Low, "x");
    drop(bus.remove_mailbox(a.agent()));
    drop(b.try_recv());
    let attachment = bus.attach().unwrap();
    assert!(!attachment.has_announced());
    put(&b, Low, "x");
    assert_eq!(announced(&attachment), [b.agent()]);
}

#[test]
fn mailboxes_are_taken_in_the_order_in_which_they_announced_themselves() {
    let bus = MessageBus::new();
    let attachment = bus.attach().unwrap();
    let mailboxes = [(); 5].map(|()| bus.open_mailbox(AgentId::new()));
    for mailbox in &mailboxes {
        put(mailbox, Normal, "x");
    }
    assert_eq!(announced(&attachment), mailboxes.map(|mailbox| mailbox.agent()));
    assert!(!attachment.has_announced());
}

#[test]
fn a_delivery_that_is_put_back_is_announced() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    put(&mailbox, Normal, "x");
    mailbox.announce(Announce::Every);
    let delivery = mailbox.try_checkout();
    announced(&attachment);
    mailbox.announce_if_waiting();
    assert!(!attachment.has_announced(), "nothing waits");
    drop(delivery);
    assert_eq!(announced(&attachment), [mailbox.agent()]);
    // Above what waits, nothing is announced.
    mailbox.announce(Announce::Above(High));
    mailbox.announce_if_waiting();
    assert!(!attachment.has_announced());
    mailbox.announce(Announce::Above(Low));
    mailbox.announce_if_waiting();
    assert!(attachment.has_announced());
}

#[test]
fn an_announcement_wakes_one_who_waits() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    let mut waits = pin!(woken(&attachment));
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!(attachment.n_asleep(), 1);
    put(&mailbox, Normal, "x");
    assert_eq!(attachment.n_asleep(), 0);
    assert!(poll_once(waits).is_ready());
    // Nobody waits: there is nothing to wake, and the next one finds the announcement by looking.
    mailbox.announce(Announce::Every);
    put(&mailbox, Normal, "x");
    assert!(poll_once(pin!(woken(&attachment))).is_pending());

    let mut both = [Box::pin(woken(&attachment)), Box::pin(woken(&attachment))];
    assert!(both.iter_mut().all(|waits| poll_once(waits.as_mut()).is_pending()));
    attachment.wake_all();
    assert!(both.iter_mut().all(|waits| poll_once(waits.as_mut()).is_ready()));
}

/// One who was woken will find what is there; a herd of others would only be in its way.
#[test]
fn while_one_searches_nobody_else_is_woken() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    let look = || attachment.look_or_wait(|| None::<()>);
    let (mut first, mut second) = (Box::pin(look()), Box::pin(look()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    put(&mailbox, Normal, "x");
    attachment.wake();
    let ready = [poll_once(first.as_mut()).is_ready(), poll_once(second.as_mut()).is_ready()];
    assert_eq!(ready.iter().filter(|ready| **ready).count(), 1);
    attachment.searched();
    attachment.wake();
    assert_eq!(attachment.n_asleep(), 0);
}

/// A searcher that is dropped before it has searched hands the search on.
#[test]
fn a_wake_up_is_not_lost_with_the_one_that_got_it() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    let look = || attachment.look_or_wait(|| None::<()>);
    let mut waiters = [Box::pin(look()), Box::pin(look())];
    assert!(waiters.iter_mut().all(|waits| poll_once(waits.as_mut()).is_pending()));
    put(&mailbox, Normal, "x");
    // The one that went to sleep last was woken.
    let [first, second] = waiters;
    drop(second);
    assert!(poll_once(pin!(first)).is_ready());
    attachment.searched();
    assert_eq!(attachment.n_asleep(), 0);
}

/// Found by a model: a worker was woken to go home, and went when the next scheduler was at work
/// already. Until then it passed for the searcher there: an announcement woke nobody, and nobody
/// looked afterwards.
#[test]
fn a_worker_that_goes_home_late_does_not_search_for_the_next_scheduler() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let former = bus.attach().unwrap();
    let mut late = pin!(woken(&former));
    assert!(poll_once(late.as_mut()).is_pending());
    former.wake_all();
    former.detach();
    let next = bus.attach().unwrap();
    let mut waits = pin!(woken(&next));
    assert!(poll_once(waits.as_mut()).is_pending());
    put(&mailbox, Normal, "x");
    assert!(poll_once(late).is_ready());
    assert!(poll_once(waits).is_ready(), "asleep beside an announcement");
}

#[test]
fn nobody_sleeps_for_a_scheduler_that_has_gone() {
    let (bus, _mailbox) = bus_with_lanes_of(8);
    let former = bus.attach().unwrap();
    let mut sleeps = pin!(woken(&former));
    assert!(poll_once(sleeps.as_mut()).is_pending());
    former.detach();
    let next = bus.attach().unwrap();
    assert!(poll_once(sleeps).is_ready());
    // Nor does one who lies down now, or counts as asleep while it looks.
    let look = || (next.n_asleep() > 0).then_some(());
    assert_eq!(poll_once(pin!(former.look_or_wait(look))), Poll::Ready(Look::Woken));
    former.searched();
    assert_eq!(next.n_asleep(), 0);
}

#[tokio::test]
async fn a_look_that_finds_something_does_not_wait() {
    let (bus, _mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    assert_eq!(attachment.look_or_wait(|| Some(7)).await, Look::Found(7));
    assert_eq!(attachment.n_asleep(), 0);
    // Even if somebody woke it at the same time.
    let woken_too = attachment.look_or_wait(|| {
        attachment.wake();
        Some(7)
    });
    assert_eq!(woken_too.await, Look::Found(7));
    let mut next = pin!(woken(&attachment));
    assert!(poll_once(next.as_mut()).is_pending());
    attachment.wake();
    assert!(poll_once(next).is_ready());
}

/// Seen in review: a worker that handled a message quietly silenced what its thread announced on
/// every bus, so a handler that wrote to another bus left the scheduler there asleep.
#[test]
fn a_desk_takes_the_latest_of_its_own_bus_and_wakes_nobody() {
    let [(here, to_here), (there, to_there)] = [bus_with_lanes_of(8), bus_with_lanes_of(8)];
    let also_here = here.open_mailbox(AgentId::new());
    let (here, there) = (here.attach().unwrap(), there.attach().unwrap());
    let (desk, other_desk) = (Arc::new(Desk::default()), Arc::new(Desk::default()));
    let mut sleeps = pin!(woken(&here));
    assert!(poll_once(sleeps.as_mut()).is_pending());
    here.at_desk(&desk, || {
        // Within it, the same of another bus, which ends first.
        there.at_desk(&other_desk, || ());
        put(&to_here, Normal, "x");
        put(&to_there, Normal, "x");
    });
    assert!(!here.has_announced() && there.has_announced() && other_desk.take().is_none());
    assert!(poll_once(sleeps.as_mut()).is_pending());
    // A later one displaces it, and what was displaced is everybody's.
    here.at_desk(&desk, || put(&also_here, High, "x"));
    assert_eq!(announced(&here), [to_here.agent()]);
    assert!(poll_once(sleeps).is_ready());
    assert_eq!(desk.take().map(|mailbox| mailbox.agent()), Some(also_here.agent()));
    // Without desks all of it is.
    here.use_desks(false);
    to_here.announce(Announce::Every);
    here.at_desk(&desk, || put(&to_here, Normal, "x"));
    assert!(desk.take().is_none() && here.has_announced());
}

#[test]
fn a_mailbox_is_claimed_by_one_and_let_go_when_nothing_waits() {
    let (bus, mailbox) = bus_with_lanes_of(8);
    let attachment = bus.attach().unwrap();
    put(&mailbox, Normal, "x");
    assert_eq!(announced(&attachment), [mailbox.agent()]);
    assert!(mailbox.claim() && !mailbox.claim());
    put(&mailbox, MessagePriority::Critical, "y");
    assert!(!attachment.has_announced(), "whoever claimed it looks again");
    assert_eq!(mailbox.checkout_or_rest().unwrap().settle().content(), "y");
    assert_eq!(mailbox.checkout_or_rest().unwrap().settle().content(), "x");
    assert!(!mailbox.claim());
    assert!(mailbox.checkout_or_rest().is_none());
    put(&mailbox, Low, "z");
    assert_eq!(announced(&attachment), [mailbox.agent()]);
    assert!(mailbox.claim());
}

const SENDERS: usize = 4;
const SENDS_EACH: usize = 8_000;

/// Handles everything that is sent, and sleeps whenever nothing is announced. It looks at a mailbox
/// as a real scheduler does: all kinds of levels, deliveries that come back.
async fn schedule(attachment: &Attachment, expected: usize) {
    let mut n_handled = 0;
    let mut n_looks = 0_usize;
    while n_handled < expected {
        let look_at_all = || {
            let mut n_new = 0;
            for (mailbox, _) in attachment.take_announced() {
                n_looks += 1;
                n_new += look(&mailbox, n_looks);
            }
            (n_new > 0 || attachment.has_announced()).then_some(n_new)
        };
        let looked = timeout(PATIENCE, attachment.look_or_wait(look_at_all)).await;
        match looked.unwrap_or_else(|_| panic!("asleep at {n_handled}")) {
            Look::Found(n_new) => n_handled += n_new,
            Look::Woken => attachment.searched(),
        }
    }
    assert_eq!(n_handled, expected);
}

fn look(mailbox: &Arc<Mailbox>, n_looks: usize) -> usize {
    let mut n_handled = 0;
    // Busy with one message: nothing is announced, or only what is more urgent.
    mailbox.announce(if n_looks.is_multiple_of(2) {
        Announce::Nothing
    } else {
        Announce::Above(Normal)
    });
    if let Some(delivery) = mailbox.try_checkout() {
        if n_looks.is_multiple_of(3) {
            delivery.put_back();
        } else {
            delivery.settle();
            n_handled += 1;
        }
    }
    if n_looks.is_multiple_of(5) {
        mailbox.announce(Announce::Above(High));
        while let Some(delivery) = mailbox.try_checkout_from(MessagePriority::Critical) {
            delivery.settle();
            n_handled += 1;
        }
    }
    // Idle again: what comes from here on is announced, what came before must be looked at.
    mailbox.announce(Announce::Every);
    if n_looks.is_multiple_of(7) {
        mailbox.announce_if_waiting();
        return n_handled;
    }
    while let Some(delivery) = mailbox.try_checkout() {
        delivery.settle();
        n_handled += 1;
    }
    n_handled
}

fn check_scheduler(n_mailboxes: usize, pause_every: usize) {
    let bus = MessageBus::new();
    let mailboxes: Vec<_> = (0..n_mailboxes).map(|_| bus.open_mailbox(AgentId::new())).collect();
    let attachment = bus.attach().expect("nobody else is attached");
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (bus, mailboxes) = (&bus, &mailboxes);
            scope.spawn(move || {
                for n in 0..SENDS_EACH {
                    let to = mailboxes[(n * 7 + sender) % n_mailboxes].agent();
                    let priority = MessagePriority::MOST_URGENT_FIRST[(n + sender) % 4];
                    bus.try_send(message(to, priority, "x")).expect("there is room");
                    if n % pause_every == 0 {
                        // Lets the scheduler fall asleep between two messages.
                        thread::yield_now();
                    }
                }
            });
        }
        block_on(schedule(&attachment, SENDERS * SENDS_EACH));
    });
    assert_eq!(bus.queue_depth().total(), 0);
    assert!(bus.total_received() == (SENDERS * SENDS_EACH) as u64);
}

#[test]
fn a_scheduler_that_only_looks_at_what_is_announced_handles_everything() {
    check_scheduler(1, 1);
    check_scheduler(1, 50);
    check_scheduler(40, 1);
    check_scheduler(40, 50);
}

#[test]
fn a_message_is_seen_though_a_scheduler_attaches_while_it_is_sent() {
    for _ in 0..2_000 {
        let bus = MessageBus::new();
        let mailbox = bus.open_mailbox(AgentId::new());
        thread::scope(|scope| {
            scope.spawn(|| put(&mailbox, Normal, "x"));
            let attachment = bus.attach().unwrap();
            block_on(schedule(&attachment, 1));
        });
    }
}
