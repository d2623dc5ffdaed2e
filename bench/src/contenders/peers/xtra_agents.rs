//! xtra, without and with its priorities.

use std::future::Future;
use std::pin::pin;
use std::task::{self, Poll, Waker};

use orch_core::AgentMessage;
use tokio::runtime::Runtime;
use xtra::{Actor, Context, Handler, Mailbox, spawn_tokio};

use crate::channel::two_workers;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

pub(super) struct Worker<A>(Role<A>);

impl<A: Address> Actor for Worker<A> {
    type Stop = ();

    async fn stopped(self) {}
}

impl<A: Address> Handler<AgentMessage> for Worker<A> {
    type Return = ();

    async fn handle(&mut self, message: AgentMessage, _: &mut Context<Self>) {
        self.0.handle(&message);
    }
}

pub(super) struct Sleeper(Count);

impl Actor for Sleeper {
    type Stop = ();

    async fn stopped(self) {}
}

impl Handler<AgentMessage> for Sleeper {
    type Return = ();

    async fn handle(&mut self, message: AgentMessage, _: &mut Context<Self>) {
        tokio::time::sleep(NAP).await;
        self.0.one(&message);
    }
}

/// All messages have xtra's default priority.
pub(super) struct Plain(xtra::Address<Worker<Self>>);

impl Clone for Plain {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Address for Plain {
    fn send(&self, message: AgentMessage) {
        now(self.0.send(message).detach());
    }
}

impl Address for xtra::Address<Sleeper> {
    fn send(&self, message: AgentMessage) {
        now(Self::send(self, message).detach());
    }
}

/// Messages have the priority that they say.
pub(super) struct Urgent(xtra::Address<Worker<Self>>);

impl Clone for Urgent {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Address for Urgent {
    fn send(&self, message: AgentMessage) {
        let priority = message.priority() as u32;
        now(self.0.send(message).priority(priority).detach());
    }
}

/// Sending to an unbounded mailbox is done when it is polled first.
fn now<T, E: std::fmt::Debug>(sending: impl Future<Output = Result<T, E>>) {
    match pin!(sending).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(sent) => drop(sent.expect("an agent runs until its process ends")),
        Poll::Pending => panic!("an unbounded mailbox is never full"),
    }
}

pub(super) struct Xtra(Runtime);

impl System for Xtra {
    type Address = Plain;

    fn new() -> Self {
        Self(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, role: Role<Plain>) -> Plain {
        Plain(spawn_tokio(Worker(role), Mailbox::unbounded()))
    }
}

impl Sleeps for Xtra {
    type Sleeper = xtra::Address<Sleeper>;

    async fn spawn_sleeper(&self, count: Count) -> Self::Sleeper {
        spawn_tokio(Sleeper(count), Mailbox::unbounded())
    }
}

pub(super) struct WithPriorities(Runtime);

impl System for WithPriorities {
    type Address = Urgent;

    fn new() -> Self {
        Self(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, role: Role<Urgent>) -> Urgent {
        Urgent(spawn_tokio(Worker(role), Mailbox::unbounded()))
    }
}
