//! The hook that decides about acceptance.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use orch_bus::{Admission, Commit, CommitFuture, Refusal, SendError};
use orch_core::MessagePriority::Normal;
use orch_core::{AgentMessage, DeadLetter, DeadLetterReason, MessageId};

use crate::support::{bus_with_lanes_of, message, poll_once, take_all};

/// Refuses texts that begin with "bad"; commits when it is told how.
#[derive(Default)]
struct Door {
    checks: AtomicUsize,
    commits: AtomicUsize,
    /// `None`: the commit is pending.
    answer: Mutex<Option<Commit>>,
    /// What is left of a send that was dropped.
    left: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    letters: Mutex<Vec<MessageId>>,
}

impl Admission for Door {
    fn check(&self, message: &AgentMessage) -> Result<(), Refusal> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if message.content().starts_with("bad") { Err(Refusal::new("bad words")) } else { Ok(()) }
    }

    fn has_commit(&self) -> bool {
        true
    }

    fn commit(self: Arc<Self>, _: AgentMessage) -> CommitFuture {
        self.commits.fetch_add(1, Ordering::Relaxed);
        Box::pin(poll_fn(move |_| match &*self.answer.lock().expect("nobody panics") {
            Some(answer) => Poll::Ready(answer.clone()),
            None => Poll::Pending,
        }))
    }

    fn go_on(&self, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        *self.left.lock().expect("nobody panics") = Some(rest);
    }

    fn given_up(&self, letter: &DeadLetter) {
        self.letters.lock().expect("nobody panics").push(letter.message.id());
    }
}

impl Door {
    fn answer(&self, answer: Commit) {
        *self.answer.lock().expect("nobody panics") = Some(answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_refuses_before_a_place_is_taken() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());

    // One send holds the only place while it commits: a refusal must not wait for it.
    let mut committing = pin!(bus.send(message(mailbox.agent(), Normal, "good")));
    assert!(poll_once(committing.as_mut()).is_pending());
    let mut refused = pin!(bus.send(message(mailbox.agent(), Normal, "bad")));
    let Poll::Ready(Err(SendError::Refused { message, reason })) = poll_once(refused.as_mut())
    else {
        panic!("it is refused at once")
    };
    assert_eq!((message.content().as_str(), reason.as_str()), ("bad", "bad words"));
    assert_eq!(door.commits.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_there_until_it_is_committed() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    let attachment = bus.attach().unwrap();
    let mut send = pin!(bus.send(message(mailbox.agent(), Normal, "a")));
    assert!(poll_once(send.as_mut()).is_pending());
    assert_eq!((mailbox.try_recv(), mailbox.most_urgent(), bus.total_sent()), (None, None, 0));
    assert!(!attachment.has_announced());

    door.answer(Commit::Committed);
    assert!(matches!(poll_once(send), Poll::Ready(Ok(_))));
    assert!(attachment.has_announced());
    assert_eq!(take_all(&mailbox), ["a"]);
    assert_eq!((door.checks.load(Ordering::Relaxed), door.commits.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_refused_gives_the_place_and_the_message_back() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    door.answer(Commit::Refused(Refusal::new("the disk is full")));
    let sent = message(mailbox.agent(), Normal, "a");
    let error = bus.send(sent.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "the message was refused: the disk is full");
    assert_eq!(error.into_message(), sent);

    door.answer(Commit::Committed);
    assert!(bus.send(sent).await.is_ok(), "the only place is free again");
}

/// Seen in the design: without going on, the journal has the message, and no lane has it until a restart.
#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_commits_goes_on() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    let mut waits = pin!(bus.send(message(mailbox.agent(), Normal, "waits")));
    {
        let mut dropped = pin!(bus.send(message(mailbox.agent(), Normal, "dropped")));
        assert!(poll_once(dropped.as_mut()).is_pending());
        assert!(poll_once(waits.as_mut()).is_pending());
        assert_eq!(door.commits.load(Ordering::Relaxed), 1, "what waits for room is not committed");
    }
    assert!(poll_once(waits.as_mut()).is_pending(), "its place is still taken");
    door.answer(Commit::Committed);
    let left = door.left.lock().unwrap().take().expect("it was handed over");
    left.await;
    assert_eq!(take_all(&mailbox), ["dropped"]);
    assert!(matches!(poll_once(waits), Poll::Ready(Ok(_))));
    assert_eq!(take_all(&mailbox), ["waits"]);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_before_it_commits_gives_its_place_to_who_waits() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    drop(bus.reserve(message(mailbox.agent(), Normal, "dropped")).await.unwrap());
    door.answer(Commit::Committed);
    assert!(bus.send(message(mailbox.agent(), Normal, "a")).await.is_ok());
    assert_eq!(take_all(&mailbox), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_known_is_answered_well_and_enters_once() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    door.answer(Commit::Known);
    let sent = message(mailbox.agent(), Normal, "a");
    assert_eq!(bus.send(sent.clone()).await.unwrap(), sent.id());
    assert_eq!((mailbox.len(), bus.total_sent()), (0, 0));
    door.answer(Commit::Committed);
    assert!(bus.send(sent).await.is_ok(), "the only place is free again");
}

#[tokio::test(start_paused = true)]
async fn an_uncertain_commit_gives_the_message_back_and_says_what_to_do() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    let sent = message(mailbox.agent(), Normal, "a");
    door.answer(Commit::Uncertain("a sync failed".to_owned()));
    let error = bus.send(sent.clone()).await.unwrap_err();
    assert!(matches!(error, SendError::Uncertain { .. }) && !error.is_transient());
    assert_eq!(error.into_message(), sent);
    door.answer(Commit::NotDurable { reason: "no space".to_owned(), transient: true });
    assert!(bus.send(sent).await.unwrap_err().is_transient());
    assert_eq!(mailbox.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_sends_with_a_commit_of_its_own() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    let own = Box::pin(std::future::ready(Commit::Committed));
    assert!(bus.send_with(message(mailbox.agent(), Normal, "a"), own).await.is_ok());
    assert_eq!(take_all(&mailbox), ["a"]);
    assert_eq!((door.checks.load(Ordering::Relaxed), door.commits.load(Ordering::Relaxed)), (1, 0));
}

/// It was accepted, so it must end somewhere, and the send did what it promised.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_closes_while_a_send_commits_makes_a_dead_letter_of_it() {
    let (bus, mailbox) = bus_with_lanes_of(1);
    let door = Arc::new(Door::default());
    assert!(bus.set_admission(door.clone()).is_ok());
    let sent = message(mailbox.agent(), Normal, "a");
    let mut send = pin!(bus.send(sent.clone()));
    assert!(poll_once(send.as_mut()).is_pending());
    assert!(bus.remove_mailbox(mailbox.agent()).is_empty());
    door.answer(Commit::Committed);
    assert!(matches!(poll_once(send), Poll::Ready(Ok(_))));
    assert_eq!((mailbox.len(), bus.total_sent()), (0, 0));
    let letter = bus.dead_letters().get(sent.id()).unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Retired);
    assert_eq!(*door.letters.lock().unwrap(), [sent.id()]);
}
