//! actix: agents live on the thread of their arbiter.

use std::cell::Cell;
use std::future::Future;

use actix::fut::wrap_future;
use actix::prelude::{
    Actor, ActorFutureExt, Addr, Arbiter, AtomicResponse, Context, Handler, Message,
    System as Actix, SystemRunner,
};
use orch_core::AgentMessage;

use crate::clock::stop_for_mint;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

/// actix wants a trait of its own on messages.
pub(super) struct Wrapped(AgentMessage);

impl Message for Wrapped {
    type Result = ();
}

pub(super) struct Worker(Role<Addr<Self>>);

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Wrapped> for Worker {
    type Result = ();

    fn handle(&mut self, message: Wrapped, _: &mut Context<Self>) {
        self.0.handle(&message.0);
    }
}

/// `do_send` ignores the capacity of a mailbox.
impl<A: Actor<Context = Context<A>> + Handler<Wrapped>> Address for Addr<A> {
    fn send(&self, message: AgentMessage) {
        self.do_send(Wrapped(message));
    }
}

pub(super) struct Sleeper(Count);

impl Actor for Sleeper {
    type Context = Context<Self>;
}

impl Handler<Wrapped> for Sleeper {
    type Result = AtomicResponse<Self, ()>;

    /// Atomic: the next message waits, as it does in every other contender.
    fn handle(&mut self, message: Wrapped, _: &mut Context<Self>) -> Self::Result {
        let nap = wrap_future::<_, Self>(tokio::time::sleep(NAP));
        AtomicResponse::new(Box::pin(nap.map(move |(), sleeper, _| sleeper.0.one(&message.0))))
    }
}

pub(super) struct OneThread(SystemRunner);

impl System for OneThread {
    type Address = Addr<Worker>;

    fn new() -> Self {
        // All agents are on this thread.
        stop_for_mint();
        Self(Actix::new())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    async fn spawn(&self, role: Role<Addr<Worker>>) -> Addr<Worker> {
        Worker(role).start()
    }
}

impl Sleeps for OneThread {
    type Sleeper = Addr<Sleeper>;

    async fn spawn_sleeper(&self, count: Count) -> Addr<Sleeper> {
        Sleeper(count).start()
    }
}

pub(super) struct TwoArbiters {
    system: SystemRunner,
    arbiters: [Arbiter; 2],
    next: Cell<usize>,
}

impl TwoArbiters {
    fn next(&self) -> &Arbiter {
        self.next.set(self.next.get() + 1);
        &self.arbiters[self.next.get() % 2]
    }
}

impl System for TwoArbiters {
    type Address = Addr<Worker>;

    fn new() -> Self {
        stop_for_mint();
        let system = Actix::new();
        let arbiters = [Arbiter::new(), Arbiter::new()];
        for arbiter in &arbiters {
            assert!(arbiter.spawn_fn(stop_for_mint), "an arbiter lives as long as its system");
        }
        Self { system, arbiters, next: Cell::new(0) }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.system.block_on(future)
    }

    async fn spawn(&self, role: Role<Addr<Worker>>) -> Addr<Worker> {
        Worker::start_in_arbiter(&self.next().handle(), |_| Worker(role))
    }
}

impl Sleeps for TwoArbiters {
    type Sleeper = Addr<Sleeper>;

    async fn spawn_sleeper(&self, count: Count) -> Addr<Sleeper> {
        Sleeper::start_in_arbiter(&self.next().handle(), |_| Sleeper(count))
    }
}
