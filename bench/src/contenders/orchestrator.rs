//! The whole `Orchestrator`, set up as a program would that hosts agents in Rust.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use orch_runtime::{
    AgentConfig, AgentId, AgentRegistry, AgentRole, Context, Handler, LoopGuard, Mailbox,
    MessageBus, Orchestrator, SessionSpec, handler,
};
use tokio::runtime::Runtime;

use super::mailbox::unlimited;
use crate::channel::two_workers;
use crate::role::{Count, Role};
use crate::system::{NAP, Sleeps, System};

type Address = Arc<Mailbox>;

/// An orchestrator that serves. Its guards count, but stop nobody.
pub(crate) struct Whole {
    runtime: Runtime,
    orchestrator: Arc<Orchestrator>,
    /// What agents do that do not only count, until their sessions are opened.
    roles: Arc<Mutex<HashMap<AgentId, Role<Address>>>>,
    /// What all the others do: a session is made of it, so that an idle agent costs only itself.
    count: Arc<OnceLock<Count>>,
    n_agents: AtomicU64,
}

impl System for Whole {
    type Address = Address;

    fn new() -> Self {
        Self::on(two_workers())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    async fn spawn(&self, role: Role<Address>) -> Address {
        match role {
            Role::Count(count) => self.spawn_counting("counter", count).await,
            role => {
                let address = self.spawn_as("worker").await;
                lock(&self.roles).insert(address.agent(), role);
                address
            }
        }
    }

    fn begin(&self) {
        if !self.orchestrator.is_running() {
            let orchestrator = self.orchestrator.clone();
            drop(self.runtime.spawn(async move { orchestrator.serve().await }));
        }
    }
}

impl Sleeps for Whole {
    type Sleeper = Address;

    async fn spawn_sleeper(&self, count: Count) -> Address {
        self.spawn_counting("sleeper", count).await
    }
}

impl Whole {
    pub(crate) fn on(runtime: Runtime) -> Self {
        let (roles, count) = (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::default());
        let bus = Arc::new(MessageBus::with_limits(unlimited()));
        let worker = |roles: Arc<Mutex<HashMap<_, _>>>| {
            handler(move |spec: &SessionSpec| Worker(take(&roles, spec.agent)))
        };
        let counter =
            |count: Arc<_>| handler(move |_: &SessionSpec| Worker(Role::Count(again(&count))));
        let sleeper = |count: Arc<_>| handler(move |_: &SessionSpec| Sleeper(again(&count)));
        let orchestrator = Orchestrator::new(Arc::new(AgentRegistry::new()), bus)
            .with_connector("worker", worker(Arc::clone(&roles)))
            .with_connector("counter", counter(Arc::clone(&count)))
            .with_connector("sleeper", sleeper(Arc::clone(&count)))
            .with_loop_guard(LoopGuard::unlimited())
            // Each of the agents that sleep at once has a slot.
            .with_max_concurrency(128);
        Self {
            runtime,
            orchestrator: Arc::new(orchestrator),
            roles,
            count,
            n_agents: AtomicU64::new(0),
        }
    }

    async fn spawn_counting(&self, connector: &str, count: Count) -> Address {
        self.count.get_or_init(|| count);
        self.spawn_as(connector).await
    }

    async fn spawn_as(&self, connector: &str) -> Address {
        let name = format!("agent-{}", self.n_agents.fetch_add(1, Ordering::Relaxed));
        let config = AgentConfig::new(name, AgentRole::Worker, connector.to_owned());
        let agent = self.orchestrator.spawn(config).await.expect("this agent can run");
        self.orchestrator.bus().mailbox(agent).expect("an agent that was spawned has a mailbox")
    }
}

fn take(roles: &Mutex<HashMap<AgentId, Role<Address>>>, agent: AgentId) -> Role<Address> {
    lock(roles).remove(&agent).expect("a session is opened once, after its agent was spawned")
}

fn again(count: &OnceLock<Count>) -> Count {
    count.get().expect("an agent that counts was spawned with its count").again()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`Role::handle`], but what it sends goes through the context: counted, and with its cause.
struct Worker(Role<Address>);

impl Handler for Worker {
    type Output = ();

    async fn handle(&mut self, context: Context) {
        match &mut self.0 {
            Role::Count(count) => count.one(context.message()),
            Role::Forward(forward) => {
                if let Some((next, content)) = forward.one(context.message()) {
                    context.send(next.address.agent(), content).await.expect("it has a mailbox");
                }
            }
            Role::Cast(cast) => {
                context.broadcast(cast.content()).await;
            }
        }
    }
}

struct Sleeper(Count);

impl Handler for Sleeper {
    type Output = ();

    async fn handle(&mut self, context: Context) {
        tokio::time::sleep(NAP).await;
        self.0.one(context.message());
    }
}
