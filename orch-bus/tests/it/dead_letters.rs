//! Dead letters: kept until somebody sends them again or takes them out.

use std::pin::pin;
use std::time::Duration;

use orch_bus::{MessageBus, ResendError, SendError};
use orch_core::MessagePriority::Normal;
use orch_core::{AgentId, DeadLetter, DeadLetterReason, Timestamp};

use crate::support::{bus_with_lanes_of, message, poll_once, put};

fn letter(to: AgentId, text: &str) -> DeadLetter {
    let message = message(to, Normal, text).with_deadline(Timestamp::from_millis(1));
    DeadLetter::new(message, DeadLetterReason::Expired, Timestamp::from_millis(2))
}

fn kept(bus: &MessageBus) -> Vec<String> {
    bus.dead_letters().list().iter().map(|it| it.message.content().to_string()).collect()
}

#[test]
fn letters_are_listed_looked_at_and_taken_oldest_first() {
    let bus = MessageBus::new();
    let letters = bus.dead_letters();
    assert!(letters.is_empty());
    let [a, b] = ["a", "b"].map(|text| letter(AgentId::new(), text));
    letters.add(a.clone());
    letters.add(b.clone());
    assert_eq!(letters.list(), [a, b.clone()]);
    let id = b.message.id();
    assert_eq!((letters.get(id), letters.len()), (Some(b.clone()), 2));
    assert_eq!((letters.take(id), letters.len()), (Some(b), 1));
    assert_eq!((letters.get(id), letters.take(id)), (None, None));
    assert_eq!(letters.total_made(), 2);
}

#[test]
fn a_message_that_died_twice_has_two_letters() {
    let bus = MessageBus::new();
    let first = letter(AgentId::new(), "a");
    let mut second = first.clone();
    second.reason = DeadLetterReason::FinalFailure;
    bus.dead_letters().add(first.clone());
    bus.dead_letters().add(second.clone());
    let id = first.message.id();
    assert_eq!(bus.dead_letters().take(id), Some(first));
    assert_eq!(bus.dead_letters().take(id), Some(second));
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_sent_again_under_its_id_and_without_its_deadline() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let letter = letter(mailbox.agent(), "a");
    let id = letter.message.id();
    bus.dead_letters().add(letter);
    bus.resend(id).await.unwrap();
    let again = mailbox.try_recv().unwrap();
    assert_eq!((again.id(), again.deadline()), (id, None));
    assert!(bus.dead_letters().is_empty());
    let unknown = bus.resend(id).await.unwrap_err();
    assert!(matches!(unknown, ResendError::Unknown(other) if other == id));
    assert!(unknown.to_string().contains(&id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_mailbox_refuses_it_stays_where_it_was() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    put(&mailbox, Normal, "old");
    let [a, b] = ["a", "b"].map(|text| letter(mailbox.agent(), text));
    let id = a.message.id();
    bus.dead_letters().add(a.clone());
    bus.dead_letters().add(b);

    let refused = bus.resend(id).await.unwrap_err();
    assert!(matches!(refused, ResendError::NotAccepted(SendError::Full { .. })), "{refused}");
    assert_eq!(kept(&bus), ["a", "b"]);
    assert_eq!(bus.dead_letters().get(id), Some(a), "with its deadline");

    let _ = bus.remove_mailbox(mailbox.agent());
    let refused = bus.resend(id).await.unwrap_err();
    assert!(matches!(refused, ResendError::NotAccepted(SendError::UnknownAgent(_))), "{refused}");
    assert_eq!((kept(&bus), bus.dead_letters().total_made()), (vec!["a".into(), "b".into()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_resend_that_is_dropped_keeps_the_letter() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    put(&mailbox, Normal, "old");
    let [a, b] = ["a", "b"].map(|text| letter(mailbox.agent(), text));
    let id = a.message.id();
    bus.dead_letters().add(a);
    bus.dead_letters().add(b);
    {
        let mut resend = pin!(bus.resend(id));
        assert!(poll_once(resend.as_mut()).is_pending());
        // On its way it is nobody else's to send.
        assert!(matches!(bus.resend(id).await, Err(ResendError::Unknown(_))));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(poll_once(resend.as_mut()).is_pending());
    }
    assert_eq!(kept(&bus), ["a", "b"]);
    assert_eq!(mailbox.len(), 1);
}
