//! The promise of order while threads send and receive, and mailboxes that break it on purpose.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use orch_bus::{Delivery, Mailbox};
use orch_core::MessagePriority::{self, Critical, High, Low, Normal};

use crate::history::{History, Span, Violation};
use crate::support::{block_on, bus_with_lanes_of, message};

/// What can be sent to and received from while others do the same.
trait Queue: Sync {
    fn send(&self, number: u64, priority: MessagePriority);
    /// May wait, but only while nothing is there.
    fn receive(&self) -> Option<u64>;
    fn close(&self);
}

struct Plan {
    senders: u64,
    receivers: u64,
    sends_each: u64,
    /// Receivers begin when so many were sent, so that there is something to choose from.
    head_start: u64,
}

/// Lets threads at a queue and records what they do.
fn record(queue: &dyn Queue, plan: &Plan) -> History {
    let clock = &AtomicU64::new(0);
    let n_sent = &AtomicU64::new(0);
    let history = thread::scope(|scope| {
        let send = |sender: u64| {
            move || {
                let mut sent = Vec::new();
                for n in 0..plan.sends_each {
                    let (number, priority) = (sender * plan.sends_each + n, priority_of(sender, n));
                    let ((), span) = timed(clock, || queue.send(number, priority));
                    sent.push((number, priority, span));
                    n_sent.fetch_add(1, Ordering::Relaxed);
                }
                sent
            }
        };
        let receive = || {
            while n_sent.load(Ordering::Relaxed) < plan.head_start {
                thread::yield_now();
            }
            let mut received = Vec::new();
            while let (Some(number), span) = timed(clock, || queue.receive()) {
                received.push((number, span));
            }
            received
        };
        let receivers: Vec<_> = (0..plan.receivers).map(|_| scope.spawn(receive)).collect();
        let senders: Vec<_> = (0..plan.senders).map(|it| scope.spawn(send(it))).collect();
        let mut history = History::default();
        for sender in senders {
            history.sent.extend(sender.join().expect("a sender does not panic"));
        }
        queue.close();
        for receiver in receivers {
            history.received.extend(receiver.join().expect("a receiver does not panic"));
        }
        history
    });
    assert!(history.sent.len() as u64 == plan.senders * plan.sends_each);
    history
}

fn timed<T>(clock: &AtomicU64, f: impl FnOnce() -> T) -> (T, Span) {
    let start = clock.fetch_add(1, Ordering::SeqCst);
    let answer = f();
    (answer, Span { start, end: clock.fetch_add(1, Ordering::SeqCst) })
}

/// Each sender has a mixture of its own: the first nearly always Low, the next one Normal, …
fn priority_of(sender: u64, n: u64) -> MessagePriority {
    let all = [Low, Normal, High, Critical];
    all[(if n.is_multiple_of(5) { n / 5 } else { sender } % 4) as usize]
}

/// How the receivers of a real mailbox receive.
#[derive(Clone, Copy)]
enum Receive {
    Recv,
    CheckOut,
}

struct Real {
    mailbox: Arc<Mailbox>,
    how: Receive,
}

impl Queue for Real {
    fn send(&self, number: u64, priority: MessagePriority) {
        let message = message(self.mailbox.agent(), priority, &number.to_string());
        // Without a runtime as long as there is room.
        if let Err(full) = self.mailbox.try_send(message) {
            block_on(self.mailbox.send(full.into_message())).expect("receivers make room");
        }
    }

    fn receive(&self) -> Option<u64> {
        let message = match self.how {
            Receive::Recv => block_on(self.mailbox.recv()),
            Receive::CheckOut => loop {
                // In this order: what is not there after the closing will not come any more.
                let is_closed = self.mailbox.is_closed();
                let message = self.mailbox.try_checkout().map(Delivery::settle);
                if message.is_some() || is_closed {
                    break message;
                }
                thread::yield_now();
            },
        };
        message.map(|it| it.content().parse().expect("the messages are numbered"))
    }

    fn close(&self) {
        self.mailbox.close();
    }
}

fn check_real(lane_capacity: u32, how: Receive, plan: &Plan) {
    let (bus, mailbox) = bus_with_lanes_of(lane_capacity);
    let history = record(&Real { mailbox, how }, plan);
    assert_eq!(history.check(), Ok(()));
    assert_eq!(bus.total_received(), plan.senders * plan.sends_each);
}

#[test]
fn one_receiver_keeps_the_promise() {
    let plan = Plan { senders: 4, receivers: 1, sends_each: 15_000, head_start: 500 };
    check_real(u32::MAX, Receive::CheckOut, &plan);
}

#[test]
fn two_receivers_keep_the_promise() {
    let plan = Plan { senders: 4, receivers: 2, sends_each: 15_000, head_start: 500 };
    check_real(u32::MAX, Receive::CheckOut, &plan);
}

#[test]
fn receivers_that_wait_keep_the_promise() {
    let plan = Plan { senders: 2, receivers: 2, sends_each: 10_000, head_start: 500 };
    check_real(u32::MAX, Receive::Recv, &plan);
}

#[test]
fn senders_that_wait_for_room_keep_the_promise() {
    let plan = Plan { senders: 4, receivers: 2, sends_each: 3_000, head_start: 4 };
    check_real(4, Receive::CheckOut, &plan);
}

/// A mailbox behind a lock, with a fault.
struct Broken {
    lanes: Mutex<State>,
    fault: Fault,
}

#[derive(Default)]
struct State {
    lanes: [VecDeque<u64>; 4],
    n_received: u64,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The High lane gives its newest message first.
    ReversesALane,
    /// Every hundredth receive looks at Low first.
    LooksAtLowFirst,
    /// The thousandth message vanishes.
    LosesOne,
    /// The thousandth message is received again.
    GivesOneTwice,
}

impl Queue for Broken {
    fn send(&self, number: u64, priority: MessagePriority) {
        self.lanes.lock().expect("nobody panics").lanes[priority.lane()].push_back(number);
    }

    fn receive(&self) -> Option<u64> {
        loop {
            let mut state = self.lanes.lock().expect("nobody panics");
            if let Some(number) = state.pop(self.fault) {
                return Some(number);
            }
            if state.closed {
                return None;
            }
            drop(state);
            thread::yield_now();
        }
    }

    fn close(&self) {
        self.lanes.lock().expect("nobody panics").closed = true;
    }
}

impl State {
    fn pop(&mut self, fault: Fault) -> Option<u64> {
        let low_first = fault == Fault::LooksAtLowFirst && self.n_received % 100 == 99;
        let urgent = if low_first {
            [Low, Critical, High, Normal]
        } else {
            MessagePriority::MOST_URGENT_FIRST
        };
        let priority = urgent.into_iter().find(|it| !self.lanes[it.lane()].is_empty())?;
        let lane = &mut self.lanes[priority.lane()];
        let reversed = fault == Fault::ReversesALane && priority == High;
        let number = if reversed { lane.pop_back()? } else { lane.pop_front()? };
        self.n_received += 1;
        if self.n_received == 1_000 {
            match fault {
                Fault::LosesOne => return self.pop(fault),
                Fault::GivesOneTwice => self.lanes[priority.lane()].push_front(number),
                _ => {}
            }
        }
        Some(number)
    }
}

fn check_broken(fault: Fault) -> Result<(), Violation> {
    // With a fault, only after all that was sent, so that it certainly shows.
    let head_start = if fault == Fault::None { 200 } else { 6_000 };
    let plan = Plan { senders: 3, receivers: 2, sends_each: 2_000, head_start };
    let broken = Broken { lanes: Mutex::default(), fault };
    record(&broken, &plan).check()
}

#[test]
fn the_check_finds_planted_faults_and_nothing_else() {
    assert_eq!(check_broken(Fault::None), Ok(()));
    assert!(matches!(check_broken(Fault::ReversesALane), Err(Violation::OvertookInItsLane(_))));
    assert!(matches!(check_broken(Fault::LooksAtLowFirst), Err(Violation::LessUrgentFirst(_))));
    assert!(matches!(check_broken(Fault::LosesOne), Err(Violation::Lost(_))));
    assert!(matches!(check_broken(Fault::GivesOneTwice), Err(Violation::Invented(_))));
}
