//! Messages that are checked out: they keep their places, and come back to where they were.

use orch_bus::SendError;
use orch_core::MessagePriority::{self, Critical, High, Low, Normal};
use orch_core::{AgentId, DeadLetterReason, EventKind};

use crate::support::{Seen, bus_with_lanes_of, message, put, take_all};

#[test]
fn a_place_stays_taken_until_the_delivery_is_settled() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    put(&mailbox, Normal, "a");
    let delivery = mailbox.try_checkout().unwrap();
    assert_eq!((mailbox.len(), bus.total_received()), (0, 0));
    let refused = mailbox.try_send(message(mailbox.agent(), Normal, "b"));
    assert!(matches!(refused, Err(SendError::Full { .. })));
    assert_eq!(delivery.settle().content(), "a");
    assert_eq!(bus.total_received(), 1);
    put(&mailbox, Normal, "b");
}

#[test]
fn a_message_that_is_put_back_fits_into_a_lane_that_is_full() {
    let (bus, mailbox) = bus_with_lanes_of(2);
    put(&mailbox, Normal, "a");
    let delivery = mailbox.try_checkout().unwrap();
    put(&mailbox, Normal, "b");
    assert!(mailbox.try_send(message(mailbox.agent(), Normal, "c")).is_err());
    delivery.put_back();
    assert_eq!(mailbox.len(), 2);
    assert_eq!(take_all(&mailbox), ["a", "b"]);
    assert_eq!(bus.total_sent(), bus.total_received());
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: Vec<usize>| {
        (0..n).map(move |place| {
            let mut order = order.clone();
            order.insert(place, n - 1);
            order
        })
    };
    orders(n - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn messages_come_back_to_where_they_were_in_whatever_order_they_come() {
    for order in orders(5) {
        let (_bus, mailbox) = bus_with_lanes_of(100);
        for text in ["a", "b", "c", "d", "e", "f"] {
            put(&mailbox, Normal, text);
        }
        let mut out: Vec<_> = (0..5).map(|_| mailbox.try_checkout()).collect();
        for i in &order {
            drop(out[*i].take());
        }
        assert_eq!(take_all(&mailbox), ["a", "b", "c", "d", "e", "f"], "put back as {order:?}");
    }
}

#[test]
fn a_second_check_out_does_not_change_where_a_message_belongs() {
    let (_bus, mailbox) = bus_with_lanes_of(100);
    for text in ["a", "b", "c"] {
        put(&mailbox, Normal, text);
    }
    let a = mailbox.try_checkout();
    let b = mailbox.try_checkout();
    drop(a);
    let a = mailbox.try_checkout();
    drop(b);
    drop(a);
    assert_eq!(take_all(&mailbox), ["a", "b", "c"]);
}

#[test]
fn only_what_is_urgent_enough_is_checked_out() {
    let (_bus, mailbox) = bus_with_lanes_of(100);
    put(&mailbox, Low, "l");
    put(&mailbox, High, "h");
    let text = |least: MessagePriority| {
        mailbox.try_checkout_from(least).map(|it| it.settle().content().to_string())
    };
    assert_eq!(text(Critical), None);
    assert_eq!(text(Normal).as_deref(), Some("h"));
    assert_eq!(text(Normal), None);
    assert_eq!(text(Low).as_deref(), Some("l"));
}

#[test]
fn a_delivery_that_comes_back_after_the_removal_is_a_dead_letter_and_told_of() {
    let (bus, mailbox) = bus_with_lanes_of(100);
    let seen = Seen::of(&bus);
    put(&mailbox, Normal, "put back");
    put(&mailbox, Normal, "settled");
    put(&mailbox, Normal, "left");
    let put_back = mailbox.try_checkout().unwrap();
    let settled = mailbox.try_checkout().unwrap();
    assert_eq!(bus.remove_mailbox(mailbox.agent())[0].content(), "left");
    seen.take();

    let id = put_back.id();
    put_back.put_back();
    assert_eq!(settled.settle().content(), "settled");

    let letters = bus.dead_letters().list();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].message.id(), &letters[0].reason), (id, &DeadLetterReason::Retired));
    assert_eq!(
        seen.take(),
        [EventKind::DeadLettered {
            agent: mailbox.agent(),
            message: id,
            reason: DeadLetterReason::Retired,
            attempts: 0,
            error: None,
        }]
    );
    assert_eq!((bus.total_sent(), bus.total_received()), (3, 3));
    assert_eq!(mailbox.len(), 0);
}

#[test]
fn a_mailbox_without_a_bus_keeps_its_dead_letters_within_reach() {
    let mailbox = orch_bus::Mailbox::new(AgentId::new());
    put(&mailbox, Normal, "a");
    let delivery = mailbox.try_checkout().unwrap();
    mailbox.close();
    drop(delivery);
    assert_eq!(mailbox.dead_letters().list()[0].message.content(), "a");
}

#[test]
fn a_handler_that_panics_loses_nothing() {
    let (_bus, mailbox) = bus_with_lanes_of(1);
    put(&mailbox, Normal, "a");
    let handler = {
        let mailbox = mailbox.clone();
        std::thread::spawn(move || {
            let _delivery = mailbox.try_checkout().unwrap();
            std::panic::resume_unwind(Box::new("planned"));
        })
    };
    assert!(handler.join().is_err());
    assert_eq!(take_all(&mailbox), ["a"]);
}
