//! A mailbox: who rests, who waits, who is told.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use MessagePriority::{High, Low};
use orch_core::{AgentId, AgentMessage, MessagePriority};

use super::{block_on, check, spawn};
use crate::home::Home;
use crate::sync::Life;
use crate::{Announce, Mailbox};

fn message(priority: MessagePriority) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, "x").with_priority(priority)
}

fn mailbox(capacity: u32) -> Arc<Mailbox> {
    Mailbox::at_home(AgentId::OUTSIDE, capacity, Arc::new(Home::default()))
}

/// As `Mailbox::try_send`: whether it was accepted.
fn try_send(mailbox: &Arc<Mailbox>, priority: MessagePriority) -> bool {
    mailbox.try_reserve(priority) && fill(mailbox, priority)
}

fn fill(mailbox: &Arc<Mailbox>, priority: MessagePriority) -> bool {
    let accepted = mailbox.push_reserved(message(priority)).is_ok();
    if accepted {
        mailbox.signal_arrival(priority);
    }
    accepted
}

/// As `Mailbox::send`, which also looks at the clock.
async fn send(mailbox: &Arc<Mailbox>, priority: MessagePriority) -> bool {
    if !mailbox.try_reserve(priority) {
        let room = mailbox.room(priority);
        loop {
            let mut freed = pin!(room.notified());
            freed.as_mut().enable();
            if mailbox.lane_is_closed(priority) {
                return false;
            }
            if mailbox.try_reserve(priority) {
                break;
            }
            freed.await;
        }
    }
    fill(mailbox, priority)
}

/// Takes all there is and rests, as a scheduler that was told. How many there were.
fn serve(mailbox: &Arc<Mailbox>) -> usize {
    mailbox.announce(Announce::Nothing);
    let taken = std::iter::from_fn(|| mailbox.checkout_or_rest());
    taken.map(crate::Delivery::finish).count()
}

fn assert_settled(mailbox: &Mailbox) {
    let places = MessagePriority::MOST_URGENT_FIRST.map(|it| mailbox.places(it).counts());
    assert_eq!(places, [(0, 0); 4]);
}

#[test]
fn resting() {
    check("mailbox: no message sleeps when a scheduler rests", || {
        let mailbox = mailbox(u32::MAX);
        let senders = [Low, High].map(|priority| {
            let mailbox = mailbox.clone();
            spawn(move || assert!(try_send(&mailbox, priority)))
        });
        let mut n_served = 0;
        for _ in 0..2 {
            if mailbox.home.ready.take() {
                n_served += serve(&mailbox);
            }
        }
        senders.into_iter().for_each(|it| it.join().unwrap());
        while mailbox.home.ready.take() {
            n_served += serve(&mailbox);
        }
        assert_eq!(n_served, 2, "a message waits, and nobody was told");
        assert_settled(&mailbox);
    });
}

#[test]
fn resting_beside_a_put_back() {
    check("mailbox: nothing that is put back sleeps", || {
        let mailbox = mailbox(u32::MAX);
        assert!(try_send(&mailbox, Low));
        assert!(mailbox.home.ready.take());
        mailbox.announce(Announce::Nothing);
        let delivery = mailbox.try_checkout().expect("it was sent before");
        let other = spawn(move || delivery.put_back());
        let mut n_served = serve(&mailbox);
        other.join().unwrap();
        while mailbox.home.ready.take() {
            n_served += serve(&mailbox);
        }
        assert_eq!(n_served, 1, "it is back, and nobody was told");
        assert_settled(&mailbox);
    });
}

/// A sender that stops between telling and noting so must not keep later ones quiet.
#[test]
fn resting_again() {
    check("mailbox: what a sender notes late keeps nobody quiet", || {
        let mailbox = mailbox(u32::MAX);
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || (0..2).for_each(|_| assert!(try_send(&mailbox, Low)))
        });
        let mut n_served = 0;
        for _ in 0..2 {
            if mailbox.home.ready.take() {
                n_served += serve(&mailbox);
            }
        }
        sender.join().unwrap();
        while mailbox.home.ready.take() {
            n_served += serve(&mailbox);
        }
        assert_eq!(n_served, 2, "a message waits, and nobody was told");
    });
}

/// Another sender may stand still meanwhile, at any step.
#[test]
fn telling() {
    check("mailbox: somebody was told once a send has returned", || {
        let mailbox = mailbox(u32::MAX);
        let [other, sender] = [(); 2].map(|()| {
            let mailbox = mailbox.clone();
            spawn(move || assert!(try_send(&mailbox, Low)))
        });
        sender.join().unwrap();
        assert!(mailbox.home.ready.has_announced(), "a message waits, and nobody was told");
        other.join().unwrap();
    });
}

#[test]
fn handing_over() {
    check("mailbox: who is told sees what was done before the rest", || {
        let mailbox = mailbox(u32::MAX);
        mailbox.announce(Announce::Nothing);
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || assert!(try_send(&mailbox, Low))
        });
        let next = spawn({
            let mailbox = mailbox.clone();
            move || !mailbox.home.ready.take() || mailbox.slot() == 7
        });
        mailbox.set_slot(7);
        while mailbox.checkout_or_rest().is_some_and(|it| it.settle().priority() == Low) {}
        sender.join().unwrap();
        assert!(next.join().unwrap(), "it was told, and does not see the slot");
    });
}

#[test]
fn waiting_for_a_message() {
    check("mailbox: a wake-up while parking", || {
        let mailbox = mailbox(u32::MAX);
        let senders = [Low, High].map(|priority| {
            let mailbox = mailbox.clone();
            spawn(move || assert!(try_send(&mailbox, priority)))
        });
        for _ in 0..2 {
            assert!(block_on(mailbox.recv()).is_some());
        }
        senders.into_iter().for_each(|it| it.join().unwrap());
        assert_settled(&mailbox);
    });
}

#[test]
fn two_wait_for_a_message() {
    check("mailbox: two wake-ups while parking", || {
        let mailbox = mailbox(u32::MAX);
        let receivers = [(); 2].map(|()| {
            let mailbox = mailbox.clone();
            spawn(move || block_on(mailbox.recv()).is_some())
        });
        for _ in 0..2 {
            assert!(try_send(&mailbox, Low));
        }
        receivers.into_iter().for_each(|it| assert!(it.join().unwrap()));
    });
}

#[test]
fn waiting_for_the_end() {
    check("mailbox: close while parking", || {
        let mailbox = mailbox(u32::MAX);
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || {
                let accepted = try_send(&mailbox, Low);
                mailbox.close();
                accepted
            }
        });
        let mut received = 0;
        while block_on(mailbox.recv()).is_some() {
            received += 1;
        }
        assert!(sender.join().unwrap());
        assert_eq!(received, 1);
        assert!(!try_send(&mailbox, Low));
        assert_settled(&mailbox);
    });
}

/// One place: whoever has it is alone, and sees what the former one did.
#[test]
fn capacity() {
    check("mailbox: never more than fit", || {
        let mailbox = mailbox(1);
        let place = Arc::new((Life::new(), AtomicBool::new(false)));
        let senders = [(); 2].map(|()| {
            let (mailbox, place) = (mailbox.clone(), place.clone());
            spawn(move || {
                if !mailbox.try_reserve(Low) {
                    return 0;
                }
                place.0.alone();
                // Not seen by the checker: it orders nothing.
                assert!(!place.1.swap(true, SeqCst), "one place, two messages");
                assert!(fill(&mailbox, Low));
                1
            })
        });
        let mut received = 0;
        for _ in 0..2 {
            if let Some(delivery) = mailbox.try_checkout() {
                place.0.alone();
                place.1.store(false, SeqCst);
                delivery.finish();
                received += 1;
            }
        }
        let sent: usize = senders.into_iter().map(|it| it.join().unwrap()).sum();
        received += std::iter::from_fn(|| mailbox.try_recv()).count();
        assert_eq!(sent, received);
        assert_settled(&mailbox);
    });
}

#[test]
fn waiting_for_room() {
    check("mailbox: a place that frees lets one in", || {
        let mailbox = mailbox(1);
        assert!(try_send(&mailbox, Low));
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || assert!(block_on(send(&mailbox, Low)))
        });
        let delivery = mailbox.try_checkout().expect("it was sent before");
        delivery.finish();
        sender.join().unwrap();
        assert!(mailbox.try_recv().is_some());
        assert_settled(&mailbox);
    });
}

#[test]
fn waiting_for_room_in_vain() {
    check("mailbox: close while a sender waits for room", || {
        let mailbox = mailbox(1);
        assert!(try_send(&mailbox, Low));
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || block_on(send(&mailbox, Low))
        });
        mailbox.close();
        assert!(!sender.join().unwrap(), "there was no room");
        assert_eq!(mailbox.close_and_drain().len(), 1);
        assert_settled(&mailbox);
    });
}

#[test]
fn putting_back() {
    check("mailbox: put back while sending and closing", || {
        let mailbox = mailbox(u32::MAX);
        assert!(try_send(&mailbox, Low));
        let sender = spawn({
            let mailbox = mailbox.clone();
            move || try_send(&mailbox, Low)
        });
        let delivery = mailbox.try_checkout().expect("it was sent before");
        let first = delivery.id();
        let closer = spawn({
            let mailbox = mailbox.clone();
            move || mailbox.close_and_drain()
        });
        delivery.put_back();
        let sent = 1 + usize::from(sender.join().unwrap());
        let mut ends: Vec<_> = closer.join().unwrap().iter().map(AgentMessage::id).collect();
        let came_back = ends.contains(&first);
        assert!(!came_back || ends[0] == first, "it comes before what was never checked out");
        ends.extend(mailbox.dead_letters().list().iter().map(|it| it.message.id()));
        assert_eq!(ends.len(), sent);
        assert!(ends.contains(&first));
        assert_settled(&mailbox);
    });
}
