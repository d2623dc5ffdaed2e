//! A mailbox or channel alone, and a task for each agent that waits for it: what one builds who
//! takes no framework.

use std::future::Future;

use orch_core::AgentMessage;
use tokio::runtime::Runtime;

use crate::clock::stop_for_mint;
use crate::role::{Address, Count, Role};
use crate::system::{NAP, Sleeps, System};

/// An unbounded queue of messages.
pub(crate) trait Channel: Send + Sync + 'static {
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;

    fn open() -> (Self::Sender, Self::Receiver);

    fn send(sender: &Self::Sender, message: AgentMessage);

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage>;
}

/// A channel that a task can wait for.
pub(crate) trait AsyncChannel: Channel {
    /// `None` when all senders are gone.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<AgentMessage>> + Send;
}

/// A tokio task for each agent.
pub(crate) struct Tasks<C> {
    runtime: Runtime,
    channel: std::marker::PhantomData<C>,
}

/// The sending end of a channel.
pub(crate) struct To<C: Channel>(C::Sender);

impl<C: Channel> To<C> {
    #[cfg(feature = "peers")]
    pub(crate) fn new(sender: C::Sender) -> Self {
        Self(sender)
    }
}

impl<C: Channel> Clone for To<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Channel> Address for To<C> {
    fn send(&self, message: AgentMessage) {
        C::send(&self.0, message);
    }
}

impl<C: AsyncChannel> System for Tasks<C> {
    type Address = To<C>;

    fn new() -> Self {
        Self { runtime: two_workers(), channel: std::marker::PhantomData }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    async fn spawn(&self, mut role: Role<To<C>>) -> To<C> {
        let (sender, mut receiver) = C::open();
        // Detached: the process ends before its agents do.
        drop(self.runtime.spawn(async move {
            while let Some(message) = C::recv(&mut receiver).await {
                role.handle(&message);
            }
        }));
        To(sender)
    }
}

impl<C: AsyncChannel> Sleeps for Tasks<C> {
    type Sleeper = To<C>;

    async fn spawn_sleeper(&self, mut count: Count) -> To<C> {
        let (sender, mut receiver) = C::open();
        drop(self.runtime.spawn(async move {
            while let Some(message) = C::recv(&mut receiver).await {
                tokio::time::sleep(NAP).await;
                count.one(&message);
            }
        }));
        To(sender)
    }
}

/// The runtime that every contender gets which runs on more than one thread.
pub(crate) fn two_workers() -> Runtime {
    stop_for_mint();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .on_thread_start(stop_for_mint)
        .build()
        .expect("a runtime can be started")
}
