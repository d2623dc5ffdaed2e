//! ractor.

use std::future::Future;
use std::marker::PhantomData;

use orch_core::AgentMessage;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::runtime::Runtime;

use crate::channel::two_workers;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

/// The same for all agents; what one of them knows is its state.
struct Agent<S>(PhantomData<fn() -> S>);

impl Actor for Agent<Role<ActorRef<AgentMessage>>> {
    type Msg = AgentMessage;
    type State = Role<ActorRef<AgentMessage>>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<AgentMessage>,
        role: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(role)
    }

    async fn handle(
        &self,
        _: ActorRef<AgentMessage>,
        message: AgentMessage,
        role: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        role.handle(&message);
        Ok(())
    }
}

impl Actor for Agent<Count> {
    type Msg = AgentMessage;
    type State = Count;
    type Arguments = Count;

    async fn pre_start(
        &self,
        _: ActorRef<AgentMessage>,
        count: Count,
    ) -> Result<Count, ActorProcessingErr> {
        Ok(count)
    }

    async fn handle(
        &self,
        _: ActorRef<AgentMessage>,
        message: AgentMessage,
        count: &mut Count,
    ) -> Result<(), ActorProcessingErr> {
        tokio::time::sleep(NAP).await;
        count.one(&message);
        Ok(())
    }
}

impl Address for ActorRef<AgentMessage> {
    fn send(&self, message: AgentMessage) {
        self.send_message(message).expect("an agent runs until its process ends");
    }
}

pub(super) struct Ractor(Runtime);

impl System for Ractor {
    type Address = ActorRef<AgentMessage>;

    fn new() -> Self {
        Self(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, role: Role<Self::Address>) -> Self::Address {
        let spawned = Actor::spawn(None, Agent::<Role<_>>(PhantomData), role).await;
        spawned.expect("this agent can start").0
    }
}

impl Sleeps for Ractor {
    type Sleeper = ActorRef<AgentMessage>;

    async fn spawn_sleeper(&self, count: Count) -> Self::Sleeper {
        let spawned = Actor::spawn(None, Agent::<Count>(PhantomData), count).await;
        spawned.expect("this agent can start").0
    }
}
