//! Removing a mailbox: nothing that was accepted vanishes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use orch_bus::{MessageBus, SendError};
use orch_core::AgentId;
use orch_core::MessagePriority::{self, Critical, High, Low, Normal};

use crate::support::{bus_with_lanes_of, message, put, texts};

#[test]
fn what_was_left_is_returned_the_most_urgent_first() {
    let (bus, mailbox) = bus_with_lanes_of(10);
    for (priority, text) in
        [(Low, "l"), (Normal, "n1"), (Critical, "c"), (High, "h"), (Normal, "n2")]
    {
        put(&mailbox, priority, text);
    }
    assert_eq!(texts(&bus.remove_mailbox(mailbox.agent())), ["c", "h", "n1", "n2", "l"]);
    assert!(mailbox.is_closed() && bus.mailbox(mailbox.agent()).is_none());
    assert!(bus.remove_mailbox(mailbox.agent()).is_empty());
    assert_eq!((bus.total_sent(), bus.total_received()), (5, 5));
}

#[test]
fn a_message_that_was_put_back_keeps_its_place_in_the_answer() {
    let (bus, mailbox) = bus_with_lanes_of(10);
    for text in ["a", "b", "c"] {
        put(&mailbox, Normal, text);
    }
    let a = mailbox.try_checkout();
    let _b = mailbox.try_checkout();
    drop(a);
    assert_eq!(texts(&bus.remove_mailbox(mailbox.agent())), ["a", "c"]);
}

#[test]
fn a_mailbox_of_the_same_agent_can_be_created_again() {
    let (bus, old) = bus_with_lanes_of(10);
    let agent = old.agent();
    let _ = bus.remove_mailbox(agent);
    let new = bus.open_mailbox(agent);
    assert!(bus.try_send(message(agent, Normal, "x")).is_ok());
    assert_eq!((new.len(), old.len()), (1, 0));
    // Created twice, it stays as it is.
    assert_eq!(bus.open_mailbox_with(agent, 1).len(), 1);
    assert_eq!(new.lane_capacity(), 10);
}

/// What threads were told about their sends, receives and the removal.
#[derive(Default)]
struct Account {
    /// By text: how often accepted, and how often received or returned.
    by_text: BTreeMap<String, [u32; 2]>,
}

impl Account {
    fn note(&mut self, texts: impl IntoIterator<Item = String>, column: usize) {
        for text in texts {
            self.by_text.entry(text).or_default()[column] += 1;
        }
    }
}

#[test]
fn every_send_that_returned_ok_is_received_or_returned_exactly_once() {
    for round in 0..60 {
        let bus = MessageBus::new();
        let agent = AgentId::new();
        let mailbox = bus.open_mailbox(agent);
        let is_removed = AtomicBool::new(false);
        let mut account = Account::default();
        thread::scope(|scope| {
            let send = |sender: usize| {
                let bus = &bus;
                move || {
                    let mut accepted = Vec::new();
                    loop {
                        let text = format!("{sender}-{}", accepted.len());
                        let priority = MessagePriority::MOST_URGENT_FIRST[accepted.len() % 4];
                        match bus.try_send(message(agent, priority, &text)) {
                            Ok(_) => accepted.push(text),
                            Err(SendError::Closed(_) | SendError::UnknownAgent(_)) => {
                                return accepted;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            };
            let receive = || {
                let mut received = Vec::new();
                while !is_removed.load(Ordering::Acquire) {
                    received.extend(mailbox.try_recv().map(|it| it.content().to_string()));
                }
                received
            };
            let senders: Vec<_> = (0..3).map(|it| scope.spawn(send(it))).collect();
            let receiver = scope.spawn(receive);
            while bus.total_sent() < 50 * (round % 5) {
                thread::yield_now();
            }
            let left = bus.remove_mailbox(agent);
            is_removed.store(true, Ordering::Release);
            account.note(left.iter().map(|it| it.content().to_string()), 1);
            account.note(receiver.join().unwrap(), 1);
            for sender in senders {
                account.note(sender.join().unwrap(), 0);
            }
        });
        let wrong: Vec<_> = account.by_text.iter().filter(|(_, n)| **n != [1, 1]).collect();
        assert!(wrong.is_empty(), "round {round}: {wrong:?}");
        assert_eq!(mailbox.try_recv(), None);
        assert_eq!(bus.total_sent(), bus.total_received());
    }
}
