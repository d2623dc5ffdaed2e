//! Waiting for room, in paused time.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orch_bus::{BusLimits, Mailbox, MessageBus, SendError};
use orch_core::MessagePriority::{Low, Normal};
use orch_core::{AgentId, EventKind};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Seen, bus_with_lanes_of, message, poll_once, put, take_all};

const SECOND: Duration = Duration::from_secs(1);

fn full_bus() -> (Arc<MessageBus>, Arc<Mailbox>) {
    let (bus, mailbox) = bus_with_lanes_of(1);
    put(&mailbox, Normal, "first");
    (bus, mailbox)
}

#[tokio::test(start_paused = true)]
async fn a_send_waits_and_gets_in_when_a_place_frees() {
    let (_bus, mailbox) = full_bus();
    let started = Instant::now();
    let free_later = async {
        sleep(10 * SECOND).await;
        assert_eq!(mailbox.try_recv().unwrap().content(), "first");
    };
    let send = mailbox.send(message(mailbox.agent(), Normal, "second"));
    let (sent, ()) = tokio::join!(send, free_later);
    assert!(sent.is_ok());
    assert_eq!(started.elapsed(), 10 * SECOND);
    assert_eq!(take_all(&mailbox), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn a_send_gives_up_after_thirty_seconds_and_warns_once_after_one() {
    let (bus, mailbox) = full_bus();
    let seen = Seen::of(&bus);
    let sent = message(mailbox.agent(), Normal, "second");
    let started = Instant::now();
    let mut send = pin!(bus.send(sent.clone()));

    assert!(poll_once(send.as_mut()).is_pending());
    advance(SECOND - Duration::from_millis(1)).await;
    assert!(poll_once(send.as_mut()).is_pending());
    assert_eq!(seen.take(), []);

    advance(Duration::from_millis(1)).await;
    assert!(poll_once(send.as_mut()).is_pending());
    assert_eq!(seen.take(), [EventKind::SendWaiting { to: mailbox.agent(), priority: Normal }]);

    let error = send.await.unwrap_err();
    assert_eq!(started.elapsed(), 30 * SECOND);
    assert!(matches!(&error, SendError::Full { limit: 1, waited, .. } if *waited == 30 * SECOND));
    assert_eq!(error.into_message(), sent);
    assert_eq!(seen.take(), []);
    assert_eq!(mailbox.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_ends_without_a_warning() {
    let limits = BusLimits::default().with_lane_capacity(1).with_send_wait(SECOND / 2);
    let bus = MessageBus::with_limits(limits);
    let mailbox = bus.open_mailbox(AgentId::new());
    put(&mailbox, Low, "first");
    let seen = Seen::of(&bus);
    let started = Instant::now();
    assert!(bus.send(message(mailbox.agent(), Low, "second")).await.is_err());
    assert_eq!(started.elapsed(), SECOND / 2);
    assert_eq!(seen.take(), []);
}

/// Seen in review: the end of the wait was computed by an addition that panics beyond the end of
/// time, so a bus whose sends wait for ever could not wait at all.
#[tokio::test(start_paused = true)]
async fn a_wait_without_limit_does_not_end() {
    let limits = BusLimits::default().with_lane_capacity(1).with_send_wait(Duration::MAX);
    let bus = MessageBus::with_limits(limits);
    let mailbox = bus.open_mailbox(AgentId::new());
    put(&mailbox, Low, "first");
    let mut send = pin!(bus.send(message(mailbox.agent(), Low, "second")));
    assert!(poll_once(send.as_mut()).is_pending());
    advance(1_000_000 * SECOND).await;
    assert!(poll_once(send.as_mut()).is_pending());
    assert!(mailbox.try_recv().is_some());
    assert!(send.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_accepts_nothing_and_hands_its_place_on() {
    let (bus, mailbox) = full_bus();
    let mut other = pin!(mailbox.send(message(mailbox.agent(), Normal, "other")));
    {
        let mut dropped = pin!(mailbox.send(message(mailbox.agent(), Normal, "dropped")));
        assert!(poll_once(dropped.as_mut()).is_pending());
        assert!(poll_once(other.as_mut()).is_pending());
        // The place is offered to the first of the two, which is dropped.
        assert!(mailbox.try_recv().is_some());
    }
    assert!(matches!(poll_once(other), Poll::Ready(Ok(_))));
    assert_eq!(take_all(&mailbox), ["other"]);
    assert_eq!(bus.total_sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closing_ends_the_wait_of_all() {
    let (bus, mailbox) = full_bus();
    let started = Instant::now();
    let send = || mailbox.send(message(mailbox.agent(), Normal, "late"));
    let close_later = async {
        sleep(5 * SECOND).await;
        bus.remove_mailbox(mailbox.agent())
    };
    let (first, second, left) = tokio::join!(send(), send(), close_later);
    for sent in [first, second] {
        assert!(matches!(sent, Err(SendError::Closed(_))), "{sent:?}");
    }
    assert_eq!(left.len(), 1);
    assert_eq!(started.elapsed(), 5 * SECOND);
}
