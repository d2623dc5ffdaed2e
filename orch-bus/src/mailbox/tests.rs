//! What only the inside of a mailbox can show: threads that stop at the wrong moment, and places.

use std::sync::Barrier;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use MessagePriority::{Critical, High, Low, Normal};

use super::*;
use crate::sync::in_tests::{PATIENCE, at, on_a_thread, stop_at, touched_by};
use crate::{BusLimits, MessageBus};

fn message(priority: MessagePriority) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, "x").with_priority(priority)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O needs nothing").block_on(future)
}

fn places(mailbox: &Mailbox) -> [(u32, u32); 4] {
    let mut places = MessagePriority::MOST_URGENT_FIRST.map(|it| mailbox.places(it).counts());
    places.reverse(); // By lane.
    places
}

/// Seen in review: `recv` looked, found nothing, and then asked whether the mailbox was closed.
/// A message and the closing that came in between were answered with `None`, and the message
/// stayed. Now a receiver that sees the closing looks once more.
#[test]
fn a_message_that_came_just_before_the_closing_is_received() {
    let mailbox = Mailbox::new(AgentId::new());
    let other = mailbox.clone();
    at(Point::FoundNoMessage, move || {
        other.try_send(message(Low)).expect("there is room");
        other.close();
    });
    assert!(block_on(mailbox.recv()).is_some());
    assert!(block_on(mailbox.recv()).is_none());
}

#[test]
fn two_receivers_that_looked_before_two_sends_both_wake_up() {
    let mailbox = Mailbox::new(AgentId::new());
    let barrier = Arc::new(Barrier::new(3));
    let receivers = [(); 2].map(|()| {
        let (mailbox, barrier) = (mailbox.clone(), barrier.clone());
        on_a_thread(move || {
            at(Point::FoundNoMessage, move || {
                barrier.wait(); // Both have looked.
                barrier.wait(); // Both messages are there.
            });
            block_on(mailbox.recv())
        })
    });
    barrier.wait();
    for _ in 0..2 {
        mailbox.try_send(message(Normal)).expect("there is room");
    }
    barrier.wait();
    for receiver in receivers {
        assert!(receiver.recv_timeout(PATIENCE).expect("it wakes up").is_some());
    }
}

#[test]
fn two_senders_that_found_no_room_before_two_places_were_freed_both_get_in() {
    // Nothing but a free place wakes them: neither the warning nor the end of the wait.
    let mut limits = BusLimits::default().with_lane_capacity(2).with_send_wait(2 * PATIENCE);
    limits.send_warning = 2 * PATIENCE;
    let bus = MessageBus::with_limits(limits);
    let mailbox = bus.open_mailbox(AgentId::new());
    for _ in 0..2 {
        mailbox.try_send(message(Normal)).expect("there is room");
    }
    let barrier = Arc::new(Barrier::new(3));
    let senders = [(); 2].map(|()| {
        let (mailbox, barrier) = (mailbox.clone(), barrier.clone());
        on_a_thread(move || {
            at(Point::FoundNoRoom, move || {
                barrier.wait();
                barrier.wait();
            });
            block_on(mailbox.send(message(Normal)))
        })
    });
    barrier.wait();
    for _ in 0..2 {
        assert!(mailbox.try_recv().is_some());
    }
    barrier.wait();
    for sender in senders {
        assert!(sender.recv_timeout(PATIENCE).expect("a place is free").is_ok());
    }
}

#[test]
fn a_sender_that_found_no_room_before_the_closing_is_told_so() {
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(1));
    let mailbox = bus.open_mailbox(AgentId::new());
    mailbox.try_send(message(Normal)).expect("there is room");
    let other = mailbox.clone();
    let sender = on_a_thread(move || {
        let closed = other.clone();
        at(Point::FoundNoRoom, move || closed.close());
        block_on(other.send(message(Normal)))
    });
    let sent = sender.recv_timeout(PATIENCE).expect("the closing wakes it");
    assert!(matches!(sent, Err(crate::SendError::Closed(_))), "{sent:?}");
    assert_eq!(mailbox.close_and_drain().len(), 1);
    assert_eq!(places(&mailbox), [(0, 0); 4]);
}

/// Seen in review: a sender that waited for room asked whether the mailbox was closed under the
/// receivers' lock, and so waited for a receiver that was stopped while it had the turn.
#[test]
fn no_sender_waits_for_a_receiver_that_has_the_turn() {
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(1));
    let mailbox = bus.open_mailbox(AgentId::new());
    let turn = mailbox.lanes.take_turn();
    let sends = mailbox.clone();
    let sender = on_a_thread(move || {
        sends.try_send(message(Normal)).expect("there is room");
        assert!(!sends.is_closed());
        let mut full = std::pin::pin!(sends.send(message(Normal)));
        let poll = |cx: &mut std::task::Context<'_>| {
            std::task::Poll::Ready(full.as_mut().poll(cx).is_pending())
        };
        block_on(std::future::poll_fn(poll))
    });
    assert!(sender.recv_timeout(PATIENCE).expect("nobody stops it"), "the lane is full");
    drop(turn);
}

#[test]
fn a_sender_that_is_stopped_while_announcing_hides_no_send_that_returned() {
    let bus = MessageBus::new();
    let attachment = bus.attach().expect("nobody else is attached");
    let mailbox = bus.open_mailbox(AgentId::new());
    let send = || mailbox.try_send(message(Normal)).expect("there is room");

    let sends = mailbox.clone();
    let first = stop_at(Point::AnnouncedNotRaised, move || {
        sends.try_send(message(Normal)).expect("there is room");
    });

    // Between its two steps, another send returns: there is an announcement to see it by.
    send();
    assert_ne!(attachment.take_announced().count(), 0);

    // The scheduler handles both and goes back to sleep. Then the first sender goes on.
    mailbox.announce(Announce::Every);
    while mailbox.try_recv().is_some() {}
    first.go_on();
    assert!(!attachment.has_announced());

    // What it noted late must not keep the next arrival quiet.
    send();
    assert!(attachment.has_announced());
}

/// Sends this text.
fn put(mailbox: &Arc<Mailbox>, priority: MessagePriority, text: &str) {
    let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, text);
    mailbox.try_send(message.with_priority(priority)).expect("there is room");
}

/// The texts of what waits.
fn take_all(mailbox: &Arc<Mailbox>) -> Vec<String> {
    std::iter::from_fn(|| mailbox.try_recv()).map(|it| it.content().to_string()).collect()
}

/// Whichever sender stands still between its push and its link: the sends of others return, and all
/// that was sent is received, in order, and the most urgent first.
#[test]
fn a_sender_that_is_stopped_while_linking_hides_no_send_that_returned() {
    for n_before in 0..4 {
        let mailbox = Mailbox::new(AgentId::new());
        let before = ["a", "b", "c"][..n_before].iter();
        before.clone().for_each(|text| put(&mailbox, High, text));
        let sends = mailbox.clone();
        let stopped = stop_at(Point::PushedNotLinked, move || put(&sends, High, "stopped"));

        put(&mailbox, Low, "low");
        for text in ["x", "y"] {
            put(&mailbox, High, text);
        }
        assert_eq!(mailbox.most_urgent(), Some(High));
        put(&mailbox, Critical, "critical");
        let expected =
            ["critical"].iter().chain(before).chain(&["stopped", "x", "y", "low"]).copied();
        assert_eq!(take_all(&mailbox), expected.collect::<Vec<_>>(), "behind {n_before}");

        // Again, while it still stands there and its lane was empty in between.
        for text in ["p", "q", "r"] {
            put(&mailbox, High, text);
        }
        assert_eq!(take_all(&mailbox), ["p", "q", "r"]);
        stopped.go_on();
        put(&mailbox, High, "z");
        assert_eq!(take_all(&mailbox), ["z"]);
        assert_eq!(places(&mailbox), [(0, 0); 4]);
    }
}

/// `None` of `checkout_or_rest` is a promise to sleep well: the message that came in between is taken.
#[test]
fn a_message_that_comes_just_before_the_rest_is_taken() {
    let bus = MessageBus::new();
    let attachment = bus.attach().expect("nobody else is attached");
    let mailbox = bus.open_mailbox(AgentId::new());
    mailbox.announce(Announce::Nothing);
    let sends = mailbox.clone();
    at(Point::FoundNothingNotResting, move || put(&sends, Low, "x"));
    assert!(mailbox.checkout_or_rest().is_some_and(|it| it.settle().content() == "x"));
    // Still busy: nothing is announced.
    put(&mailbox, High, "y");
    assert_eq!(attachment.take_announced().count(), 0);
    mailbox.checkout_or_rest().expect("there is one").finish();
    assert!(mailbox.checkout_or_rest().is_none());
    put(&mailbox, Low, "z");
    assert_eq!(attachment.take_announced().count(), 1);
    assert_eq!(places(&mailbox), [(1, 0), (0, 0), (0, 0), (0, 0)]);
}

/// With stacks that were turned round, the first Low behind a backlog of a million took 20 ms.
#[test]
fn no_receive_touches_many_nodes_however_many_wait() {
    const BACKLOG: usize = 1_000_000;
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(u32::MAX));
    let mailbox = bus.open_mailbox(AgentId::new());
    for _ in 0..BACKLOG {
        mailbox.try_send(message(Low)).expect("there is no limit");
    }
    mailbox.try_send(message(Critical)).expect("there is no limit");
    let receive = || touched_by(|| mailbox.try_recv().map(|it| it.priority()));
    let (touched, first) = receive();
    assert_eq!(first, Some(Critical));
    let most = (0..BACKLOG).map(|_| receive()).fold(touched, |most, (touched, received)| {
        assert_eq!(received, Some(Low));
        most.max(touched)
    });
    assert!(most <= 2, "one receive touched {most} nodes");
    assert_eq!(mailbox.try_recv().map(|it| it.priority()), None);
}

#[test]
fn a_slot_keeps_what_the_scheduler_puts_there() {
    let mailbox = Mailbox::new(AgentId::new());
    assert_eq!(mailbox.slot(), 0);
    mailbox.set_slot(7);
    assert_eq!(mailbox.slot(), 7);
}

#[test]
fn an_arrival_is_announced_once_until_the_level_is_set_again() {
    let bus = MessageBus::new();
    let attachment = bus.attach().expect("nobody else is attached");
    let mailbox = bus.open_mailbox(AgentId::new());
    let announced_after = |level, priorities: &[MessagePriority]| {
        mailbox.announce(level);
        let told = |priority: &MessagePriority| {
            mailbox.try_send(message(*priority)).expect("there is room");
            attachment.take_announced().count()
        };
        priorities.iter().map(told).collect::<Vec<_>>()
    };
    let all = [Low, Low, Normal, High, Normal, Critical, Critical];
    assert_eq!(announced_after(Announce::Every, &all), [1, 0, 1, 1, 0, 1, 0]);
    assert_eq!(announced_after(Announce::Above(Normal), &all), [0, 0, 0, 1, 0, 1, 0]);
    assert_eq!(announced_after(Announce::Above(Critical), &all), [0; 7]);
    assert_eq!(announced_after(Announce::Nothing, &all), [0; 7]);
}

/// Everything at once, with a closing in the middle: sends that are cut off, deliveries that are
/// settled and put back before and after the closing.
#[test]
fn every_place_is_given_back_whatever_happens() {
    for round in 0..40_u32 {
        let bus = Arc::new(MessageBus::with_limits(BusLimits::default().with_lane_capacity(3)));
        let mailbox = bus.open_mailbox(AgentId::new());
        let senders = [0, 1, 2, 3].map(|sender| {
            let mailbox = mailbox.clone();
            on_a_thread(move || send_until_closed(&mailbox, sender + round))
        });
        let receivers = [0, 1, 2].map(|receiver| {
            let mailbox = mailbox.clone();
            on_a_thread(move || receive_until_closed(&mailbox, receiver + round))
        });
        while bus.total_received() < 100 {
            thread::yield_now();
        }
        let left = bus.remove_mailbox(mailbox.agent()).len();

        let sum = |threads: &[Receiver<usize>]| -> usize {
            threads.iter().map(|it| it.recv_timeout(PATIENCE).expect("it ends")).sum()
        };
        let (accepted, handled) = (sum(&senders), sum(&receivers));
        assert_eq!(places(&mailbox), [(0, 0); 4], "round {round}");
        assert_eq!(accepted, handled + left + bus.dead_letters().len(), "round {round}");
        assert_eq!([bus.total_sent(), bus.total_received()], [accepted as u64; 2]);
    }
}

/// Every third send is dropped when it has to wait. Answers how many were accepted.
fn send_until_closed(mailbox: &Arc<Mailbox>, seed: u32) -> usize {
    let mut accepted = 0;
    for n in seed.. {
        let priority = MessagePriority::MOST_URGENT_FIRST[n as usize % 4];
        let send = mailbox.send(message(priority));
        let sent = if n % 3 == 0 {
            block_on(async { tokio::time::timeout(Duration::ZERO, send).await.ok() })
        } else {
            Some(block_on(send))
        };
        match sent {
            Some(Ok(_)) => accepted += 1,
            Some(Err(_)) => break,
            None => {}
        }
    }
    accepted
}

/// Keeps some deliveries, puts some back, the last ones after the closing. Answers how many
/// were handled.
fn receive_until_closed(mailbox: &Arc<Mailbox>, seed: u32) -> usize {
    let mut kept = Vec::new();
    let mut handled = 0;
    for n in seed.. {
        kept.extend(mailbox.try_checkout());
        if kept.len() == 2 || n % 5 == 0 {
            let last = kept.pop();
            if n % 7 == 0 {
                drop(last);
            } else {
                handled += usize::from(last.map(Delivery::settle).is_some());
            }
        }
        if mailbox.is_closed() {
            break;
        }
    }
    let late = kept.pop();
    handled + usize::from(late.map(Delivery::settle).is_some())
}

/// glibc frees up to 120 bytes cheaply on another thread.
#[test]
fn a_message_in_its_lane_has_120_bytes() {
    assert!(crate::lane::node_bytes::<Parcel>() <= 120);
}

#[test]
fn an_idle_mailbox_has_192_bytes() {
    /// Strong and weak count in front of what an `Arc` holds.
    const COUNTS: usize = 2 * size_of::<usize>();
    assert!(COUNTS + size_of::<Mailbox>() <= 192, "{}", size_of::<Mailbox>());
}

#[test]
fn a_million_idle_mailboxes_fit_on_a_laptop() {
    /// Strong and weak count in front of what an `Arc` holds.
    const COUNTS: usize = 2 * size_of::<usize>();
    /// What `malloc` adds to a chunk, and rounds up to.
    const CHUNK: usize = 8 + 15;
    let mailbox = COUNTS + size_of::<Mailbox>() + CHUNK;
    // The directory's tables have a control byte an entry, are at most 7/8 full, and double:
    // just after that they are at least 7/16 full.
    let entry = (size_of::<(AgentId, Arc<Mailbox>)>() + 1) * 16 / 7 + 1;
    assert!(mailbox + entry <= 512, "{mailbox} + {entry}");
    // Nothing else is allocated: the lanes are empty, and nobody has waited.
    let made = Mailbox::new(AgentId::new());
    assert!(made.waiting.get().is_none());
}
