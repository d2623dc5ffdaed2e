//! Broadcasts and topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orch_bus::{Admission, BusLimits, Mailbox, MessageBus, Refusal};
use orch_core::MessagePriority::Normal;
use orch_core::{AgentId, AgentMessage, DeadLetterReason, EventKind};
use tokio::time::{Instant, sleep};

use crate::support::{Seen, put, take_all};

const SECOND: Duration = Duration::from_secs(1);

fn bus_with_mailboxes<const N: usize>(capacity: u32) -> (MessageBus, [Arc<Mailbox>; N]) {
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(capacity));
    let mailboxes = std::array::from_fn(|_| bus.open_mailbox(AgentId::new()));
    (bus, mailboxes)
}

fn news(from: AgentId) -> AgentMessage {
    AgentMessage::new(from, AgentId::OUTSIDE, "news").with_metadata("k", "v")
}

#[tokio::test]
async fn a_broadcast_reaches_all_but_its_sender_and_copies_no_text() {
    let (bus, mailboxes) = bus_with_mailboxes::<4>(10);
    let sent = news(mailboxes[0].agent());
    assert_eq!(bus.broadcast(sent.clone()).await, 3);
    assert_eq!(mailboxes[0].try_recv(), None);
    let mut ids = vec![sent.id()];
    for mailbox in &mailboxes[1..] {
        let copy = mailbox.try_recv().unwrap();
        assert_eq!(copy.to(), mailbox.agent());
        assert_eq!((copy.from(), copy.metadata()), (sent.from(), sent.metadata()));
        assert!(std::ptr::eq(copy.content().as_str(), sent.content().as_str()));
        assert!(!ids.contains(&copy.id()), "each copy has an id of its own");
        ids.push(copy.id());
    }
    assert_eq!(bus.broadcast(news(AgentId::OUTSIDE)).await, 4);
    assert_eq!(MessageBus::new().broadcast(news(AgentId::OUTSIDE)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn full_mailboxes_are_waited_for_together() {
    let (bus, [open, early, late, full]) = bus_with_mailboxes(1);
    for mailbox in [&early, &late, &full] {
        put(mailbox, Normal, "old");
    }
    let seen = Seen::of(&bus);
    let started = Instant::now();
    let frees = async {
        // Those that have room do not wait for those that have none.
        sleep(SECOND).await;
        assert_eq!(take_all(&open), ["news"]);
        for mailbox in [&early, &late] {
            sleep(4 * SECOND).await;
            assert_eq!(take_all(mailbox), ["old"]);
            // In a moment, although another one stays full.
            sleep(Duration::from_millis(1)).await;
            assert_eq!(take_all(mailbox), ["news"]);
        }
    };
    let (accepted, ()) = tokio::join!(bus.broadcast(news(AgentId::OUTSIDE)), frees);
    assert_eq!(accepted, 3);
    assert_eq!(started.elapsed(), 30 * SECOND, "together, not one after another");

    let letters = bus.dead_letters().list();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].message.to(), full.agent());
    assert!(
        matches!(&letters[0].reason, DeadLetterReason::Refused { error } if error.contains("full"))
    );
    let told = seen.take().into_iter().filter(
        |kind| matches!(kind, EventKind::DeadLettered { agent, .. } if *agent == full.agent()),
    );
    assert_eq!(told.count(), 1);
    assert_eq!(take_all(&full), ["old"]);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_is_dropped_leaves_what_was_accepted_and_makes_no_dead_letter() {
    let (bus, [open, full]) = bus_with_mailboxes(1);
    put(&full, Normal, "old");
    let broadcast = bus.broadcast(news(AgentId::OUTSIDE));
    assert!(tokio::time::timeout(SECOND, broadcast).await.is_err());
    assert_eq!(take_all(&open), ["news"]);
    assert_eq!(take_all(&full), ["old"]);
    assert!(bus.dead_letters().is_empty());
}

#[tokio::test]
async fn what_the_bus_refuses_outright_becomes_dead_letters_at_once() {
    let limits = BusLimits::default().with_content_bytes_max(3);
    let bus = MessageBus::with_limits(limits);
    bus.create_mailbox(AgentId::new()).await;
    bus.create_mailbox(AgentId::new()).await;
    assert_eq!(bus.broadcast(news(AgentId::OUTSIDE)).await, 0);
    assert_eq!((bus.dead_letters().len(), bus.dead_letters().total_made()), (2, 2));
}

/// Counts what it is asked, and commits.
#[derive(Default)]
struct Counts {
    checks: AtomicUsize,
    commits: bool,
}

impl Admission for Counts {
    fn check(&self, _: &AgentMessage) -> Result<(), Refusal> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn has_commit(&self) -> bool {
        self.commits
    }
}

/// Seen in review: a copy that had to wait, for room or for a commit, was sent anew, and so a limit
/// of messages counted it twice.
#[tokio::test(start_paused = true)]
async fn admission_is_asked_about_each_copy_once() {
    for commits in [false, true] {
        let (bus, [open, full]) = bus_with_mailboxes(1);
        put(&full, Normal, "old");
        let counts = Arc::new(Counts { commits, ..Counts::default() });
        assert!(bus.set_admission(counts.clone()).is_ok());
        let free = async {
            sleep(SECOND).await;
            take_all(&full);
        };
        let (accepted, ()) = tokio::join!(bus.broadcast(news(AgentId::OUTSIDE)), free);
        assert_eq!((accepted, counts.checks.load(Ordering::Relaxed)), (2, 2));
        assert_eq!((take_all(&open).len(), take_all(&full).len()), (1, 1));

        // And `try_send` asks only about what it could accept.
        let sent = bus.try_send(AgentMessage::new(AgentId::OUTSIDE, open.agent(), "x"));
        assert_eq!(sent.is_ok(), !commits);
        assert_eq!(counts.checks.load(Ordering::Relaxed), if commits { 2 } else { 3 });
    }
}

#[tokio::test]
async fn a_topic_reaches_its_subscribers_once_each_and_not_the_sender() {
    let (bus, [a, b, c]) = bus_with_mailboxes(10);
    for mailbox in [&a, &b, &b] {
        bus.subscribe(mailbox.agent(), "builds");
    }
    assert_eq!(bus.subscribers("builds"), [a.agent(), b.agent()]);
    assert_eq!(bus.publish("builds", news(a.agent())).await, 1);
    assert_eq!(bus.publish("builds", news(AgentId::OUTSIDE)).await, 2);
    assert_eq!([&a, &b, &c].map(|it| take_all(it).len()), [1, 2, 0]);

    assert!(bus.unsubscribe(b.agent(), "builds"));
    assert!(!bus.unsubscribe(b.agent(), "builds"));
    assert!(!bus.unsubscribe(b.agent(), "no such topic"));
    assert_eq!(bus.publish("builds", news(AgentId::OUTSIDE)).await, 1);
    assert_eq!(bus.publish("no such topic", news(AgentId::OUTSIDE)).await, 0);
}

#[tokio::test]
async fn removing_a_mailbox_unsubscribes_its_agent() {
    let (bus, [a, b]) = bus_with_mailboxes(10);
    for topic in ["x", "y"] {
        bus.subscribe(a.agent(), topic);
    }
    bus.subscribe(b.agent(), "y");
    let _ = bus.remove_mailbox(a.agent());
    assert_eq!((bus.subscribers("x"), bus.subscribers("y")), (vec![], vec![b.agent()]));
    bus.create_mailbox(a.agent()).await;
    assert_eq!(bus.publish("x", news(AgentId::OUTSIDE)).await, 0);
    assert!(bus.dead_letters().is_empty());
}
