//! Slots and sleepers, step by step, without workers.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use orch_bus::{Look, MessageBus};
use orch_core::{AgentId, AgentMessage};

use super::*;

/// Everybody may take a message, and stands where it came.
struct Anybody;

impl Order for Anybody {
    fn place(&self, mailbox: &Arc<Mailbox>, waiting: &mut Waiting<'_>) {
        waiting.place(mailbox, None, MessagePriority::Normal);
    }

    fn unplace(&self, _: &Arc<Mailbox>) {}
}

/// A pool with two slots, the seats of its two workers, which have both slots, and three mailboxes.
fn crowded() -> (Arc<Pool>, [Seat; 2], [Arc<Mailbox>; 3]) {
    let bus = MessageBus::new();
    let pool = Arc::new(Pool::new(bus.attach().expect("nobody else has"), 2, 2));
    let mut seats = [0, 1].map(Seat::new);
    assert!(seats.iter_mut().all(|seat| pool.next(seat, &Anybody).is_none()));
    let mailboxes = [(); 3].map(|()| bus.open_mailbox(AgentId::new()));
    assert!(pool.is_scarce());
    (pool, seats, mailboxes)
}

fn send(mailbox: &Arc<Mailbox>) {
    let message = AgentMessage::new(AgentId::OUTSIDE, mailbox.agent(), "x");
    mailbox.try_send(message).expect("there is room");
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Seen: one worker was woken when the first of two slots came back, and found a second agent that
/// waited for the second slot. It woke nobody, so that one waited for this worker.
#[test]
fn a_worker_that_leaves_others_waiting_wakes_another() {
    let (pool, [mut first, second], mailboxes) = crowded();
    mailboxes.iter().for_each(send);
    assert!(pool.next(&mut first, &Anybody).is_some(), "the other two wait");
    let slots = [first.slot, second.slot];
    let look = || pool.has_work().then_some(());
    let mut sleepers = [(); 2].map(|()| Box::pin(pool.attachment.look_or_wait(look)));
    assert!(sleepers.iter_mut().all(|sleeper| poll(sleeper.as_mut()).is_pending()));
    drop(slots);
    let woken = sleepers.iter_mut().filter_map(|sleeper| match poll(sleeper.as_mut()) {
        Poll::Ready(look) => Some(look),
        Poll::Pending => None,
    });
    assert_eq!(woken.collect::<Vec<_>>(), [Look::Woken], "it searches for all");
    let mut searcher = Seat { is_searching: true, ..Seat::new(1) };
    assert!(pool.next(&mut searcher, &Anybody).is_some());
    assert!(pool.has_work() && pool.attachment.n_asleep() == 0, "the other was woken");
}

/// Seen: a sender that had found desks in use put a mailbox on one just after slots had become
/// scarce. Its worker slept without a slot, and nobody looks at the desk of another when slots are
/// free again: a run in which nothing was left to do but that had ended.
#[test]
fn what_lies_on_the_desk_of_a_worker_without_a_slot_is_found_by_another() {
    let (pool, [mut first, mut second], [mailbox, ..]) = crowded();
    // As the sender saw it.
    pool.attachment.use_desks(true);
    pool.attachment.at_desk(&pool.desk(&first).clone(), || send(&mailbox));
    pool.attachment.use_desks(false);
    let slots = [first.slot.take(), second.slot.take()];
    assert!(pool.next(&mut first, &Anybody).is_none(), "there is no slot");
    drop(slots);
    assert!(pool.has_work());
    assert!(pool.next(&mut second, &Anybody).is_some());
}
