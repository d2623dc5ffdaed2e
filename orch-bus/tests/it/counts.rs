//! Figures of a bus, and the events of acceptance.

use std::sync::{Arc, Weak};
use std::thread;

use orch_bus::{Attachment, MessageBus};
use orch_core::MessagePriority::{self, Critical, High, Low, Normal};
use orch_core::{AgentId, Event, EventKind, Observer, PriorityDepth};

use crate::support::{Seen, message, put, take_all};

#[test]
fn the_depth_of_a_bus_is_the_sum_of_its_mailboxes() {
    let bus = MessageBus::new();
    let [a, b] = [(); 2].map(|()| bus.open_mailbox(AgentId::new()));
    for priority in [Low, Low, Normal, Critical] {
        put(&a, priority, "x");
    }
    put(&b, High, "x");
    put(&b, Low, "x");
    let depth = PriorityDepth { critical: 1, high: 1, normal: 1, low: 3 };
    assert_eq!(bus.queue_depth(), depth);
    assert_eq!(b.depth(), PriorityDepth { high: 1, low: 1, ..PriorityDepth::default() });
    let delivery = a.try_checkout();
    assert_eq!(bus.queue_depth(), PriorityDepth { critical: 0, ..depth });
    drop(delivery);
    assert_eq!(bus.queue_depth(), depth);
    let mut agents = bus.agents();
    agents.sort_unstable();
    let mut expected = [a.agent(), b.agent()];
    expected.sort_unstable();
    assert_eq!(agents, expected);
}

#[test]
fn figures_stay_within_bounds_while_others_send_and_are_exact_afterwards() {
    const EACH: usize = 5_000;
    let bus = MessageBus::new();
    let mailboxes = [(); 4].map(|()| bus.open_mailbox(AgentId::new()));
    thread::scope(|scope| {
        for sender in 0..3 {
            let mailboxes = &mailboxes;
            scope.spawn(move || {
                for n in 0..EACH {
                    let priority = MessagePriority::MOST_URGENT_FIRST[n % 4];
                    put(&mailboxes[(n + sender) % 4], priority, "x");
                    if n % 3 == 0 {
                        // Put back at once: never more, and never fewer, than were sent.
                        drop(mailboxes[n % 4].try_checkout());
                    }
                }
            });
        }
        let mut sent = 0;
        while sent < 3 * EACH as u64 {
            assert!(bus.queue_depth().total() <= 3 * EACH);
            let now = bus.total_sent();
            assert!(sent <= now, "a count went back from {sent} to {now}");
            sent = now;
        }
    });
    assert_eq!(bus.queue_depth().total(), 3 * EACH);
    assert_eq!((bus.total_sent(), bus.total_received()), (3 * EACH as u64, 0));
    let left: usize = mailboxes.iter().map(|mailbox| take_all(mailbox).len()).sum();
    assert_eq!((left, bus.total_received()), (3 * EACH, 3 * EACH as u64));
    assert_eq!(bus.queue_depth(), PriorityDepth::default());
}

#[test]
fn acceptance_is_told_once_and_a_refusal_is_not() {
    let bus = MessageBus::new();
    let mailbox = bus.open_mailbox(AgentId::new());
    let seen = Seen::of(&bus);
    let sent = message(mailbox.agent(), High, "x");
    bus.try_send(sent.clone()).unwrap();
    assert_eq!(seen.take(), [EventKind::Accepted { message: sent.clone() }]);
    mailbox.close();
    assert!(mailbox.try_send(sent).is_err());
    assert_eq!(seen.take(), []);
}

/// Notes whether a scheduler could have been woken before it was told of the message.
struct Early(Weak<Attachment>);

impl Observer for Early {
    fn on_event(&self, event: &Event) {
        assert!(matches!(event.kind, EventKind::Accepted { .. }));
        let attachment = self.0.upgrade().expect("the test keeps it");
        assert!(!attachment.has_announced(), "whoever is woken may tell of the message first");
    }
}

#[test]
fn acceptance_is_told_before_anybody_is_woken() {
    let bus = MessageBus::new();
    let attachment = Arc::new(bus.attach().unwrap());
    let mailbox = bus.open_mailbox(AgentId::new());
    bus.events().add(Arc::new(Early(Arc::downgrade(&attachment))));
    put(&mailbox, Normal, "x");
    assert!(attachment.has_announced());
}
