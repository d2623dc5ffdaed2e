//! Which agents there are, how they were made, and where they stand.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dashmap::DashMap;
use orch_core::{
    AgentConfig, AgentId, AgentMetadata, AgentStatus, EventHub, EventKind, IdState, Severity,
    Timestamp, Usage,
};

use crate::metrics::Figure;
use crate::names::Names;
use crate::roll::Roll;

/// Tracks the agents and their configuration. Registering cannot fail; whether an agent can run is
/// checked where it is spawned or started.
///
/// Registering and unregistering cost the same however many agents there are, how many of them have
/// one name, and how many one agent has spawned.
#[derive(Debug, Default)]
pub struct AgentRegistry {
    agents: DashMap<AgentId, Arc<Entry>, IdState>,
    names: RwLock<Names>,
    /// Agents of `agents` that have a parent.
    n_spawned: AtomicUsize,
    /// Agents that failed since the last start, which need not look at all agents to find them.
    failed: Mutex<Vec<AgentId>>,
    events: EventHub,
}

/// One agent, as the registry and the runtime share it.
///
/// What few agents have lies in a box behind it: there may be a million of them.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: AgentId,
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) parent: Option<AgentId>,
    pub(crate) depth: u32,
    /// Ascends in the order of registration, as ids of several threads may not.
    pub(crate) number: u64,
    created_at: Timestamp,
    status: AtomicU8,
    gone: AtomicBool,
    /// Whether another entry has taken its place: the agent is not gone then.
    replaced: AtomicBool,
    pub(crate) messages: Figure,
    rare: Mutex<Option<Box<Rare>>>,
}

/// What few agents have.
#[derive(Debug, Default)]
struct Rare {
    /// Why it failed; read only while `status` says so.
    reason: String,
    usage: Usage,
    /// Those that it spawned.
    children: Roll,
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
        let mut all = self.entries();
        all.sort_unstable_by_key(|entry| entry.number);
        all.iter().map(|entry| entry.metadata()).collect()
    }

    /// The agent of that name, the first registered if several have it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AgentId> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).first(name)
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
        self.add_entry(Entry::new(config, parent, depth))
    }

    /// Registers an agent under the id that it had before a restart.
    pub(crate) fn add_known(
        &self,
        id: AgentId,
        config: AgentConfig,
        parent: Option<AgentId>,
        depth: u32,
    ) -> Arc<Entry> {
        self.add_entry(Entry { id, ..Entry::new(config, parent, depth) })
    }

    /// Gives an agent another configuration. What it has spawned stays below it.
    pub(crate) fn rebind(&self, agent: AgentId, config: AgentConfig) -> Option<Arc<Entry>> {
        // Before it is gone, or a run that has met it would take the agent for retired.
        self.entry(agent)?.replaced.store(true, Ordering::Release);
        let former = self.remove(agent)?;
        let entry = self.add_known(agent, config, former.parent, former.depth);
        let children = former.children();
        entry.rare(|rare| children.into_iter().for_each(|child| rare.children.push(child)));
        entry.add_usage(former.usage());
        Some(entry)
    }

    fn add_entry(&self, entry: Entry) -> Arc<Entry> {
        let parent = entry.parent;
        let entry = self.names.write().unwrap_or_else(PoisonError::into_inner).add(entry);
        if let Some(parent) = parent {
            self.n_spawned.fetch_add(1, Ordering::Relaxed);
            if let Some(parent) = self.entry(parent) {
                parent.rare(|rare| rare.children.push(entry.clone()));
            }
        }
        // Last, as it can be removed from now on.
        self.agents.insert(entry.id, entry.clone());
        self.events.emit(Severity::Info, || EventKind::Registered {
            agent: entry.id,
            name: entry.config.name.clone(),
            connector_type: entry.config.connector_type.clone(),
            parent,
        });
        entry
    }

    pub(crate) fn remove(&self, agent: AgentId) -> Option<Arc<Entry>> {
        let (_, entry) = self.agents.remove(&agent)?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that the names count each that is gone once.
        entry.gone.store(true, Ordering::Release);
        names.note_gone(&entry);
        drop(names);
        if let Some(parent) = entry.parent {
            self.n_spawned.fetch_sub(1, Ordering::Relaxed);
            if let Some(parent) = self.entry(parent) {
                parent.rare(|rare| rare.children.note_gone());
            }
        }
        self.events.emit(Severity::Info, || EventKind::Unregistered { agent });
        Some(entry)
    }

    /// How many agents have a parent.
    pub(crate) fn n_spawned(&self) -> usize {
        self.n_spawned.load(Ordering::Relaxed)
    }

    /// An agent's descendants, without looking at other agents. Those below one that was
    /// unregistered are none any more.
    pub(crate) fn descendants(&self, of: &Entry) -> Vec<Arc<Entry>> {
        let mut all = of.children();
        let mut n_asked = 0;
        while let Some(next) = all.get(n_asked) {
            let children = next.children();
            all.extend(children);
            n_asked += 1;
        }
        all
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
    pub(crate) fn new(config: AgentConfig, parent: Option<AgentId>, depth: u32) -> Self {
        Self {
            id: AgentId::new(),
            config: Arc::new(config),
            parent,
            depth,
            number: 0,
            created_at: Timestamp::now(),
            status: AtomicU8::new(IDLE),
            gone: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            messages: Figure::default(),
            rare: Mutex::default(),
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
            _ => AgentStatus::Failed { reason: self.rare(|rare| rare.reason.clone()) },
        }
    }

    /// Changes the status if that is legal, and says whether it changed.
    pub(crate) fn set_status(&self, next: &AgentStatus) -> bool {
        let code = match next {
            AgentStatus::Processing => PROCESSING,
            AgentStatus::Waiting => WAITING,
            AgentStatus::Failed { reason } => {
                self.rare(|rare| rare.reason.clone_from(reason));
                FAILED
            }
            _ => IDLE,
        };
        // Release: pairs with the Acquire in `status`, which then sees the reason.
        let change = |now: u8| (now != code && is_legal(now, code)).then_some(code);
        self.status.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Whether the agent was unregistered.
    pub(crate) fn is_unregistered(&self) -> bool {
        self.is_gone() && !self.replaced.load(Ordering::Acquire)
    }

    /// Whether this entry is not the agent's any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn add_usage(&self, usage: Usage) {
        self.rare(|rare| rare.usage += usage);
    }

    pub(crate) fn usage(&self) -> Usage {
        lock(&self.rare).as_ref().map(|rare| rare.usage).unwrap_or_default()
    }

    pub(crate) fn reset_figures(&self) {
        self.messages.reset();
        if let Some(rare) = &mut *lock(&self.rare) {
            rare.usage = Usage::default();
        }
    }

    /// Those that this agent has spawned and that are still there.
    fn children(&self) -> Vec<Arc<Self>> {
        lock(&self.rare).as_ref().map(|rare| rare.children.present()).unwrap_or_default()
    }

    fn rare<T>(&self, use_it: impl FnOnce(&mut Rare) -> T) -> T {
        use_it(lock(&self.rare).get_or_insert_default())
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
    use proptest::prelude::*;

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

    #[test]
    fn an_entry_stays_small() {
        // With the two counts of its `Arc`.
        assert!(size_of::<Entry>() + 16 <= 112, "{}", size_of::<Entry>());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Register { name: usize, parent: Option<prop::sample::Index> },
        Unregister(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let parent = prop::option::of(any::<prop::sample::Index>());
        prop_oneof![
            (0_usize..3, parent).prop_map(|(name, parent)| Step::Register { name, parent }),
            any::<prop::sample::Index>().prop_map(Step::Unregister),
        ]
    }

    const NAMES: [&str; 3] = ["a", "b", "c"];

    proptest! {
        /// The model is a list in the order of registration.
        #[test]
        fn names_order_and_families_follow_the_model(
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let registry = AgentRegistry::new();
            let mut model: Vec<Arc<Entry>> = Vec::new();
            for step in steps {
                match step {
                    Step::Register { name, parent } => {
                        let parent = parent.filter(|_| !model.is_empty());
                        let parent = parent.map(|parent| parent.get(&model).id);
                        let name = NAMES[name].to_owned();
                        let config = AgentConfig::new(name, AgentRole::Worker, "x".into());
                        model.push(registry.add(config, parent, 0));
                    }
                    Step::Unregister(_) if model.is_empty() => {}
                    Step::Unregister(which) => {
                        let gone = model.remove(which.index(model.len()));
                        prop_assert!(registry.remove(gone.id).is_some());
                        prop_assert!(registry.remove(gone.id).is_none());
                    }
                }
                check(&registry, &model);
            }
            model.drain(..).for_each(|entry| drop(registry.remove(entry.id)));
            check(&registry, &model);
        }
    }

    fn check(registry: &AgentRegistry, model: &[Arc<Entry>]) {
        let ids = |entries: &[Arc<Entry>]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
        for name in NAMES {
            let first = model.iter().find(|entry| entry.config.name == name);
            assert_eq!(registry.find(name), first.map(|entry| entry.id));
        }
        let mut listed = registry.entries();
        listed.sort_unstable_by_key(|entry| entry.number);
        assert_eq!(ids(&listed), ids(model));
        let spawned = model.iter().filter(|entry| entry.parent.is_some());
        assert_eq!(registry.n_spawned(), spawned.count());
        for entry in model {
            let mut family = ids(&registry.descendants(entry));
            family.sort_unstable();
            let mut below: Vec<AgentId> = model.iter().map(|it| it.id).collect();
            below.retain(|it| is_below(model, *it, entry.id));
            below.sort_unstable();
            assert_eq!(family, below);
        }
    }

    fn is_below(model: &[Arc<Entry>], agent: AgentId, above: AgentId) -> bool {
        let parent = |id| model.iter().find(|it| it.id == id).and_then(|it| it.parent);
        std::iter::successors(parent(agent), |it| parent(*it)).any(|it| it == above)
    }

    #[test]
    fn those_that_are_gone_are_not_kept_for_those_that_are_there() {
        let registry = AgentRegistry::new();
        let config = || AgentConfig::new("twin".into(), AgentRole::Worker, "x".into());
        let parent = registry.add(config(), None, 0);
        let mut children: Vec<_> =
            (0..1_000).map(|_| registry.add(config(), Some(parent.id), 1)).collect();
        let known: Vec<_> = children.iter().map(Arc::downgrade).collect();
        // From the middle, so that neither the first nor the last go.
        children.drain(100..900).for_each(|child| drop(registry.remove(child.id)));
        let n_kept = known.iter().filter(|entry| entry.upgrade().is_some()).count();
        assert!(n_kept <= 2 * children.len(), "{n_kept}");
    }

    #[test]
    fn agents_of_one_name_and_parent_come_and_go_on_several_threads() {
        let registry = AgentRegistry::new();
        let config = || AgentConfig::new("twin".into(), AgentRole::Worker, "x".into());
        let parent = registry.add(config(), None, 0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let both = [0, 1].map(|_| registry.add(config(), Some(parent.id), 1));
                        both.iter().for_each(|child| assert!(registry.remove(child.id).is_some()));
                    }
                });
            }
        });
        assert_eq!((registry.len(), registry.n_spawned()), (1, 0));
        assert_eq!(registry.find("twin"), Some(parent.id));
        assert!(registry.descendants(&parent).is_empty());
        registry.remove(parent.id);
        assert_eq!(registry.find("twin"), None);
    }
}
