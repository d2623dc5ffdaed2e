//! Hands ready agents to workers, and takes back what they settle.
//!
//! One lock around the state of a run; what is decided under it is decided by the pure parts
//! (`ReadySet`, `Guards`, `AgentState`). Senders never take this lock: they push into a lane and
//! announce the mailbox, and whoever looks for work next looks at the announcements first. So cost
//! does not grow with idle agents, and nothing polls.
//!
//! Invariants, while the run is `Running`:
//! - an agent is in the ready set exactly if it may take a message now;
//! - `running` slots are taken, never more than `max_concurrency`;
//! - every delivery is in its mailbox, in flight, parked or capped: nowhere else.

mod ending;
mod settle;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use orch_bus::{Delivery, Mailbox};
use orch_core::{
    AgentId, AgentStatus, DeliveryEvent, DeliveryState, EventKind, MessagePriority, Severity,
    StopReason, Timestamp,
};
use orch_policy::Restarts;

use crate::agent_state::{Agent, AgentState, Parked, Taken};
use crate::guards::{Admit, Guards};
use crate::metrics::saturate;
use crate::ready::ReadySet;
use crate::run::Run;
use crate::slot::{Slot, SlotHolder};

pub(crate) use settle::{AgentFate, Settling};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Nothing is handed out any more; handlers in flight may end.
    Draining(StopReason),
    /// Nothing is in flight (or nobody waits for it any longer).
    Ended(StopReason),
}

#[derive(Debug)]
enum Waiter {
    /// An agent that may take a message.
    Agent(usize),
    /// A handler that has waited and wants to go on.
    Handler(Arc<SlotHolder>),
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) phase: Phase,
    agents: Vec<AgentState>,
    index: HashMap<AgentId, usize>,
    ready: ReadySet<Waiter>,
    /// When backoffs end, and whose.
    timers: BTreeSet<(Timestamp, usize)>,
    running: usize,
    in_flight: usize,
    guards: Guards,
    /// Failed agents, the first one first.
    failed: Vec<(AgentId, String)>,
    /// Mailboxes that announced themselves and belong to no registered agent.
    foreign: Vec<Arc<Mailbox>>,
    /// Whether a message was above the limit of iterations.
    is_capped: bool,
    /// What whoever holds the lock does after it, because it may call code that is not ours.
    after: After,
}

/// What is done after the lock.
#[derive(Debug, Default)]
#[must_use]
struct After {
    /// Deliveries that go back into their mailboxes.
    put_back: Vec<Delivery>,
    /// Guards that tripped.
    tripped: Vec<EventKind>,
}

/// A message on its way into a handler.
#[derive(Debug)]
pub(crate) struct HandOut {
    pub(crate) index: usize,
    pub(crate) agent: Arc<Agent>,
    pub(crate) delivery: Delivery,
    pub(crate) state: DeliveryState,
    pub(crate) attempt: u32,
    pub(crate) round: u64,
    pub(crate) now: Timestamp,
    /// Its deadline has come: it is not handled, but given up.
    pub(crate) is_expired: bool,
    /// Whether its agent was idle before.
    pub(crate) was_idle: bool,
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    HandOut(HandOut, Slot),
    Wait,
    Ended,
}

impl Core {
    pub(crate) fn new(guards: Guards) -> Self {
        Self {
            phase: Phase::Running,
            agents: Vec::new(),
            index: HashMap::new(),
            ready: ReadySet::default(),
            timers: BTreeSet::new(),
            running: 0,
            in_flight: 0,
            guards,
            failed: Vec::new(),
            foreign: Vec::new(),
            is_capped: false,
            after: After::default(),
        }
    }

    /// When the next backoff ends.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn highest_round(&self) -> u64 {
        self.guards.highest_round()
    }

    /// The agents that have an attempt under way.
    pub(crate) fn busy_agents(&self) -> Vec<AgentId> {
        let busy = self.agents.iter().filter(|state| state.in_flight > 0);
        busy.map(|state| state.agent.entry.id).collect()
    }

    pub(crate) fn agents(&self) -> Vec<Arc<Agent>> {
        self.agents.iter().map(|state| state.agent.clone()).collect()
    }

    /// Takes out what waits between attempts or above a limit, to be put back (the last one first,
    /// which needs no search for its place), and all mailboxes that this run looked at.
    pub(crate) fn clear(&mut self) -> (Vec<Delivery>, Vec<Arc<Mailbox>>) {
        self.timers.clear();
        let mut deliveries = Vec::new();
        let mut mailboxes = std::mem::take(&mut self.foreign);
        for state in &mut self.agents {
            deliveries.extend(state.parked.drain(..).map(|parked| parked.delivery));
            deliveries.append(&mut state.capped);
            mailboxes.push(state.agent.mailbox.clone());
        }
        deliveries.reverse();
        (deliveries, mailboxes)
    }

    /// Puts an agent into the ready set, or where it belongs in it, or takes it out.
    fn refresh(&mut self, i: usize, now: Timestamp) {
        let state = &mut self.agents[i];
        // Before looking: what arrives after this is announced, what arrived before is seen.
        state.agent.mailbox.announce(state.announce());
        state.place = match (state.place, state.urgency(now)) {
            (None, None) => None,
            (None, Some(urgency)) => Some(self.ready.add(urgency, Waiter::Agent(i))),
            (Some(place), None) => {
                self.ready.remove(place);
                None
            }
            (Some(place), Some(urgency)) if place.urgency() == urgency => Some(place),
            (Some(place), Some(urgency)) => self.ready.change(place, urgency),
        };
    }

    fn drain(&mut self, reason: StopReason) -> bool {
        let drains = self.phase == Phase::Running;
        if drains {
            self.phase = Phase::Draining(reason);
        }
        drains
    }

    /// Why a run ends in which nothing is left to do.
    fn reason_at_rest(&self) -> StopReason {
        if self.is_stuck_above_iterations() {
            return StopReason::MaxIterations;
        }
        let is_there = |agent: &AgentId| !self.agents[self.index[agent]].agent.entry.is_gone();
        match self.failed.iter().find(|(agent, _)| is_there(agent)) {
            Some((agent_id, error)) => {
                StopReason::AgentError { agent_id: *agent_id, error: error.clone() }
            }
            None => StopReason::Completed,
        }
    }

    /// Nothing is in flight or ready, and no backoff will end: what is parked all the same belongs
    /// to agents that take nothing any more, and goes back when the run ends.
    fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && self.ready.is_empty() && self.timers.is_empty()
    }

    fn is_stuck_above_iterations(&self) -> bool {
        self.is_capped && self.agents.iter().any(AgentState::is_capped)
    }
}

impl Run {
    /// Adds the agents whose mailboxes announced themselves, and answers them.
    pub(crate) fn look_at_announced(&self, core: &mut Core, now: Timestamp) {
        for mailbox in self.attachment.take_announced() {
            match self.known(core, &mailbox) {
                Some(i) => core.refresh(i, now),
                None if mailbox.is_closed() => {}
                None => core.foreign.push(mailbox),
            }
        }
    }

    /// The agent of a mailbox, met for the first time or again.
    fn known(&self, core: &mut Core, mailbox: &Arc<Mailbox>) -> Option<usize> {
        if let Some(i) = core.index.get(&mailbox.agent()) {
            return Some(*i);
        }
        let entry = self.inner.registry.entry(mailbox.agent())?;
        let i = core.agents.len();
        core.index.insert(entry.id, i);
        let restarts = Restarts::new(self.options.intensity);
        let agent = Arc::new(Agent::new(entry, mailbox.clone()));
        core.agents.push(AgentState::new(agent, restarts));
        Some(i)
    }

    /// What a worker does next.
    pub(crate) fn next(self: &Arc<Self>) -> Next {
        let mut core = self.lock();
        if matches!(core.phase, Phase::Ended(_)) {
            return Next::Ended;
        }
        let now = self.clock.now();
        self.look_at_announced(&mut core, now);
        let picked = self.pick(&mut core, now);
        if picked.is_none() {
            self.end_at_rest(&mut core);
        }
        let more = core.running < self.options.max_concurrency && !core.ready.is_empty();
        let has_ended = matches!(core.phase, Phase::Ended(_));
        let after = std::mem::take(&mut core.after);
        drop(core);
        self.after_the_lock(after);
        match picked {
            Some((out, slot)) => {
                if more {
                    self.wake_a_worker();
                }
                Next::HandOut(out, slot)
            }
            None if has_ended => Next::Ended,
            None => Next::Wait,
        }
    }

    fn after_the_lock(&self, after: After) {
        let After { put_back, tripped } = after;
        put_back.into_iter().rev().for_each(Delivery::put_back);
        for guard in tripped {
            self.inner.bus.events().emit(Severity::Warn, || guard);
        }
    }

    /// The next message to handle, if there is a slot; slots for handlers that waited are given out
    /// on the way.
    fn pick(self: &Arc<Self>, core: &mut Core, now: Timestamp) -> Option<(HandOut, Slot)> {
        while core.running < self.options.max_concurrency {
            let (_, waiter) = core.ready.pop()?;
            let i = match waiter {
                Waiter::Agent(i) => i,
                Waiter::Handler(handler) => {
                    core.running += 1;
                    if let Err(slot) = handler.grant(Slot::new(self.clone())) {
                        // The handler waits again, or its turn is over.
                        slot.forget();
                        core.running -= 1;
                    }
                    continue;
                }
            };
            core.agents[i].place = None;
            // While the run drains, an agent just leaves the ready set; the end announces it again.
            if core.phase == Phase::Running
                && let Some(out) = self.hand_out(core, i, now)
            {
                core.running += 1;
                return Some((out, Slot::new(self.clone())));
            }
        }
        None
    }

    fn hand_out(&self, core: &mut Core, i: usize, now: Timestamp) -> Option<HandOut> {
        let taken = core.agents[i].take(now);
        let mut out = match taken {
            None => None,
            Some(Taken::Again(parked)) => Some(self.begin_again(core, i, parked, now)),
            Some(Taken::Fresh(delivery)) => self.begin(core, i, delivery, now),
        };
        if let Some(out) = &mut out {
            // Under the lock, so that it stands as the last of what happened to the agent.
            out.was_idle = out.agent.entry.set_status(&AgentStatus::Processing);
            core.agents[i].in_flight += 1;
            core.in_flight += 1;
            self.count_in_flight(core.in_flight);
            self.count_rounds(core.highest_round());
        }
        core.refresh(i, now);
        out
    }

    fn begin(
        &self,
        core: &mut Core,
        i: usize,
        delivery: Delivery,
        now: Timestamp,
    ) -> Option<HandOut> {
        let state = &mut core.agents[i];
        // Attempts that failed before it was put back count; those that were cut off do not.
        let attempt = saturate(delivery.attempts().len() as u64).saturating_add(1);
        let accepted = DeliveryState::Queued { attempt, ready_at: Timestamp::default() };
        if delivery.is_expired(now) {
            let round = state.counts.last_round;
            let agent = state.agent.clone();
            return Some(HandOut {
                is_expired: true,
                ..self.out(i, agent, delivery, accepted, round, now)
            });
        }
        match core.guards.admit(&mut state.counts, delivery.origin()) {
            Admit::HandOut { round } => {
                let agent = state.agent.clone();
                Some(self.out(i, agent, delivery, accepted, round, now))
            }
            Admit::AboveIterations { round } => {
                core.agents[i].capped.push(delivery);
                if !std::mem::replace(&mut core.is_capped, true) {
                    let limit = core.guards.limit().max_iterations.into();
                    core.after.tripped.push(tripped("max_iterations", round, limit, None));
                }
                None
            }
            Admit::TooManyMessages { count } => {
                let agent_id = state.agent.entry.id;
                core.after.put_back.push(delivery);
                let guard = "max_messages_per_agent";
                core.after.tripped.push(tripped(guard, count + 1, count, Some(agent_id)));
                let count = saturate(count);
                self.drain(core, StopReason::MaxMessagesPerAgent { agent_id, count });
                None
            }
        }
    }

    fn begin_again(&self, core: &mut Core, i: usize, parked: Parked, now: Timestamp) -> HandOut {
        let agent = core.agents[i].agent.clone();
        let Parked { delivery, state, due: _, round } = parked;
        // It may have waited for a slot since its backoff was over.
        let is_expired = delivery.is_expired(now);
        HandOut { is_expired, ..self.out(i, agent, delivery, state, round, now) }
    }

    fn out(
        &self,
        index: usize,
        agent: Arc<Agent>,
        delivery: Delivery,
        state: DeliveryState,
        round: u64,
        now: Timestamp,
    ) -> HandOut {
        let deadline = match agent.entry.config.timeout_ms {
            u64::MAX => Timestamp::NEVER,
            millis => now.after(std::time::Duration::from_millis(millis)),
        };
        let started = state.apply(DeliveryEvent::Start { now, deadline });
        let state = started.expect("only a queued delivery that is due is handed out");
        let attempt = match state {
            DeliveryState::Running { attempt, .. } => attempt,
            _ => 1,
        };
        HandOut {
            index,
            agent,
            delivery,
            state,
            attempt,
            round,
            now,
            is_expired: false,
            was_idle: false,
        }
    }

    /// Makes agents ready whose backoff is over.
    pub(crate) fn fire_timers(&self) {
        let now = self.clock.now();
        let mut core = self.lock();
        while let Some(&(at, i)) = core.timers.first() {
            if at > now {
                break;
            }
            core.timers.pop_first();
            core.refresh(i, now);
        }
        drop(core);
        self.wake_a_worker();
    }

    /// Puts a handler that has waited among those who are ready for a slot.
    pub(crate) fn queue_for_slot(&self, urgency: MessagePriority, handler: Arc<SlotHolder>) {
        self.lock().ready.add(urgency, Waiter::Handler(handler));
        self.wake_a_worker();
    }

    pub(crate) fn give_slot_back(&self) {
        self.lock().running -= 1;
        self.wake_a_worker();
    }
}

fn tripped(guard: &str, figure: u64, limit: u64, agent: Option<AgentId>) -> EventKind {
    EventKind::GuardTripped { guard: guard.to_owned(), figure, limit, agent }
}
