//! One mailbox beside four plain queues: whatever is done to both, they answer alike.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use orch_bus::{Delivery, Mailbox, MessageBus, SendError};
use orch_core::{AgentMessage, MessagePriority};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{bus_with_lanes_of, message, poll_once, runtime};

/// Small, so that lanes are full and empty all the time.
const CAPACITY: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Dropped if it has to wait.
    Send(MessagePriority),
    TrySend(MessagePriority),
    TryRecv,
    /// Dropped if it has to wait.
    Recv,
    /// Only a message of at least this priority.
    Checkout(MessagePriority),
    /// Of the deliveries that are checked out, this one (modulo their number).
    Settle(usize),
    PutBack(usize),
    Close,
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = || select(MessagePriority::MOST_URGENT_FIRST.to_vec());
    let step = prop_oneof![
        4 => priority().prop_map(Step::Send),
        8 => priority().prop_map(Step::TrySend),
        2 => Just(Step::TryRecv),
        2 => Just(Step::Recv),
        6 => priority().prop_map(Step::Checkout),
        3 => any::<usize>().prop_map(Step::Settle),
        4 => any::<usize>().prop_map(Step::PutBack),
    ];
    // Most runs never close, some do at the end, and some go on after it.
    let close = prop_oneof![Just(None), Just(Some(Step::Close)), Just(Some(Step::Drain))];
    (vec(step.clone(), 0..120), close, vec(step, 0..20))
        .prop_map(|(before, close, after)| before.into_iter().chain(close).chain(after).collect())
}

/// A lane in plain words.
#[derive(Default)]
struct Lane {
    /// The numbers of the messages that wait. A message that comes back goes to where it was, and
    /// messages leave from the front: so they are always in the order of sending.
    waiting: VecDeque<usize>,
    n_held: usize,
}

impl Lane {
    fn is_full(&self) -> bool {
        self.waiting.len() + self.n_held == CAPACITY
    }

    fn put_back(&mut self, number: usize) {
        let place = self.waiting.iter().take_while(|other| **other < number).count();
        self.waiting.insert(place, number);
    }
}

#[derive(Default)]
struct Model {
    lanes: [Lane; 4],
    n_sent: usize,
    n_received: usize,
    dead: Vec<usize>,
    closed: bool,
}

impl Model {
    fn most_urgent(&self) -> Option<MessagePriority> {
        let mut urgent = MessagePriority::MOST_URGENT_FIRST.into_iter();
        urgent.find(|it| !self.lanes[it.lane()].waiting.is_empty())
    }

    /// Takes the number of the message that is received next.
    fn pop(&mut self, least: MessagePriority) -> Option<(usize, MessagePriority)> {
        let priority = self.most_urgent().filter(|priority| *priority >= least)?;
        let number = self.lanes[priority.lane()].waiting.pop_front()?;
        Some((number, priority))
    }

    fn receive(&mut self) -> Option<usize> {
        let (number, _) = self.pop(MessagePriority::Low)?;
        self.n_received += 1;
        Some(number)
    }
}

struct Pair {
    bus: Arc<MessageBus>,
    mailbox: Arc<Mailbox>,
    model: Model,
    held: Vec<(Delivery, usize)>,
}

impl Pair {
    fn new() -> Self {
        let (bus, mailbox) = bus_with_lanes_of(CAPACITY as u32);
        Self { bus, mailbox, model: Model::default(), held: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Send(priority) => {
                let sent = {
                    let message = self.next_message(priority);
                    let mut send = pin!(self.mailbox.send(message));
                    match poll_once(send.as_mut()) {
                        Poll::Ready(sent) => Some(sent),
                        Poll::Pending => None,
                    }
                };
                let must_wait = !self.model.closed && self.model.lanes[priority.lane()].is_full();
                match sent {
                    Some(sent) => self.compare_sent(priority, sent.map(|_| ())),
                    None => assert!(must_wait, "there is room"),
                }
            }
            Step::TrySend(priority) => {
                let sent = self.mailbox.try_send(self.next_message(priority)).map(|_| ());
                self.compare_sent(priority, sent);
            }
            Step::TryRecv => {
                let received = self.mailbox.try_recv();
                assert_eq!(received.as_ref().map(number), self.model.receive());
            }
            Step::Recv => {
                let mailbox = self.mailbox.clone();
                let mut recv = pin!(mailbox.recv());
                let received = poll_once(recv.as_mut());
                let expected = match self.model.receive() {
                    None if !self.model.closed => Poll::Pending,
                    answer => Poll::Ready(answer),
                };
                assert_eq!(received.map(|it| it.as_ref().map(number)), expected);
            }
            Step::Checkout(least) => {
                let delivery = self.mailbox.try_checkout_from(least);
                let expected = self.model.pop(least);
                assert_eq!(delivery.as_deref().map(number), expected.map(|(number, _)| number));
                if let (Some(delivery), Some((number, priority))) = (delivery, expected) {
                    assert_eq!(delivery.priority(), priority);
                    self.model.lanes[priority.lane()].n_held += 1;
                    self.held.push((delivery, number));
                }
            }
            Step::Settle(i) => {
                let Some((delivery, expected)) = self.take_held(i) else { return };
                assert_eq!(number(&delivery.settle()), expected);
                self.model.n_received += 1;
            }
            Step::PutBack(i) => {
                let Some((delivery, number)) = self.take_held(i) else { return };
                let lane = delivery.priority().lane();
                delivery.put_back();
                if self.model.closed {
                    self.model.n_received += 1;
                    self.model.dead.push(number);
                } else {
                    self.model.lanes[lane].put_back(number);
                }
            }
            Step::Close => {
                self.mailbox.close();
                self.model.closed = true;
            }
            Step::Drain => {
                let left: Vec<usize> = self.mailbox.close_and_drain().iter().map(number).collect();
                self.model.closed = true;
                let expected: Vec<usize> = std::iter::from_fn(|| self.model.receive()).collect();
                assert_eq!(left, expected);
            }
        }
    }

    fn next_message(&self, priority: MessagePriority) -> AgentMessage {
        message(self.mailbox.agent(), priority, &self.model.n_sent.to_string())
    }

    fn compare_sent(&mut self, priority: MessagePriority, sent: Result<(), SendError>) {
        let lane = &mut self.model.lanes[priority.lane()];
        match sent {
            Ok(()) => {
                assert!(!self.model.closed && !lane.is_full());
                lane.waiting.push_back(self.model.n_sent);
                self.model.n_sent += 1;
            }
            // Which of the two is said about a full lane of a closed mailbox does not matter.
            Err(SendError::Closed(_)) => assert!(self.model.closed),
            Err(SendError::Full { limit, .. }) => {
                assert!(lane.is_full());
                assert_eq!(limit as usize, CAPACITY);
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn take_held(&mut self, i: usize) -> Option<(Delivery, usize)> {
        let i = i.checked_rem(self.held.len())?;
        let (delivery, number) = self.held.remove(i);
        self.model.lanes[delivery.priority().lane()].n_held -= 1;
        Some((delivery, number))
    }

    fn compare(&self) {
        let Self { bus, mailbox, model, .. } = self;
        for priority in MessagePriority::MOST_URGENT_FIRST {
            assert_eq!(mailbox.len_of(priority), model.lanes[priority.lane()].waiting.len());
        }
        assert_eq!(mailbox.most_urgent(), model.most_urgent());
        assert_eq!(mailbox.is_closed(), model.closed);
        assert_eq!(bus.total_sent(), model.n_sent as u64);
        assert_eq!(bus.total_received(), model.n_received as u64);
        let dead: Vec<usize> =
            bus.dead_letters().list().iter().map(|letter| number(&letter.message)).collect();
        assert_eq!(dead, model.dead);
    }
}

fn number(message: &AgentMessage) -> usize {
    message.content().parse().expect("the model numbers its messages")
}

proptest! {
    #[test]
    fn a_mailbox_answers_as_four_queues_do(steps in steps()) {
        let runtime = runtime();
        let _inside = runtime.enter(); // A send that waits wants a clock.
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step);
            pair.compare();
        }
    }
}
