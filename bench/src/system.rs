//! What a contender has to offer: somewhere to run agents.

use std::future::Future;

use crate::role::{Address, Count, Role};

/// Runs agents, set up as its users would for two cores.
pub(crate) trait System: 'static {
    type Address: Address;

    fn new() -> Self;

    /// Runs a future in which agents may be spawned, on this thread.
    fn block_on<F: Future>(&self, future: F) -> F::Output;

    async fn spawn(&self, role: Role<Self::Address>) -> Self::Address;

    /// Called when the first agents are spawned, before the first message is sent.
    fn begin(&self) {}
}

/// A system whose handlers can await.
pub(crate) trait Sleeps: System {
    type Sleeper: Address;

    /// Spawns an agent that sleeps [`NAP`] for each message, and then counts it.
    async fn spawn_sleeper(&self, count: Count) -> Self::Sleeper;
}

/// How long a handler sleeps.
pub(crate) const NAP: std::time::Duration = std::time::Duration::from_millis(1);
