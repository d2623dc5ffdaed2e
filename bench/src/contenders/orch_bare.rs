//! The scheduler of `orch-runtime` alone: mailboxes, ready agents, handlers; no orchestrator.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orch_core::AgentMessage;
use orch_runtime::Mailbox;
use orch_runtime::bare::{BareScheduler, Behaviour, Cx};
use tokio::runtime::Runtime;

use crate::channel::two_workers;
use crate::role::{Count, Role};
use crate::system::{NAP, Sleeps, System};

type Address = Arc<Mailbox>;

pub(crate) struct Bare {
    runtime: Runtime,
    scheduler: Arc<BareScheduler<Worker>>,
    serves: AtomicBool,
}

enum Worker {
    Works(Role<Address>),
    Sleeps(Count),
}

impl Behaviour for Worker {
    async fn handle(&mut self, message: &AgentMessage, _: Cx<'_>) {
        match self {
            Self::Works(role) => role.handle(message),
            Self::Sleeps(count) => {
                tokio::time::sleep(NAP).await;
                count.one(message);
            }
        }
    }
}

impl Bare {
    pub(crate) fn on(runtime: Runtime) -> Self {
        let serves = AtomicBool::new(false);
        Self { runtime, scheduler: Arc::new(BareScheduler::new()), serves }
    }
}

impl System for Bare {
    type Address = Address;

    fn new() -> Self {
        Self::on(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    async fn spawn(&self, role: Role<Address>) -> Address {
        self.scheduler.spawn(Worker::Works(role))
    }

    fn begin(&self) {
        if !self.serves.swap(true, Ordering::Relaxed) {
            let scheduler = self.scheduler.clone();
            drop(self.runtime.spawn(async move { scheduler.serve().await }));
        }
    }
}

impl Sleeps for Bare {
    type Sleeper = Address;

    async fn spawn_sleeper(&self, count: Count) -> Address {
        self.scheduler.spawn(Worker::Sleeps(count))
    }
}
