//! What several tests use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_runtime::*;

/// Longer than anything takes here on a machine that is busy with other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// An orchestrator over a fresh registry and bus.
pub(crate) fn orchestrator() -> Orchestrator {
    over(MessageBus::new())
}

/// An orchestrator over a fresh registry and this bus.
pub(crate) fn over(bus: MessageBus) -> Orchestrator {
    Orchestrator::new(Arc::new(AgentRegistry::new()), Arc::new(bus))
}

pub(crate) fn config(name: &str, connector: &str) -> AgentConfig {
    AgentConfig::new(name.to_owned(), AgentRole::Worker, connector.to_owned())
}

/// A message from outside of the team.
pub(crate) fn outside(to: AgentId, content: &str) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, content)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Spawns an agent of this name that the connector of this name drives.
pub(crate) async fn spawn(orchestrator: &Orchestrator, name: &str, connector: &str) -> AgentId {
    orchestrator.spawn(config(name, connector)).await.expect("the agent can run")
}

/// Sends a message from outside.
pub(crate) async fn send(orchestrator: &Orchestrator, to: AgentId, content: &str) -> MessageId {
    orchestrator.send(outside(to, content)).await.expect("there is room")
}

/// Runs until nothing is left to do; a run that does not end fails the test instead of hanging it.
pub(crate) async fn run(orchestrator: &Orchestrator) -> StopReason {
    let ended = tokio::time::timeout(Duration::from_secs(86_400), orchestrator.start()).await;
    ended.expect("the run ends").expect("the run begins")
}

pub(crate) async fn status(orchestrator: &Orchestrator, agent: AgentId) -> AgentStatus {
    orchestrator.registry().get(agent).await.expect("it is registered").status
}

pub(crate) async fn queue_depth(orchestrator: &Orchestrator) -> usize {
    orchestrator.metrics().await.queue_depth
}

/// Lines that handlers leave, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// A connector whose agents write down what they are given.
    pub(crate) fn connector(&self) -> impl Connector {
        self.after(Duration::ZERO)
    }

    /// As [`connector`](Self::connector), after a while.
    pub(crate) fn after(&self, time: Duration) -> impl Connector {
        let log = self.clone();
        function(move |ctx: Context| {
            let log = log.clone();
            async move {
                if time > Duration::ZERO {
                    tokio::time::sleep(time).await;
                }
                log.push(ctx.content().as_str());
            }
        })
    }
}

/// Keeps every event.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Events {
    pub(crate) fn watch(orchestrator: Orchestrator) -> (Orchestrator, Arc<Self>) {
        let events = Arc::new(Self::default());
        (orchestrator.with_observer(events.clone()), events)
    }

    /// What `pick` answers for each event, in order.
    pub(crate) fn all<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(|event| pick(&event.kind)).collect()
    }

    /// The statuses that an agent went through.
    pub(crate) fn statuses(&self, of: AgentId) -> Vec<AgentStatus> {
        self.all(|kind| match kind {
            EventKind::StatusChanged { agent, status } if *agent == of => Some(status.clone()),
            _ => None,
        })
    }

    /// At how many milliseconds after the first hand-out each attempt began; by the wall clock, so
    /// only for the order.
    pub(crate) fn attempts(&self, of: AgentId) -> Vec<u32> {
        self.all(|kind| match kind {
            EventKind::Started { agent, attempt, .. } if *agent == of => Some(*attempt),
            _ => None,
        })
    }
}

/// What a handler waits for until the test lets it go on, with threads that really block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Blocks the thread until the gate is open.
    pub(crate) fn pass(&self) {
        let guard = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(guard, LIMIT, |open| !*open).unwrap();
        assert!(*waited.0, "the gate was never opened");
    }
}

/// Waits for a condition, on a runtime whose time is real.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, holds).await.unwrap_or_else(|_| panic!("never: {what}"));
}
