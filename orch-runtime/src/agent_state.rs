//! One agent in one run: what it handles, what it tries again, and what it may take next. Decisions
//! only; each agent has a lock of its own around its state, and whoever holds it calls them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use orch_bus::{Announce, Delivery, Mailbox};
use orch_connect::{ConnectError, DynConnector, DynSession};
use orch_core::{DeliveryState, MessagePriority, Timestamp};
use orch_policy::Restarts;

use crate::guards::AgentCounts;
use crate::ready::Place;
use crate::registry::Entry;

/// What is the same for all attempts of an agent in one run.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Where it is in the run's table.
    pub(crate) index: usize,
    pub(crate) entry: Arc<Entry>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Asked for outside of any lock, because whether the agent can run is for the connector to say:
    /// code that is not ours, and that may read the disk.
    connector: OnceLock<Result<Arc<dyn DynConnector>, ConnectError>>,
    state: Mutex<AgentState>,
}

impl Agent {
    pub(crate) fn new(
        index: usize,
        entry: Arc<Entry>,
        mailbox: Arc<Mailbox>,
        restarts: Restarts,
        counts: AgentCounts,
    ) -> Self {
        let state = Mutex::new(AgentState { counts, ..AgentState::new(restarts) });
        Self { index, entry, mailbox, connector: OnceLock::new(), state }
    }

    /// What drives the agent, or why it cannot run; `find` is asked once.
    pub(crate) fn connector(
        &self,
        find: impl FnOnce() -> Result<Arc<dyn DynConnector>, ConnectError>,
    ) -> &Result<Arc<dyn DynConnector>, ConnectError> {
        self.connector.get_or_init(find)
    }

    /// Held for a decision, and never while code runs that is not ours. Whoever takes it together
    /// with the run's core or the pool's slots has taken those before.
    pub(crate) fn lock(&self) -> MutexGuard<'_, AgentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages it handles at a time.
    pub(crate) fn concurrency(&self) -> u32 {
        self.entry.config.concurrency.max(1)
    }
}

/// A message between two attempts.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) delivery: Delivery,
    /// Invariant: `Queued`.
    pub(crate) state: DeliveryState,
    pub(crate) due: Timestamp,
    pub(crate) round: u64,
}

/// A delivery on its way through an attempt.
pub(crate) type Held<'a> = Delivery<&'a Arc<Mailbox>>;

/// What an agent takes next.
#[derive(Debug)]
pub(crate) enum Taken<'a> {
    Fresh(Held<'a>),
    Again(Parked),
}

/// Whether an agent takes messages at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Active,
    Failed,
    Retired,
}

#[derive(Debug)]
pub(crate) struct AgentState {
    pub(crate) stage: Stage,
    /// Where it waits for a slot while slots are scarce.
    pub(crate) place: Option<Place>,
    /// Attempts under way, those that wait without a slot included.
    pub(crate) in_flight: u32,
    pub(crate) counts: AgentCounts,
    /// Messages in their backoff, or whose backoff is over and which have no slot yet.
    pub(crate) parked: Vec<Parked>,
    /// Messages that would be above the limit of iterations; they go back when the run ends.
    pub(crate) capped: Vec<Delivery>,
    pub(crate) restarts: Restarts,
    /// Sessions that nobody uses now; they live as long as the run.
    pub(crate) sessions: Vec<Box<dyn DynSession>>,
}

impl AgentState {
    fn new(restarts: Restarts) -> Self {
        Self {
            stage: Stage::Active,
            place: None,
            in_flight: 0,
            counts: AgentCounts::default(),
            parked: Vec::new(),
            capped: Vec::new(),
            restarts,
            sessions: Vec::new(),
        }
    }

    /// Whether it would go on if there were no limit of iterations.
    pub(crate) fn is_capped(&self, agent: &Agent) -> bool {
        let goes_on = self.stage == Stage::Active && !agent.entry.is_unregistered();
        goes_on && !self.capped.is_empty()
    }

    /// Lets go of the agent, and answers how urgent the next message is that it may take at `now`.
    /// What arrives later and could be taken announces it.
    pub(crate) fn release(&self, agent: &Agent, now: Timestamp) -> Option<MessagePriority> {
        // Before looking: what arrives after this is announced, what arrived before is seen.
        agent.mailbox.announce(self.announce(agent));
        self.urgency(agent, now)
    }

    /// Which arrivals could change what it takes next.
    fn announce(&self, agent: &Agent) -> Announce {
        if !self.has_capacity(agent) {
            return Announce::Nothing;
        }
        // While a message is between two attempts, none of the same or a lower priority is taken.
        self.floor().map_or(Announce::Every, Announce::Above)
    }

    /// How urgent the next message is that it may take at `now`.
    pub(crate) fn urgency(&self, agent: &Agent, now: Timestamp) -> Option<MessagePriority> {
        if !self.has_capacity(agent) {
            return None;
        }
        let waiting = agent.mailbox.most_urgent();
        match self.floor() {
            None => waiting,
            Some(floor) if waiting > Some(floor) => waiting,
            Some(floor) => self.due(floor, now).map(|_| floor),
        }
    }

    /// Takes the next message. After `None` the agent is let go of, as by [`release`](Self::release).
    pub(crate) fn take<'a>(&mut self, agent: &'a Agent, now: Timestamp) -> Option<Taken<'a>> {
        let mailbox = &agent.mailbox;
        if !self.has_capacity(agent) {
            mailbox.announce(Announce::Nothing);
            return None;
        }
        let Some(floor) = self.floor() else {
            return mailbox.checkout_or_rest().map(Taken::Fresh);
        };
        loop {
            if let Some(above) = above(floor)
                && let Some(delivery) = mailbox.try_checkout_from(above)
            {
                return Some(Taken::Fresh(delivery.borrowed(mailbox)));
            }
            if let Some(due) = self.due(floor, now) {
                return Some(Taken::Again(self.parked.remove(due)));
            }
            self.release(agent, now)?;
        }
    }

    /// The highest priority of a message between two attempts.
    pub(crate) fn floor(&self) -> Option<MessagePriority> {
        self.parked.iter().map(|parked| parked.delivery.priority()).max()
    }

    /// Of the messages of this priority, the one whose backoff was over first.
    fn due(&self, priority: MessagePriority, now: Timestamp) -> Option<usize> {
        let due = |parked: &Parked| parked.due <= now && parked.delivery.priority() == priority;
        let due = self.parked.iter().enumerate().filter(|(_, parked)| due(parked));
        due.min_by_key(|(_, parked)| parked.due).map(|(i, _)| i)
    }

    fn has_capacity(&self, agent: &Agent) -> bool {
        self.stage == Stage::Active
            && self.in_flight < agent.concurrency()
            && !agent.entry.is_unregistered()
    }
}

fn above(priority: MessagePriority) -> Option<MessagePriority> {
    match priority {
        MessagePriority::Low => Some(MessagePriority::Normal),
        MessagePriority::Normal => Some(MessagePriority::High),
        MessagePriority::High => Some(MessagePriority::Critical),
        MessagePriority::Critical => None,
    }
}
