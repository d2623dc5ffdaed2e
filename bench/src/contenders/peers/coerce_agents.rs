//! coerce, with agents that its registry does not know, which is the cheaper kind.

use std::future::Future;
use std::pin::Pin;

use coerce::actor::context::ActorContext;
use coerce::actor::message::{Handler, Message};
use coerce::actor::scheduler::ActorType;
use coerce::actor::system::ActorSystem;
use coerce::actor::{Actor, LocalActorRef, new_actor_id};
use orch_core::AgentMessage;
use tokio::runtime::Runtime;

use crate::channel::two_workers;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

/// coerce wants a trait of its own on messages.
pub(super) struct Wrapped(AgentMessage);

impl Message for Wrapped {
    type Result = ();
}

pub(super) struct Worker(Role<LocalActorRef<Self>>);

impl Actor for Worker {}

/// What `#[async_trait]` makes of `async fn handle`.
type Handling<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Handler<Wrapped> for Worker {
    fn handle<'this: 'handling, 'cx: 'handling, 'handling>(
        &'this mut self,
        message: Wrapped,
        _: &'cx mut ActorContext,
    ) -> Handling<'handling> {
        Box::pin(async move { self.0.handle(&message.0) })
    }
}

pub(super) struct Sleeper(Count);

impl Actor for Sleeper {}

impl Handler<Wrapped> for Sleeper {
    fn handle<'this: 'handling, 'cx: 'handling, 'handling>(
        &'this mut self,
        message: Wrapped,
        _: &'cx mut ActorContext,
    ) -> Handling<'handling> {
        Box::pin(async move {
            tokio::time::sleep(NAP).await;
            self.0.one(&message.0);
        })
    }
}

impl<A: Handler<Wrapped>> Address for LocalActorRef<A> {
    fn send(&self, message: AgentMessage) {
        self.notify(Wrapped(message)).expect("an agent runs until its process ends");
    }
}

pub(super) struct Coerce {
    runtime: Runtime,
    system: ActorSystem,
}

impl Coerce {
    /// Does not wait until the agent runs: messages wait for it.
    async fn start<A: Actor>(&self, agent: A) -> LocalActorRef<A> {
        self.system.new_actor_deferred(new_actor_id(), agent, ActorType::Anonymous).await
    }
}

impl System for Coerce {
    type Address = LocalActorRef<Worker>;

    fn new() -> Self {
        let runtime = two_workers();
        let system = {
            let _entered = runtime.enter();
            ActorSystem::new()
        };
        Self { runtime, system }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    async fn spawn(&self, role: Role<Self::Address>) -> Self::Address {
        self.start(Worker(role)).await
    }
}

impl Sleeps for Coerce {
    type Sleeper = LocalActorRef<Sleeper>;

    async fn spawn_sleeper(&self, count: Count) -> Self::Sleeper {
        self.start(Sleeper(count)).await
    }
}
