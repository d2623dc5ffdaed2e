//! Taking up what an earlier process left, and the begin and end of runs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use orch_core::{AgentId, DeadLetter, DeadLetterReason, MessageId, StopReason, Timestamp};
use orch_journal::{CommitError, Delivery, Journal, Record, Run as RecordedRun, State, StepKind};
use orch_policy::RateCounters;

use super::{Durable, lock};
use crate::guards::AgentCounts;
use crate::orchestrator::Inner;
use crate::registry::Entry;
use crate::run::Run;

/// Why an orchestrator did not become durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Something was sent already, which no journal knows.
    #[error("{0} messages were sent before there was a journal: set it first")]
    TooLate(u64),
    /// The bus has another hook, or this orchestrator another journal.
    #[error("the bus has an admission already: a durable orchestrator needs its own")]
    AdmissionTaken,
    /// The journal does not answer, or does not take what follows from what it says.
    #[error("failed to recover from the journal: {0}")]
    Journal(#[from] CommitError),
}

/// Where the handling of a message goes on that an earlier process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// When it is due, if that may lie in the future.
    pub(crate) due: Option<Timestamp>,
    /// The round in which it was handed out, if that counts in the next run.
    pub(crate) round: Option<u64>,
}

/// What the run goes on with that follows one that was cut off.
#[derive(Debug, Default)]
pub(crate) struct Continued {
    /// The first of the runs whose rounds and messages count.
    pub(crate) since: u64,
    /// Their highest round.
    pub(crate) iterations: u64,
    counts: HashMap<AgentId, AgentCounts>,
}

impl Continued {
    fn of(state: &State) -> Option<Self> {
        let since = state.cut_off_run().map(RecordedRun::counts_since)?;
        let runs = state.runs().range(since..);
        let iterations = runs.map(|(_, run)| run.iterations).max().unwrap_or(0);
        let counts = state.agents().filter_map(|agent| {
            let counts = state.counts(agent.id);
            let (last_round, messages) = (counts.last_round, counts.messages);
            (counts.run >= since).then_some((agent.id, AgentCounts { last_round, messages }))
        });
        Some(Self { since, iterations, counts: counts.collect() })
    }

    /// What was counted of an agent.
    pub(crate) fn counts(&self, agent: AgentId) -> AgentCounts {
        self.counts.get(&agent).copied().unwrap_or_default()
    }
}

impl Durable {
    /// Makes an orchestrator durable.
    pub(crate) async fn recover(
        inner: &Arc<Inner>,
        journal: Arc<Journal>,
    ) -> Result<(), RecoverError> {
        match inner.bus.total_sent() {
            0 => {}
            n => return Err(RecoverError::TooLate(n)),
        }
        let durable = Arc::new(Self::new(journal));
        let _ = durable.inner.set(Arc::downgrade(inner));
        let hook = inner.bus.set_admission(durable.clone());
        hook.map_err(|_| RecoverError::AdmissionTaken)?;
        let state = durable.journal.ask(|store| store.state().clone()).await?;
        let mut set = registered(inner, &state);
        let lost = letters(&state);
        set.extend(lost.iter().map(|letter| Record::DeadLettered { letter: letter.clone() }));
        set.extend(forlorn(&state, &lost));
        if !set.is_empty() {
            durable.journal.commit(Timestamp::now(), set).await?;
        }
        durable.take_up(inner, &state, lost);
        let _ = inner.durable.set(durable);
        Ok(())
    }

    /// Everything is there as it was, before anybody is told.
    fn take_up(&self, inner: &Inner, state: &State, lost: Vec<DeadLetter>) {
        self.take_up_agents(inner, state);
        let lost_ids: HashSet<_> = lost.iter().map(|letter| letter.message.id()).collect();
        for letter in state.letters() {
            inner.bus.dead_letters().add(letter.letter.clone());
        }
        lost.into_iter().for_each(|letter| inner.keep_letter(letter));
        inner.count_letters_from_now();
        let continued = Continued::of(state);
        let since = continued.as_ref().map(|it| it.since);
        *lock(&self.continued) = continued.map(Arc::new);
        for delivery in state.mailboxes() {
            if !lost_ids.contains(&delivery.message.id()) {
                self.take_up_delivery(inner, state, delivery, since);
            }
        }
        let grants = state.grants().map(|it| (it.agent, it.policy.clone(), it.at));
        inner.policy().import(RateCounters::from_grants(grants));
        inner.metrics.add_usage(state.spent());
        inner.set_runs(state.runs().keys().next_back().copied().unwrap_or(0));
    }

    fn take_up_agents(&self, inner: &Inner, state: &State) {
        let depths = depths(state);
        let mut agents: Vec<_> = state.agents().collect();
        // Parents first, and then in the order of registration.
        agents.sort_unstable_by_key(|it| (depths.get(&it.id).copied(), it.seq));
        for agent in agents {
            let depth = depths.get(&agent.id).copied().unwrap_or(0);
            let entry =
                inner.registry.add_known(agent.id, agent.config.clone(), agent.parent, depth);
            let usage = state.counts(agent.id).usage;
            if !usage.is_zero() {
                entry.add_usage(usage);
            }
            inner.bus.open_mailbox(agent.id);
            if agent.parent.is_none() {
                let name = agent.config.name.clone();
                lock(&self.unbound).entry(name).or_default().push_back(agent.id);
            }
        }
    }

    fn take_up_delivery(
        &self,
        inner: &Inner,
        state: &State,
        delivery: &Delivery,
        since: Option<u64>,
    ) {
        let message = &delivery.message;
        let Some(mailbox) = inner.bus.mailbox(message.to()) else { return };
        let restored = mailbox.restore(message.clone(), delivery.errors.clone());
        debug_assert!(restored.is_ok(), "a mailbox that was just made is open");
        let due = due(delivery, Timestamp::now());
        let round = since.filter(|since| delivery.run >= *since).map(|_| delivery.round);
        if due.is_some() || round.is_some() {
            lock(&self.resumed).insert(message.id(), Resumed { due, round });
        }
        for (key, step) in state.steps(message.id()) {
            if step.kind == StepKind::Ask && step.output.is_none() {
                self.note_question(key.delivery.of_step(key.n), message.to(), key);
            }
        }
    }

    /// Records that a run begins; one that could not record its end ends first.
    pub(crate) async fn begin_run(&self, run: &Run) -> Result<(), String> {
        // What was told of an earlier run stands before this one.
        self.told.written().await?;
        let mut agents = run.inner.registry.entries();
        agents.sort_unstable_by_key(|entry| entry.number);
        let asked = self.journal.ask(move |store| Left::of(store.state(), agents)).await;
        let left = asked.map_err(|error| error.to_string())?;
        let mut set = left.records();
        set.push(Record::RunStarted {
            run: run.number,
            team: run.options.team,
            guard: run.options.guard,
            since: run.continued.as_ref().map(|it| it.since),
        });
        self.write_now(set).await?;
        *lock(&self.continued) = None;
        if self.has_begun.swap(true, Ordering::Relaxed) {
            // Whoever starts again wants to go on at once, and counts anew.
            lock(&self.resumed).clear();
        }
        Ok(())
    }

    /// What a run goes on with that begins now.
    pub(crate) fn continued(&self) -> Option<Arc<Continued>> {
        lock(&self.continued).clone()
    }

    /// Records that a run ended. If that is not possible, the next start does so.
    pub(crate) async fn end_run(&self, run: u64, reason: &StopReason) {
        self.rests.close();
        self.rests.wait().await;
        self.rests.reopen();
        self.tell_end(run, reason.clone());
        if let Err(error) = self.flushed().await {
            tracing::warn!(target: "orch", error, "the end of a run is not recorded yet");
        }
    }

    pub(crate) fn tell_end(&self, run: u64, reason: StopReason) {
        self.tell(vec![Record::RunEnded { run, reason }]);
    }

    /// Records a set that no run waits for; does not wait for room.
    pub(crate) async fn write_now(&self, set: Vec<Record>) -> Result<(), String> {
        if let Some(trouble) = self.told.trouble() {
            return Err(trouble);
        }
        self.told.caught_up().await;
        let Err(error) = self.journal.commit(Timestamp::now(), set).await else { return Ok(()) };
        let is_final = !matches!(error, CommitError::Illegal(_)) && !super::is_transient(&error);
        let error = error.to_string();
        if is_final {
            self.stop_run(&error);
        }
        Err(error)
    }

    /// Returns when everything that was told so far is recorded, or cannot be now.
    pub(crate) async fn flushed(&self) -> Result<(), String> {
        self.told.written().await
    }

    /// The agent of an earlier process that has this name and that nobody has spawned again.
    pub(crate) fn take_unbound(self: &Arc<Self>, name: &str) -> Option<Unbound> {
        let inner = self.inner.get().and_then(Weak::upgrade)?;
        let mut unbound = lock(&self.unbound);
        let agents = unbound.get_mut(name)?;
        // One that was retired since is not there any more.
        agents.retain(|agent| inner.registry.entry(*agent).is_some());
        let agent = agents.pop_front()?;
        Some(Unbound { durable: self.clone(), name: name.to_owned(), agent: Some(agent) })
    }
}

/// An agent of an earlier process while it is being spawned again; if that fails, it can be tried again.
pub(crate) struct Unbound {
    durable: Arc<Durable>,
    name: String,
    /// `None` once it is bound.
    agent: Option<AgentId>,
}

impl Unbound {
    pub(crate) fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    pub(crate) fn note_bound(mut self) {
        self.agent = None;
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        if let Some(agent) = self.agent {
            let name = std::mem::take(&mut self.name);
            lock(&self.durable.unbound).entry(name).or_default().push_front(agent);
        }
    }
}

/// What the journal does not know when a run begins, or takes for being under way.
struct Left {
    unknown: Vec<Arc<Entry>>,
    running: Vec<(AgentId, MessageId)>,
    open_run: Option<u64>,
}

impl Left {
    fn of(state: &State, mut agents: Vec<Arc<Entry>>) -> Self {
        agents.retain(|entry| state.agent(entry.id).is_none());
        let open_run = state.open_run().map(|open| open.run);
        // Also of a run that recorded its end: a begin may be committed whose attempt was cut off while
        // it waited for that.
        let running = state.running_deliveries();
        let running = running.map(|it| (it.message.to(), it.message.id())).collect();
        Self { unknown: agents, running, open_run }
    }

    fn records(&self) -> Vec<Record> {
        let mut set: Vec<Record> = self.unknown.iter().map(|entry| registration(entry)).collect();
        for &(agent, message) in &self.running {
            set.push(Record::PutBack { agent, message });
        }
        let ended = |run| Record::RunEnded { run, reason: StopReason::ManualStop };
        set.extend(self.open_run.map(ended));
        set
    }
}

/// When a message is due that is between two attempts: after the pause that was recorded, whatever the
/// clock was set to since.
fn due(delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
    let failed_at = delivery.errors.last()?.at;
    let pause = delivery.ready_at().since(failed_at);
    let due = delivery.ready_at().min(now.after(pause));
    (due > now).then_some(due)
}

/// Agents that the journal does not know yet.
fn registered(inner: &Inner, state: &State) -> Vec<Record> {
    let mut unknown = inner.registry.entries();
    unknown.retain(|entry| state.agent(entry.id).is_none());
    unknown.sort_unstable_by_key(|entry| entry.number);
    unknown.iter().map(|entry| registration(entry)).collect()
}

fn registration(entry: &Entry) -> Record {
    Record::AgentRegistered {
        agent: entry.id,
        config: orch_core::AgentConfig::clone(&entry.config),
        parent: entry.parent,
    }
}

/// What is given up at once: a message that killed its process in all its attempts, and one whose
/// agent is gone.
fn letters(state: &State) -> Vec<DeadLetter> {
    let now = Timestamp::now();
    let given_up = |delivery: &&Delivery| {
        let reason = match state.agent(delivery.message.to()) {
            None => DeadLetterReason::Retired,
            Some(agent) if delivery.attempt() > agent.config.max_retries.saturating_add(1) => {
                DeadLetterReason::AttemptsExhausted
            }
            Some(_) => return None,
        };
        let letter = DeadLetter::new(delivery.message.clone(), reason, now);
        Some(letter.with_attempts(delivery.errors.clone()))
    };
    state.mailboxes().iter().filter_map(given_up).collect()
}

/// Questions that nobody waits for, or that nobody will answer.
fn forlorn(state: &State, lost: &[DeadLetter]) -> Vec<Record> {
    let lost: HashSet<_> = lost.iter().map(|letter| letter.message.id()).collect();
    let is_live = |id| state.delivery(id).is_some() && !lost.contains(&id);
    let asking = state.mailboxes().into_iter().map(|it| it.message.id()).filter(|id| is_live(*id));
    let asked: HashSet<_> = asking
        .flat_map(|asker| state.steps(asker))
        .filter(|(_, step)| step.kind == StepKind::Ask && step.output.is_none())
        .map(|(key, _)| key.delivery.of_step(key.n))
        .collect();
    let forlorn = state.questions().filter(|(id, _)| !asked.contains(id) || !is_live(*id));
    let mut forlorn: Vec<_> = forlorn.map(|(id, question)| (id, question.agent)).collect();
    forlorn.sort_unstable();
    let failed = forlorn.into_iter().map(|(question, agent)| Record::QuestionFailed {
        agent,
        question,
        error: "the process that asked it has ended".to_owned(),
    });
    failed.collect()
}

/// How many parents lie above each agent.
fn depths(state: &State) -> HashMap<AgentId, u32> {
    let parent = |agent: AgentId| state.agent(agent).and_then(|it| it.parent);
    let depth = |agent| {
        // Bounded: a journal that was edited may have a circle.
        let above = std::iter::successors(parent(agent), |it| parent(*it)).take(1_000);
        u32::try_from(above.count()).unwrap_or(u32::MAX)
    };
    state.agents().map(|it| (it.id, depth(it.id))).collect()
}
