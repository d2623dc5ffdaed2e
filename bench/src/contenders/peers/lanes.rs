//! Four channels, one for each priority: what one builds who has channels without priorities. And
//! crossbeam's, whose receiver blocks a thread.

use std::future::{Future, poll_fn};
use std::task::Poll;

use crossbeam_channel::{Receiver, Select, Sender};
use orch_core::{AgentMessage, MessagePriority};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::channel::{AsyncChannel, Channel, To};
use crate::clock::stop_for_mint;
use crate::role::Role;
use crate::system::System;

const OPEN: &str = "the receiver outlives its senders";

/// One sending and one receiving end for each priority.
type Ends<S, R> = ([S; 4], [R; 4]);

fn four<S, R>(open: impl Fn() -> (S, R)) -> Ends<S, R> {
    let mut receivers = Vec::new();
    let senders = std::array::from_fn(|_| {
        let (sender, receiver) = open();
        receivers.push(receiver);
        sender
    });
    let receivers = receivers.try_into();
    (senders, receivers.unwrap_or_else(|_| unreachable!("four senders have four receivers")))
}

fn lanes_by_urgency() -> impl Iterator<Item = usize> {
    MessagePriority::MOST_URGENT_FIRST.into_iter().map(MessagePriority::lane)
}

pub(super) struct TokioLanes;

impl Channel for TokioLanes {
    type Sender = [mpsc::UnboundedSender<AgentMessage>; 4];
    type Receiver = [mpsc::UnboundedReceiver<AgentMessage>; 4];

    fn open() -> (Self::Sender, Self::Receiver) {
        four(mpsc::unbounded_channel)
    }

    fn send(lanes: &Self::Sender, message: AgentMessage) {
        lanes[message.priority().lane()].send(message).expect(OPEN);
    }

    fn try_recv(lanes: &mut Self::Receiver) -> Option<AgentMessage> {
        lanes_by_urgency().find_map(|lane| lanes[lane].try_recv().ok())
    }
}

impl AsyncChannel for TokioLanes {
    fn recv(lanes: &mut Self::Receiver) -> impl Future<Output = Option<AgentMessage>> + Send {
        poll_fn(|cx| {
            let mut are_closed = true;
            for lane in lanes_by_urgency() {
                match lanes[lane].poll_recv(cx) {
                    Poll::Ready(Some(message)) => return Poll::Ready(Some(message)),
                    Poll::Ready(None) => {}
                    Poll::Pending => are_closed = false,
                }
            }
            if are_closed { Poll::Ready(None) } else { Poll::Pending }
        })
    }
}

pub(super) struct CrossbeamLanes(Runtime);

impl Channel for CrossbeamLanes {
    type Sender = [Sender<AgentMessage>; 4];
    type Receiver = [Receiver<AgentMessage>; 4];

    fn open() -> (Self::Sender, Self::Receiver) {
        four(crossbeam_channel::unbounded)
    }

    fn send(lanes: &Self::Sender, message: AgentMessage) {
        lanes[message.priority().lane()].send(message).expect(OPEN);
    }

    fn try_recv(lanes: &mut Self::Receiver) -> Option<AgentMessage> {
        lanes_by_urgency().find_map(|lane| lanes[lane].try_recv().ok())
    }
}

impl System for CrossbeamLanes {
    type Address = To<Self>;

    fn new() -> Self {
        Self(waiting_runtime())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, mut role: Role<To<Self>>) -> To<Self> {
        let (senders, mut receivers) = Self::open();
        // Detached: the process ends before its agents do.
        drop(std::thread::spawn(move || {
            stop_for_mint();
            loop {
                while let Some(message) = Self::try_recv(&mut receivers) {
                    role.handle(&message);
                }
                let mut select = Select::new();
                for receiver in &receivers {
                    select.recv(receiver);
                }
                select.ready();
            }
        }));
        To::new(senders)
    }
}

pub(super) struct CrossbeamThread(Runtime);

impl Channel for CrossbeamThread {
    type Sender = Sender<AgentMessage>;
    type Receiver = Receiver<AgentMessage>;

    fn open() -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::unbounded()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok()
    }
}

impl System for CrossbeamThread {
    type Address = To<Self>;

    fn new() -> Self {
        Self(waiting_runtime())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, mut role: Role<To<Self>>) -> To<Self> {
        let (sender, receiver) = Self::open();
        drop(std::thread::spawn(move || {
            stop_for_mint();
            for message in receiver {
                role.handle(&message);
            }
        }));
        To::new(sender)
    }
}

/// Only for the thread that waits until all is done.
fn waiting_runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime can be started")
}
