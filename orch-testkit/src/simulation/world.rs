//! What all parts of one simulation share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use orch_core::{AgentConfig, AgentId, AgentMessage, Timestamp};

use crate::history::{Log, What};
use crate::random::Random;
use crate::simulation::Sabotage;
use crate::simulation::plan::{self, Plan};

/// Messages that one simulation makes at most, so that it ends.
const MESSAGES_MAX: u64 = 250;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) log: Log,
    pub(crate) sabotage: Option<Sabotage>,
    /// Every agent that was ever made, the retired ones included.
    agents: Mutex<Vec<(AgentId, AgentConfig)>>,
    n_messages: AtomicU64,
}

/// What a message says: which behaviour it brings about, and how many more messages may follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) label: u64,
    pub(crate) fuel: u64,
}

impl Order {
    /// Reads what [`text`](Self::text) wrote.
    pub(crate) fn read(content: &str) -> Option<Self> {
        let (_, order) = content.split_once(':')?;
        let (label, fuel) = order.split_once('/')?;
        Some(Self { label: u64::from_str_radix(label, 16).ok()?, fuel: fuel.parse().ok()? })
    }

    /// Begins with the number of the call that sends it; see [`send_of`](crate::history::send_of).
    fn text(self, send: u64) -> String {
        format!("{send}:{:016x}/{}", self.label, self.fuel)
    }
}

impl World {
    pub(crate) fn new(plan: Plan, log: Log, sabotage: Option<Sabotage>) -> Arc<Self> {
        let n_messages = AtomicU64::new(0);
        Arc::new(Self { plan, log, sabotage, agents: Mutex::default(), n_messages })
    }

    pub(crate) fn note(&self, what: What) {
        self.log.note(what);
    }

    /// The stream of random numbers that belongs to these.
    pub(crate) fn random(&self, numbers: &[u64]) -> Random {
        let mut all = vec![self.plan.seed];
        all.extend(numbers);
        Random::of(&all)
    }

    pub(crate) fn made(&self, agent: AgentId, config: AgentConfig) {
        self.note(What::Made(agent, Box::new(config.clone())));
        self.lock().push((agent, config));
    }

    /// The agent of that number, modulo how many there are.
    pub(crate) fn agent(&self, number: u64) -> AgentId {
        let agents = self.lock();
        let n = u64::try_from(agents.len()).unwrap_or(1).max(1);
        let i = usize::try_from(number % n).unwrap_or(0);
        agents.get(i).map_or(AgentId::OUTSIDE, |(agent, _)| *agent)
    }

    /// Whether an attempt of this agent ends by itself after some time.
    pub(crate) fn has_timeout(&self, agent: AgentId) -> bool {
        let has = |config: &AgentConfig| config.timeout_ms != u64::MAX;
        self.lock().iter().any(|(known, config)| *known == agent && has(config))
    }

    /// A new agent's configuration.
    pub(crate) fn new_agent(&self) -> AgentConfig {
        let number = self.log.number();
        plan::agent(&format!("b{number}"), &mut self.random(&[5, number]))
    }

    /// A message and the number of the call that sends it; `None` if there were enough of them.
    pub(crate) fn message(&self, from: AgentId, to: AgentId, order: Order) -> Option<Call> {
        let n = self.n_messages.fetch_add(1, Ordering::Relaxed);
        (n < MESSAGES_MAX).then(|| {
            let send = self.log.number();
            Call { send, message: AgentMessage::new(from, to, order.text(send)) }
        })
    }

    pub(crate) fn now() -> Timestamp {
        Timestamp::now()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(AgentId, AgentConfig)>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is about to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) send: u64,
    pub(crate) message: AgentMessage,
}
