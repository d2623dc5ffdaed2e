//! Which agents there are, how they were made, and where they stand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dashmap::DashMap;
use orch_core::{
    AgentConfig, AgentId, AgentMetadata, AgentStatus, EventHub, EventKind, Severity, Timestamp,
    Usage,
};

use crate::metrics::Figure;

/// Tracks the agents and their configuration. Registering cannot fail; whether an agent can run is
/// checked where it is spawned or started.
#[derive(Debug, Default)]
pub struct AgentRegistry {
    agents: DashMap<AgentId, Arc<Entry>>,
    /// The agents of each name, the first registered first.
    names: RwLock<BTreeMap<String, Vec<AgentId>>>,
    /// Agents that failed since the last start, which need not look at all agents to find them.
    failed: Mutex<Vec<AgentId>>,
    events: EventHub,
}

/// One agent, as the registry and the runtime share it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: AgentId,
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) parent: Option<AgentId>,
    pub(crate) depth: u32,
    created_at: Timestamp,
    status: AtomicU8,
    /// Why it failed; read only while `status` says so.
    reason: Mutex<String>,
    gone: AtomicBool,
    pub(crate) messages: Figure,
    usage: Mutex<Usage>,
}

const IDLE: u8 = 0;
const PROCESSING: u8 = 1;
const WAITING: u8 = 2;
const FAILED: u8 = 3;

impl AgentRegistry {
    /// A registry without agents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an agent under a new id. It has no mailbox yet; see
    /// [`MessageBus::create_mailbox`](orch_bus::MessageBus::create_mailbox).
    ///
    /// Nothing is waited for; the function is async because a durable registry may.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn register(&self, config: AgentConfig) -> AgentId {
        self.add(config, None, 0).id
    }

    /// Unregisters an agent, and answers what was known of it. Its mailbox stays, with what waits
    /// in it; a message that is being handled is finished.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn unregister(&self, agent: AgentId) -> Option<AgentMetadata> {
        self.remove(agent).map(|entry| entry.metadata())
    }

    /// What is known of an agent.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn get(&self, agent: AgentId) -> Option<AgentMetadata> {
        self.entry(agent).map(|entry| entry.metadata())
    }

    /// What is known of all agents, in the order in which they were registered.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn list(&self) -> Vec<AgentMetadata> {
        let mut all: Vec<AgentMetadata> =
            self.agents.iter().map(|entry| entry.metadata()).collect();
        all.sort_by_key(|agent| agent.id);
        all
    }

    /// The agent of that name, the first registered if several have it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AgentId> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(name).and_then(|agents| agents.first().copied())
    }

    /// How many agents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether there are no agents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Where this registry tells what happens.
    #[must_use]
    pub fn events(&self) -> &EventHub {
        &self.events
    }

    pub(crate) fn add(
        &self,
        config: AgentConfig,
        parent: Option<AgentId>,
        depth: u32,
    ) -> Arc<Entry> {
        let entry = Arc::new(Entry::new(config, parent, depth));
        let name = entry.config.name.clone();
        self.names
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.clone())
            .or_default()
            .push(entry.id);
        self.agents.insert(entry.id, entry.clone());
        self.events.emit(Severity::Info, || EventKind::Registered {
            agent: entry.id,
            name,
            connector_type: entry.config.connector_type.clone(),
            parent,
        });
        entry
    }

    pub(crate) fn remove(&self, agent: AgentId) -> Option<Arc<Entry>> {
        let (_, entry) = self.agents.remove(&agent)?;
        entry.gone.store(true, Ordering::Release);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(agents) = names.get_mut(&entry.config.name) {
            agents.retain(|known| *known != agent);
            if agents.is_empty() {
                names.remove(&entry.config.name);
            }
        }
        drop(names);
        self.events.emit(Severity::Info, || EventKind::Unregistered { agent });
        Some(entry)
    }

    pub(crate) fn note_failed(&self, agent: AgentId) {
        lock(&self.failed).push(agent);
    }

    pub(crate) fn take_failed(&self) -> Vec<AgentId> {
        std::mem::take(&mut *lock(&self.failed))
    }

    pub(crate) fn entry(&self, agent: AgentId) -> Option<Arc<Entry>> {
        self.agents.get(&agent).map(|entry| entry.clone())
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.agents.iter().map(|entry| entry.clone()).collect()
    }
}

impl Entry {
    fn new(config: AgentConfig, parent: Option<AgentId>, depth: u32) -> Self {
        Self {
            id: AgentId::new(),
            config: Arc::new(config),
            parent,
            depth,
            created_at: Timestamp::now(),
            status: AtomicU8::new(IDLE),
            reason: Mutex::default(),
            gone: AtomicBool::new(false),
            messages: Figure::default(),
            usage: Mutex::default(),
        }
    }

    pub(crate) fn metadata(&self) -> AgentMetadata {
        let mut metadata =
            AgentMetadata::new(self.id, AgentConfig::clone(&self.config), self.created_at);
        metadata.status = self.status();
        metadata.parent = self.parent;
        metadata.depth = self.depth;
        metadata
    }

    pub(crate) fn status(&self) -> AgentStatus {
        match self.status.load(Ordering::Acquire) {
            IDLE => AgentStatus::Idle,
            PROCESSING => AgentStatus::Processing,
            WAITING => AgentStatus::Waiting,
            _ => AgentStatus::Failed { reason: lock(&self.reason).clone() },
        }
    }

    /// Changes the status if that is legal, and says whether it changed.
    pub(crate) fn set_status(&self, next: &AgentStatus) -> bool {
        let code = match next {
            AgentStatus::Processing => PROCESSING,
            AgentStatus::Waiting => WAITING,
            AgentStatus::Failed { reason } => {
                lock(&self.reason).clone_from(reason);
                FAILED
            }
            _ => IDLE,
        };
        // Release: pairs with the Acquire in `status`, which then sees the reason.
        let change = |now: u8| (now != code && is_legal(now, code)).then_some(code);
        self.status.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Whether the agent was unregistered.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn add_usage(&self, usage: Usage) {
        *lock(&self.usage) += usage;
    }

    pub(crate) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    pub(crate) fn reset_figures(&self) {
        self.messages.reset();
        *lock(&self.usage) = Usage::default();
    }
}

/// The table of [`AgentStatus::change`], over the codes; a test holds the two together.
const fn is_legal(from: u8, to: u8) -> bool {
    !matches!((from, to), (IDLE, WAITING) | (FAILED, PROCESSING | WAITING))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use orch_core::AgentRole;

    use super::*;

    #[test]
    fn an_entry_changes_its_status_exactly_as_the_core_allows() {
        let failed = AgentStatus::Failed { reason: "x".into() };
        let all = [AgentStatus::Idle, AgentStatus::Processing, AgentStatus::Waiting, failed];
        for (from_code, from) in (0_u8..).zip(&all) {
            for to in all.iter().filter(|to| *to != from) {
                let config = AgentConfig::new("a".into(), AgentRole::Worker, "x".into());
                let entry = Entry::new(config, None, 0);
                entry.status.store(from_code, Ordering::Relaxed);
                assert_eq!(
                    entry.set_status(to),
                    from.clone().change(to.clone()).is_ok(),
                    "{from:?} to {to:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_name_finds_the_first_agent_that_has_it() {
        let registry = AgentRegistry::new();
        let config = |name: &str| AgentConfig::new(name.into(), AgentRole::Worker, "x".into());
        let first = registry.register(config("twin")).await;
        let second = registry.register(config("twin")).await;
        assert_eq!(registry.find("twin"), Some(first));
        registry.unregister(first).await;
        assert_eq!(registry.find("twin"), Some(second));
        registry.unregister(second).await;
        assert_eq!(registry.find("twin"), None);
        assert!(registry.is_empty());
    }
}
