//! One agent in one run: what it handles, what it tries again, and what it may take next. Decisions
//! only; whoever holds the scheduler's lock calls them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    pub(crate) entry: Arc<Entry>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Asked for outside of the scheduler's lock, because whether the agent can run is for the
    /// connector to say: code that is not ours, and that may read the disk.
    connector: OnceLock<Result<Arc<dyn DynConnector>, ConnectError>>,
    /// Sessions that nobody uses now; they live as long as the run.
    sessions: Mutex<Vec<Box<dyn DynSession>>>,
}

impl Agent {
    pub(crate) fn new(entry: Arc<Entry>, mailbox: Arc<Mailbox>) -> Self {
        Self { entry, mailbox, connector: OnceLock::new(), sessions: Mutex::default() }
    }

    /// What drives the agent, or why it cannot run; `find` is asked once.
    pub(crate) fn connector(
        &self,
        find: impl FnOnce() -> Result<Arc<dyn DynConnector>, ConnectError>,
    ) -> &Result<Arc<dyn DynConnector>, ConnectError> {
        self.connector.get_or_init(find)
    }

    pub(crate) fn take_session(&self) -> Option<Box<dyn DynSession>> {
        self.sessions().pop()
    }

    pub(crate) fn keep_session(&self, session: Box<dyn DynSession>) {
        self.sessions().push(session);
    }

    pub(crate) fn take_sessions(&self) -> Vec<Box<dyn DynSession>> {
        std::mem::take(&mut *self.sessions())
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn DynSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What an agent takes next.
#[derive(Debug)]
pub(crate) enum Taken {
    Fresh(Delivery),
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
    pub(crate) agent: Arc<Agent>,
    pub(crate) stage: Stage,
    /// Where it waits for a slot. Invariant: `Some` exactly while it is in the ready set.
    pub(crate) place: Option<Place>,
    /// Attempts under way, those that wait without a slot included.
    pub(crate) in_flight: u32,
    pub(crate) counts: AgentCounts,
    /// Messages in their backoff, or whose backoff is over and which have no slot yet.
    pub(crate) parked: Vec<Parked>,
    /// Messages that would be above the limit of iterations; they go back when the run ends.
    pub(crate) capped: Vec<Delivery>,
    pub(crate) restarts: Restarts,
}

impl AgentState {
    pub(crate) fn new(agent: Arc<Agent>, restarts: Restarts) -> Self {
        Self {
            agent,
            stage: Stage::Active,
            place: None,
            in_flight: 0,
            counts: AgentCounts::default(),
            parked: Vec::new(),
            capped: Vec::new(),
            restarts,
        }
    }

    /// Whether it would go on if there were no limit of iterations.
    pub(crate) fn is_capped(&self) -> bool {
        let goes_on = self.stage == Stage::Active && !self.agent.entry.is_gone();
        goes_on && !self.capped.is_empty()
    }

    /// Which arrivals could change what it takes next.
    pub(crate) fn announce(&self) -> Announce {
        if !self.has_capacity() {
            return Announce::Nothing;
        }
        // While a message is between two attempts, none of the same or a lower priority is taken.
        self.floor().map_or(Announce::Every, Announce::Above)
    }

    /// How urgent the next message is that it may take at `now`.
    pub(crate) fn urgency(&self, now: Timestamp) -> Option<MessagePriority> {
        if !self.has_capacity() {
            return None;
        }
        let waiting = self.agent.mailbox.most_urgent();
        match self.floor() {
            None => waiting,
            Some(floor) if waiting > Some(floor) => waiting,
            Some(floor) => self.due(floor, now).map(|_| floor),
        }
    }

    /// Takes the message that `urgency` spoke of.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Taken> {
        if !self.has_capacity() {
            return None;
        }
        let mailbox = &self.agent.mailbox;
        let Some(floor) = self.floor() else { return mailbox.try_checkout().map(Taken::Fresh) };
        if let Some(above) = above(floor)
            && let Some(delivery) = mailbox.try_checkout_from(above)
        {
            return Some(Taken::Fresh(delivery));
        }
        let due = self.due(floor, now)?;
        Some(Taken::Again(self.parked.remove(due)))
    }

    /// The highest priority of a message between two attempts.
    fn floor(&self) -> Option<MessagePriority> {
        self.parked.iter().map(|parked| parked.delivery.priority()).max()
    }

    /// Of the messages of this priority, the one whose backoff was over first.
    fn due(&self, priority: MessagePriority, now: Timestamp) -> Option<usize> {
        let due = |parked: &Parked| parked.due <= now && parked.delivery.priority() == priority;
        let due = self.parked.iter().enumerate().filter(|(_, parked)| due(parked));
        due.min_by_key(|(_, parked)| parked.due).map(|(i, _)| i)
    }

    fn has_capacity(&self) -> bool {
        self.stage == Stage::Active
            && self.in_flight < self.agent.entry.config.concurrency.max(1)
            && !self.agent.entry.is_gone()
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
