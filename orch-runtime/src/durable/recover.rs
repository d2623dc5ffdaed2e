//! Taking up what an earlier process left, and the begin and end of runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orch_bus::MessageBus;
use orch_core::{AgentId, AgentMessage, DeadLetter, DeadLetterReason, StopReason, Timestamp};
use orch_journal::{CommitError, Delivery, Journal, Pending, Record, State, StepKind};
use orch_policy::RateCounters;

use super::{Durable, lock};
use crate::orchestrator::Inner;
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
        for delivery in state.mailboxes() {
            if !lost_ids.contains(&delivery.message.id()) {
                self.take_up_delivery(inner, state, delivery);
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

    fn take_up_delivery(&self, inner: &Inner, state: &State, delivery: &Delivery) {
        let message = &delivery.message;
        let Some(mailbox) = inner.bus.mailbox(message.to()) else { return };
        let restored = mailbox.restore(message.clone(), delivery.errors.clone());
        debug_assert!(restored.is_ok(), "a mailbox that was just made is open");
        if delivery.ready_at() > Timestamp::now() {
            lock(&self.due).insert(message.id(), delivery.ready_at());
        }
        for (key, step) in state.steps(message.id()) {
            if step.kind == StepKind::Ask && step.output.is_none() {
                self.note_question(key.delivery.of_step(key.n), message.to(), key);
            }
        }
    }

    /// Records that a run begins; one that could not record its end ends first.
    pub(crate) async fn begin_run(&self, run: &Run) -> Result<(), String> {
        let state = self.journal.ask(|store| store.state().clone()).await;
        let state = state.map_err(|error| error.to_string())?;
        let mut set = registered(&run.inner, &state);
        let running = state.mailboxes().into_iter().filter(|it| it.is_running());
        set.extend(
            running.map(|it| Record::PutBack { agent: it.message.to(), message: it.message.id() }),
        );
        if let Some(open) = state.open_run() {
            set.push(Record::RunEnded { run: open.run, reason: StopReason::ManualStop });
        }
        set.push(Record::RunStarted { run: run.number, team: None, guard: run.options.guard });
        self.write_now(set).await
    }

    /// Records that a run ended. If that is not possible, the next start does so.
    pub(crate) async fn end_run(&self, run: u64, reason: &StopReason) {
        self.rests.close();
        self.rests.wait().await;
        self.rests.reopen();
        if let Some(pending) = self.tell_end(run, reason.clone())
            && let Err(error) = pending.await
        {
            tracing::warn!(target: "orch", %error, "the end of a run was not recorded");
        }
    }

    pub(crate) fn tell_end(&self, run: u64, reason: StopReason) -> Option<Pending> {
        self.tell(vec![Record::RunEnded { run, reason }])
    }

    /// Records a set that no run waits for; does not wait for room.
    pub(crate) async fn write_now(&self, set: Vec<Record>) -> Result<(), String> {
        let Err(error) = self.journal.commit(Timestamp::now(), set).await else { return Ok(()) };
        let is_final = !matches!(error, CommitError::Illegal(_)) && !super::is_transient(&error);
        let error = error.to_string();
        if is_final {
            self.stop_run(&error);
        }
        Err(error)
    }

    /// Returns when everything that was told so far is recorded, or could not be.
    pub(crate) async fn flushed(&self) -> Result<(), CommitError> {
        self.journal.ask(drop_store).await
    }

    /// Sends a message for which nobody can wait; one that is refused is a dead letter.
    pub(crate) fn send_later(&self, bus: &Arc<MessageBus>, message: AgentMessage) {
        let bus = bus.clone();
        orch_bus::Admission::go_on(
            self,
            Box::pin(async move {
                if let Err(error) = bus.send(message).await {
                    bus.keep_refused(error);
                }
            }),
        );
    }
}

fn drop_store(_: &mut dyn orch_journal::Store) {}

/// Agents that the journal does not know yet.
fn registered(inner: &Inner, state: &State) -> Vec<Record> {
    let mut unknown = inner.registry.entries();
    unknown.retain(|entry| state.agent(entry.id).is_none());
    unknown.sort_unstable_by_key(|entry| entry.number);
    let registered = unknown.into_iter().map(|entry| Record::AgentRegistered {
        agent: entry.id,
        config: orch_core::AgentConfig::clone(&entry.config),
        parent: entry.parent,
    });
    registered.collect()
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
