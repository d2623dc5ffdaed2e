//! Receiving, waiting to receive, and receiving while a mailbox closes.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use orch_bus::{Mailbox, MessageBus};
use orch_core::AgentId;
use orch_core::MessagePriority::{Critical, High, Low, Normal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{PATIENCE, block_on, bus_with_lanes_of, poll_once, put, take_all};

#[test]
fn the_most_urgent_comes_first_and_equals_in_the_order_of_sending() {
    let mailbox = Mailbox::new(AgentId::new());
    let sent = [
        (Low, "l1"),
        (Critical, "c1"),
        (Normal, "n1"),
        (High, "h1"),
        (Low, "l2"),
        (Critical, "c2"),
    ];
    for (priority, text) in sent {
        put(&mailbox, priority, text);
    }
    assert_eq!(mailbox.most_urgent(), Some(Critical));
    assert_eq!(take_all(&mailbox), ["c1", "c2", "h1", "n1", "l1", "l2"]);
    assert_eq!(mailbox.most_urgent(), None);
}

#[tokio::test]
async fn a_receiver_that_waits_gets_what_is_sent_and_the_end_after_it() {
    let mailbox = Mailbox::new(AgentId::new());
    let mut receivers = JoinSet::new();
    for _ in 0..3 {
        let mailbox = mailbox.clone();
        receivers.spawn(async move { mailbox.recv().await.map(|it| it.content().to_string()) });
    }
    tokio::task::yield_now().await;
    put(&mailbox, Low, "a");
    put(&mailbox, High, "b");
    mailbox.close();
    let received = timeout(PATIENCE, receivers.join_all()).await;
    let mut received = received.expect("each is woken");
    received.sort();
    assert_eq!(received, [None, Some("a".to_owned()), Some("b".to_owned())]);
}

#[test]
fn a_receive_that_is_dropped_takes_nothing_and_hands_its_wake_up_on() {
    let mailbox = Mailbox::new(AgentId::new());
    let mut other = pin!(mailbox.recv());
    {
        let mut dropped = pin!(mailbox.recv());
        assert!(poll_once(dropped.as_mut()).is_pending());
        assert!(poll_once(other.as_mut()).is_pending());
        // Wakes the first of the two, which is dropped.
        put(&mailbox, Normal, "a");
    }
    assert!(matches!(poll_once(other), Poll::Ready(Some(message)) if message.content() == "a"));
}

#[test]
fn a_message_that_is_put_back_wakes_a_receiver_that_waits() {
    let mailbox = Mailbox::new(AgentId::new());
    put(&mailbox, Normal, "a");
    let delivery = mailbox.try_checkout();
    let mut receive = pin!(mailbox.recv());
    assert!(poll_once(receive.as_mut()).is_pending());
    drop(delivery);
    assert!(poll_once(receive).is_ready());
}

#[test]
fn what_was_sent_before_the_closing_is_received_after_it() {
    // Threads, many times; the unit tests of the mailbox stop them where it matters.
    for round in 0..300 {
        let mailbox = Mailbox::new(AgentId::new());
        let receiver = {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                block_on(async {
                    let mut n = 0;
                    let woken = "by a message or by the closing";
                    while timeout(PATIENCE, mailbox.recv()).await.expect(woken).is_some() {
                        n += 1;
                    }
                    n
                })
            })
        };
        for _ in 0..round % 7 {
            put(&mailbox, Normal, "x");
        }
        mailbox.close();
        assert_eq!(receiver.join().unwrap(), round % 7);
    }
}

/// Seen in review: a mailbox announced its first message to a scheduler that was not there, and the
/// announcement kept the mailbox, its messages and its bus for good.
#[test]
fn a_mailbox_that_nobody_schedules_is_freed_with_its_messages() {
    let alone = Mailbox::new(AgentId::new());
    put(&alone, Normal, "x");
    let alone = Arc::downgrade(&{ alone });
    assert!(alone.upgrade().is_none());

    let (bus, mailbox) = bus_with_lanes_of(8);
    put(&mailbox, Normal, "x");
    let _ = bus.remove_mailbox(mailbox.agent());
    let removed = Arc::downgrade(&{ mailbox });
    assert!(removed.upgrade().is_none());
}

#[test]
fn a_bus_whose_scheduler_left_is_freed() {
    let bus = MessageBus::new();
    let mailbox = bus.open_mailbox(AgentId::new());
    let attachment = bus.attach().unwrap();
    put(&mailbox, Normal, "x");
    let mailbox = Arc::downgrade(&{ mailbox });
    drop(bus);
    drop(attachment);
    assert!(mailbox.upgrade().is_none());
}
