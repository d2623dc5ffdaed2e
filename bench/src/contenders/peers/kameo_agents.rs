//! kameo, with unbounded mailboxes: its default of 64 messages would slow the producer down.

use std::convert::Infallible;
use std::future::Future;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox::unbounded;
use kameo::message::{Context, Message};
use orch_core::AgentMessage;
use tokio::runtime::Runtime;

use crate::channel::two_workers;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

pub(super) struct Worker(Role<ActorRef<Self>>);

impl Actor for Worker {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(worker: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(worker)
    }
}

impl Message<AgentMessage> for Worker {
    type Reply = ();

    async fn handle(&mut self, message: AgentMessage, _: &mut Context<Self, ()>) {
        self.0.handle(&message);
    }
}

pub(super) struct Sleeper(Count);

impl Actor for Sleeper {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(sleeper: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(sleeper)
    }
}

impl Message<AgentMessage> for Sleeper {
    type Reply = ();

    async fn handle(&mut self, message: AgentMessage, _: &mut Context<Self, ()>) {
        tokio::time::sleep(NAP).await;
        self.0.one(&message);
    }
}

impl<A: Message<AgentMessage>> Address for ActorRef<A> {
    fn send(&self, message: AgentMessage) {
        self.tell(message).try_send().expect("an unbounded mailbox takes every message");
    }
}

pub(super) struct Kameo(Runtime);

impl System for Kameo {
    type Address = ActorRef<Worker>;

    fn new() -> Self {
        Self(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, role: Role<Self::Address>) -> Self::Address {
        Worker::spawn_with_mailbox(Worker(role), unbounded())
    }
}

impl Sleeps for Kameo {
    type Sleeper = ActorRef<Sleeper>;

    async fn spawn_sleeper(&self, count: Count) -> Self::Sleeper {
        Sleeper::spawn_with_mailbox(Sleeper(count), unbounded())
    }
}
