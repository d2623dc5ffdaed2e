//! Every refusal gives the message back and says what, how much, and what to do.

use std::sync::Arc;
use std::time::Duration;

use orch_bus::{Admission, BusLimits, MessageBus, Refusal, SendError};
use orch_core::MessagePriority::{Critical, High, Low, Normal};
use orch_core::{AgentId, AgentMessage, MessagePriority, Timestamp};

use crate::support::{bus_with_lanes_of, message, put, take_all};

/// The message comes back whole, and the text has all these parts.
#[track_caller]
fn check(error: SendError, sent: &AgentMessage, parts: &[&str], is_transient: bool) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    assert_eq!(error.is_transient(), is_transient, "{text}");
    assert_eq!(&error.into_message(), sent);
}

#[test]
fn a_full_lane_is_named_with_its_limit() {
    let (bus, mailbox) = bus_with_lanes_of(2);
    put(&mailbox, Low, "1");
    put(&mailbox, Low, "2");
    let sent = message(mailbox.agent(), Low, "3");
    let error = bus.try_send(sent.clone()).unwrap_err();
    let SendError::Full { limit, waited, .. } = &error else { panic!("{error}") };
    assert_eq!((*limit, *waited), (2, Duration::ZERO));
    let agent = mailbox.agent().to_string();
    check(error, &sent, &["Low", &agent, "2 messages", "later", "capacity"], true);
}

#[tokio::test]
async fn an_unknown_agent_is_named() {
    let bus = MessageBus::new();
    let sent = message(AgentId::new(), Normal, "x");
    let agent = sent.to().to_string();
    let error = bus.send(sent.clone()).await.unwrap_err();
    assert!(matches!(error, SendError::UnknownAgent(_)));
    check(error, &sent, &[&agent, "no mailbox", "create one"], false);
    let error = bus.try_send(sent.clone()).unwrap_err();
    check(error, &sent, &[&agent], false);
}

#[tokio::test]
async fn a_closed_mailbox_is_named_to_whoever_kept_its_address() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    assert!(bus.remove_mailbox(mailbox.agent()).is_empty());
    let sent = message(mailbox.agent(), Normal, "x");
    let agent = mailbox.agent().to_string();
    let error = mailbox.send(sent.clone()).await.unwrap_err();
    assert!(matches!(error, SendError::Closed(_)));
    check(error, &sent, &[&agent, "closed", "another"], false);
    // A closed lane is not a full one, however often it was tried.
    for _ in 0..3 {
        assert!(matches!(mailbox.try_send(sent.clone()), Err(SendError::Closed(_))));
    }
}

#[test]
fn content_beyond_the_limit_is_refused_with_both_figures() {
    let bus = MessageBus::with_limits(BusLimits::default().with_content_bytes_max(4));
    let mailbox = bus.open_mailbox(AgentId::new());
    put(&mailbox, Normal, "1234");
    // Four characters, but five bytes.
    let sent = message(mailbox.agent(), Normal, "123ä");
    let error = bus.try_send(sent.clone()).unwrap_err();
    assert!(matches!(error, SendError::TooLarge { limit: 4, .. }));
    check(error, &sent, &["5 bytes", "limit is 4", "content_bytes_max"], false);
}

#[test]
fn a_message_whose_deadline_has_come_is_named() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let now = Timestamp::now();
    let sent = message(mailbox.agent(), Normal, "x").with_deadline(now);
    let error = bus.try_send(sent.clone()).unwrap_err();
    assert!(matches!(error, SendError::Expired(_)));
    check(error, &sent, &[&sent.id().to_string(), "deadline", "later one"], false);
    let in_time = sent.with_deadline(now.after(Duration::from_hours(1)));
    assert!(bus.try_send(in_time).is_ok());
}

struct Hook {
    commits: bool,
}

impl Admission for Hook {
    fn check(&self, _: &AgentMessage) -> Result<(), Refusal> {
        Err(Refusal::new("the budget of 3 tokens is spent: raise it"))
    }

    fn has_commit(&self) -> bool {
        self.commits
    }
}

#[test]
fn what_admission_says_is_passed_on() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    assert!(bus.set_admission(Arc::new(Hook { commits: false })).is_ok());
    assert!(bus.set_admission(Arc::new(Hook { commits: true })).is_err());
    let sent = message(mailbox.agent(), Normal, "x");
    let error = bus.try_send(sent.clone()).unwrap_err();
    assert!(matches!(&error, SendError::Refused { reason, .. } if reason.contains("budget")));
    check(error, &sent, &["budget of 3 tokens", "raise it"], false);
}

#[test]
fn a_bus_that_commits_says_that_it_would_wait() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    assert!(bus.set_admission(Arc::new(Hook { commits: true })).is_ok());
    let sent = message(mailbox.agent(), Normal, "x");
    let error = bus.try_send(sent.clone()).unwrap_err();
    assert!(matches!(error, SendError::WouldWait(_)));
    check(error, &sent, &["commit", "use send instead of try_send"], true);
}

#[test]
fn a_flood_of_low_never_keeps_a_critical_out() {
    let (_bus, mailbox) = bus_with_lanes_of(3);
    let send = |priority: MessagePriority, text| {
        mailbox.try_send(message(mailbox.agent(), priority, text)).is_ok()
    };
    let accepted = (0..1_000).filter(|_| send(Low, "flood")).count();
    assert_eq!(accepted, 3);
    assert!(send(Normal, "n") && send(High, "h") && send(Critical, "c"));
    assert_eq!(take_all(&mailbox), ["c", "h", "n", "flood", "flood", "flood"]);
}
