//! A backlog of Low messages, and a Critical one behind it: one thread, a mailbox, no runtime.

use orch_core::MessagePriority::{Critical, Low};
use orch_core::{AgentId, AgentMessage, MessagePriority};

use crate::channel::Channel;
use crate::clock::instant;
use crate::role::content;
use crate::scenario::Sample;

const BACKLOG: usize = 1_000_000;
/// Critical messages after the first.
const LATER: usize = 101;

/// Each receive is timed alone, so the figures include reading the clock (about 25 ns).
pub(crate) fn critical<C: Channel>() -> Sample {
    behind::<C>(BACKLOG / 1_000);
    behind::<C>(BACKLOG)
}

fn behind<C: Channel>(backlog: usize) -> Sample {
    let (sender, mut receiver) = C::open();
    let send = |priority| C::send(&sender, message(priority));
    for _ in 0..backlog {
        send(Low);
    }
    send(Critical);
    let first = timed_receive::<C>(&mut receiver, Critical);
    let mut later = [0.0; LATER];
    for took in &mut later {
        send(Critical);
        *took = timed_receive::<C>(&mut receiver, Critical);
    }
    later.sort_by(f64::total_cmp);
    // A mailbox that puts its Low messages in order only now shows it here.
    let low = timed_receive::<C>(&mut receiver, Low);
    let started = instant();
    for _ in 1..backlog {
        assert!(C::try_recv(&mut receiver).is_some(), "a message is lost");
    }
    let drain = started.elapsed().as_nanos() as f64 / (backlog - 1) as f64;
    assert!(C::try_recv(&mut receiver).is_none(), "more was received than sent");
    Sample::default()
        .with("first", first)
        .with("later", later[LATER / 2])
        .with("low", low)
        .with("drain", drain)
}

fn message(priority: MessagePriority) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, content()).with_priority(priority)
}

fn timed_receive<C: Channel>(receiver: &mut C::Receiver, expected: MessagePriority) -> f64 {
    let started = instant();
    let received = C::try_recv(receiver);
    let took = started.elapsed().as_nanos() as f64;
    assert_eq!(received.map(|it| it.priority()), Some(expected), "priorities are strict");
    took
}
