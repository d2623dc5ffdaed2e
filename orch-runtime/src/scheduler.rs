//! Hands messages out to attempts, and takes back what they settle.
//!
//! Each agent has its state behind a lock of its own; the run's core is locked only for what is rare:
//! failures, backoffs, the end. What is decided under a lock is decided by the pure parts (`Guards`,
//! `AgentState`, `verdict`). Senders take none of these locks: they push into a lane and announce the
//! mailbox, and a worker of the [pool](crate::pool) runs the agent. So cost does not grow with idle
//! agents, and nothing polls.
//!
//! Invariants, while the run is `Running`:
//! - an agent that may take a message is announced, queued, or being run;
//! - never more than `max_concurrency` slots are taken;
//! - every delivery is in its mailbox, in flight, parked or capped: nowhere else.
//!
//! Locks are taken in this order: core, the pool's slots, one agent.

mod ending;
mod settle;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use orch_bus::{Delivery, Mailbox};
use orch_connect::DynSession;
use orch_core::{
    AgentId, AgentStatus, DeliveryEvent, DeliveryState, EventKind, MessageId, MessagePriority,
    Severity, StopReason, Timestamp,
};
use orch_journal::Record;
use orch_policy::Restarts;

use crate::agent_state::{Agent, AgentState, Held, Parked, Taken};
use crate::durable::Resumed;
use crate::guards::Admit;
use crate::metrics::saturate;
use crate::pool::{Order, Waiting};
use crate::run::{Run, announce_again};
use crate::turn::whatever_observers_do;

pub(crate) use settle::{AgentFate, Settled, Settling};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Nothing is handed out any more; handlers in flight may end.
    Draining(StopReason),
    /// Nothing is in flight (or nobody waits for it any longer).
    Ended(StopReason),
}

/// What is rare in a run.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) phase: Phase,
    /// When backoffs end, and whose.
    timers: BTreeSet<(Timestamp, usize)>,
    /// Failed agents, the first one first.
    failed: Vec<(AgentId, String)>,
}

/// The agents of a run that had something to do.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Where they are in the run's table.
    index: HashMap<AgentId, usize>,
    /// Mailboxes that announced themselves and belong to no registered agent.
    foreign: Vec<Arc<Mailbox>>,
}

/// What is done after an agent's lock, because it takes another lock, or calls code that is not ours.
/// For nearly every message nothing, so that costs nothing.
#[derive(Debug, Default)]
#[must_use]
struct After(Option<Box<Rest>>);

#[derive(Debug, Default)]
struct Rest {
    /// Deliveries that go back into their mailboxes.
    put_back: Vec<Delivery>,
    /// Guards that tripped.
    tripped: Vec<EventKind>,
    /// Timers to be set.
    timers: Vec<(Timestamp, usize)>,
    /// The run stops for this reason.
    stop: Option<StopReason>,
}

impl After {
    fn rest(&mut self) -> &mut Rest {
        self.0.get_or_insert_default()
    }
}

/// A message on its way into a handler.
#[derive(Debug)]
pub(crate) struct HandOut<'a> {
    pub(crate) delivery: Held<'a>,
    pub(crate) state: DeliveryState,
    pub(crate) attempt: u32,
    pub(crate) round: u64,
    pub(crate) now: Timestamp,
    /// Its deadline has come: it is not handled, but given up.
    pub(crate) is_expired: bool,
    /// Whether its agent was idle before.
    pub(crate) was_idle: bool,
}

/// What an activation does next.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// It handles this message.
    HandOut(HandOut<'a>, Spare),
    /// It ends, and leaves messages of this urgency to another activation.
    Again(MessagePriority),
    /// It ends.
    Rest,
}

/// A session of an agent, if it has one that nobody uses.
pub(crate) type Spare = Option<Box<dyn DynSession>>;

impl Core {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Running, timers: BTreeSet::new(), failed: Vec::new() }
    }

    /// When the next backoff ends.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }
}

impl Run {
    /// The agent of a mailbox; `None` if it belongs to no registered agent.
    pub(crate) fn known(&self, mailbox: &Arc<Mailbox>) -> Option<&Arc<Agent>> {
        let slot = mailbox.slot();
        if slot >> 32 == u64::from(self.tag) {
            return self.agents.get(slot as u32 as usize);
        }
        self.meet(mailbox)
    }

    /// Meets an agent for the first time in this run.
    fn meet(&self, mailbox: &Arc<Mailbox>) -> Option<&Arc<Agent>> {
        let mut met = self.met();
        let index = match met.index.get(&mailbox.agent()) {
            Some(index) => *index,
            None => {
                let Some(entry) = self.inner.registry.entry(mailbox.agent()) else {
                    if !mailbox.is_closed() {
                        met.foreign.push(mailbox.clone());
                    }
                    return None;
                };
                let id = entry.id;
                let restarts = Restarts::new(self.options.intensity);
                let counts = self.continued.as_ref().map(|it| it.counts(id)).unwrap_or_default();
                let agent =
                    |index| Arc::new(Agent::new(index, entry, mailbox.clone(), restarts, counts));
                let index = self.agents.push_with(agent);
                met.index.insert(id, index);
                index
            }
        };
        let agent = self.agents.get(index)?;
        if !Arc::ptr_eq(&agent.mailbox, mailbox) {
            // Made anew after the one that this run looks at was removed: for the next run.
            met.foreign.push(mailbox.clone());
            return None;
        }
        mailbox.set_slot(u64::from(self.tag) << 32 | index as u64);
        Some(agent)
    }

    /// The next message of an agent, if it may take one; else the agent is let go of, or left to
    /// another activation.
    fn hand_out<'a>(
        &self,
        agent: &'a Agent,
        state: &mut AgentState,
        now: Timestamp,
        after: &mut After,
    ) -> Next<'a> {
        loop {
            // While the run stops, an agent is just left; the end announces it again.
            if !self.is_running() {
                return Next::Rest;
            }
            let out = match state.take(agent, now) {
                None => return Next::Rest,
                Some(Taken::Again(parked)) => Some(begin_again(agent, parked, now)),
                Some(Taken::Fresh(delivery)) => self.begin(agent, state, delivery, now, after),
            };
            let Some(mut out) = out else {
                // It was taken and must not be handled; the next one may be less urgent than others'.
                if self.pool.is_scarce() {
                    return state.release(agent, now).map_or(Next::Rest, Next::Again);
                }
                continue;
            };
            // Under the lock, so that it stands as the last of what happened to the agent.
            out.was_idle = agent.entry.set_status(&AgentStatus::Processing);
            state.in_flight += 1;
            self.count_round(out.round);
            return Next::HandOut(out, state.sessions.pop());
        }
    }

    /// The first message of an activation.
    pub(crate) fn first<'a>(&self, agent: &'a Agent, now: Timestamp) -> Next<'a> {
        // Nothing is announced of an agent that is being run; letting go of it changes that.
        let _ = agent.mailbox.claim();
        let mut after = After::default();
        let mut state = agent.lock();
        let now = self.exact(&state, now);
        let next = self.hand_out(agent, &mut state, now, &mut after);
        if matches!(next, Next::HandOut(..)) && agent.concurrency() > 1 {
            // Others may take more of it meanwhile.
            if let Some(urgency) = state.release(agent, now) {
                self.pool.attachment.announce(agent.mailbox.clone(), urgency);
            }
        }
        drop(state);
        if matches!(next, Next::Rest) && self.has_ended() {
            // The end may have left it as the next run expects it before it was claimed above.
            announce_again(vec![agent.mailbox.clone()]);
        }
        self.after_the_lock(after);
        next
    }

    /// The time to look at an agent with. Its timer has gone off by the clock, and does so once: a
    /// reading that is shared may lie before, and what is between two attempts would wait for good.
    fn exact(&self, state: &AgentState, now: Timestamp) -> Timestamp {
        if state.parked.is_empty() { now } else { self.clock.now() }
    }

    #[inline]
    fn after_the_lock(&self, after: After) {
        if let Some(rest) = after.0 {
            self.do_after_the_lock(*rest);
        }
    }

    #[cold]
    fn do_after_the_lock(&self, rest: Rest) {
        let Rest { put_back, tripped, timers, stop } = rest;
        if !timers.is_empty() {
            self.lock().timers.extend(timers);
            // The driver sleeps until the first timer.
            self.signal.notify_one();
        }
        if let Some(reason) = stop {
            self.stop_for(reason);
        }
        // The caller goes on: it may have taken another message.
        whatever_observers_do(|| {
            put_back.into_iter().rev().for_each(Delivery::put_back);
            for guard in tripped {
                self.record_trip(&guard);
                self.inner.bus.events().emit(Severity::Warn, || guard);
            }
        });
    }

    fn begin<'a>(
        &self,
        agent: &Agent,
        state_of: &mut AgentState,
        delivery: Held<'a>,
        now: Timestamp,
        after: &mut After,
    ) -> Option<HandOut<'a>> {
        // A reading that is shared may be of a time before the deadline.
        let now = if delivery.deadline().is_some() { self.clock.now() } else { now };
        // Attempts that failed before it was put back count; those that were cut off do not.
        let attempt = saturate(delivery.attempts().len() as u64).saturating_add(1);
        let accepted = DeliveryState::Queued { attempt, ready_at: Timestamp::default() };
        if delivery.is_expired(now) {
            let round = state_of.counts.last_round;
            return Some(HandOut {
                is_expired: true,
                ..out(agent, delivery, accepted, round, now)
            });
        }
        let resumed = self.resumed(delivery.id());
        let admit = match resumed.and_then(|it| it.round) {
            Some(round) => self.guards.admit_again(round),
            None => self.guards.admit(&mut state_of.counts, delivery.origin()),
        };
        match admit {
            Admit::HandOut { round } => {
                if attempt > 1
                    && let Some(due) = resumed.and_then(|it| it.due).filter(|due| *due > now)
                {
                    // A restart came between two attempts; the pause goes on.
                    let state = DeliveryState::Queued { attempt, ready_at: due };
                    let delivery = delivery.into_owned();
                    state_of.parked.push(Parked { delivery, state, due, round });
                    after.rest().timers.push((due, agent.index));
                    return None;
                }
                Some(out(agent, delivery, accepted, round, now))
            }
            Admit::AboveIterations { round } => {
                state_of.capped.push(delivery.into_owned());
                if !self.is_capped.swap(true, Ordering::AcqRel) {
                    let limit = self.guards.limit().max_iterations.into();
                    after.rest().tripped.push(tripped("max_iterations", round, limit, None));
                }
                None
            }
            Admit::TooManyMessages { count } => {
                let agent_id = agent.entry.id;
                after.rest().put_back.push(delivery.into_owned());
                let guard = "max_messages_per_agent";
                after.rest().tripped.push(tripped(guard, count + 1, count, Some(agent_id)));
                let count = saturate(count);
                after.rest().stop = Some(StopReason::MaxMessagesPerAgent { agent_id, count });
                // The stop is made after the lock; nothing more is taken until then.
                self.stop_handing_out();
                None
            }
        }
    }

    /// Where the handling of a message goes on that an earlier process began.
    fn resumed(&self, message: MessageId) -> Option<Resumed> {
        self.durable.as_ref()?.take_resumed(message)
    }

    /// Records that a guard tripped.
    pub(crate) fn record_trip(&self, event: &EventKind) {
        if let Some(durable) = &self.durable
            && let EventKind::GuardTripped { guard, figure, limit, agent } = event.clone()
        {
            durable.tell(vec![Record::GuardTripped { guard, figure, limit, agent }]);
        }
    }

    /// Makes agents ready whose backoff is over.
    pub(crate) fn fire_timers(&self) {
        let now = self.clock.now();
        let mut core = self.lock();
        while let Some(&(at, index)) = core.timers.first() {
            if at > now {
                break;
            }
            core.timers.pop_first();
            let Some(agent) = self.agents.get(index) else { continue };
            let urgency = agent.lock().floor();
            if let Some(urgency) = urgency {
                self.pool.attachment.announce(agent.mailbox.clone(), urgency);
            }
        }
        drop(core);
        // Nothing may be left to do now, and only a worker notices.
        self.pool.attachment.wake();
    }

    /// The agents that have an attempt under way.
    pub(crate) fn busy_agents(&self) -> Vec<AgentId> {
        let busy = self.agents.iter().filter(|agent| agent.lock().in_flight > 0);
        busy.map(|agent| agent.entry.id).collect()
    }

    /// Takes out what waits between attempts or above a limit, to be put back (the last one first,
    /// which needs no search for its place), and all mailboxes that this run looked at.
    pub(crate) fn clear(&self) -> (Vec<Delivery>, Vec<Arc<Mailbox>>) {
        self.lock().timers.clear();
        let mut deliveries = Vec::new();
        let mut mailboxes = std::mem::take(&mut self.met().foreign);
        for agent in self.agents.iter() {
            let mut state = agent.lock();
            deliveries.extend(state.parked.drain(..).map(|parked| parked.delivery));
            deliveries.append(&mut state.capped);
            mailboxes.push(agent.mailbox.clone());
        }
        deliveries.reverse();
        mailboxes.extend(self.pool.clear());
        (deliveries, mailboxes)
    }
}

fn begin_again(agent: &Agent, parked: Parked, now: Timestamp) -> HandOut<'_> {
    let Parked { delivery, state, due: _, round } = parked;
    let delivery = delivery.borrowed(&agent.mailbox);
    // It may have waited for a slot since its backoff was over.
    let is_expired = delivery.is_expired(now);
    HandOut { is_expired, ..out(agent, delivery, state, round, now) }
}

fn out<'a>(
    agent: &Agent,
    delivery: Held<'a>,
    state: DeliveryState,
    round: u64,
    now: Timestamp,
) -> HandOut<'a> {
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
    HandOut { delivery, state, attempt, round, now, is_expired: false, was_idle: false }
}

impl Order for Run {
    fn place(&self, mailbox: &Arc<Mailbox>, waiting: &mut Waiting<'_>) {
        let Some(agent) = self.known(mailbox) else { return };
        let mut state = agent.lock();
        match (state.urgency(agent, self.clock.now()), state.place) {
            (Some(urgency), place) => state.place = waiting.place(mailbox, place, urgency),
            (None, Some(place)) => {
                waiting.remove(place);
                state.place = None;
            }
            (None, None) => {}
        }
    }

    fn unplace(&self, mailbox: &Arc<Mailbox>) {
        if let Some(agent) = self.known(mailbox) {
            agent.lock().place = None;
        }
    }
}

fn tripped(guard: &str, figure: u64, limit: u64, agent: Option<AgentId>) -> EventKind {
    EventKind::GuardTripped { guard: guard.to_owned(), figure, limit, agent }
}
