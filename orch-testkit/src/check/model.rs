//! What is known after some records: where each message is, what each agent and handler does.

use std::collections::BTreeMap;

use orch_core::{
    AgentConfig, AgentId, AgentMessage, AgentStatus, EventKind, MessageId, MessagePriority,
};

use crate::history::{HandlerEnd, Record, Terms, What, send_of, since_epoch};

#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) terms: &'a Terms,
    pub(super) messages: BTreeMap<MessageId, Message>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    /// Those that have not ended.
    pub(super) handlers: BTreeMap<u64, Handler>,
    pub(super) run: Option<Run>,
    /// Whether somebody stopped the run that is under way.
    pub(super) stop: Option<Stop>,
    /// For each call that sends, the record at which it began last.
    sends: BTreeMap<u64, usize>,
    pub(super) dropped_letters: Vec<MessageId>,
    pub(super) left: Option<BTreeMap<AgentId, Vec<MessageId>>>,
    pub(super) letters: Option<Vec<MessageId>>,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) to: AgentId,
    pub(super) priority: MessagePriority,
    /// The record at which its send began, and the one at which it was accepted.
    pub(super) sending: usize,
    pub(super) accepted: usize,
    pub(super) accepted_at: u64,
    /// The run and the round in which it was sent.
    pub(super) origin: (u64, u64),
    pub(super) deadline: Option<u64>,
    pub(super) place: Place,
    /// Attempts that failed since it was sent (again), however often it was put back. Those that
    /// were cut off do not count.
    pub(super) fails: u32,
    /// How its last attempt ended, and when; `None` while one is under way.
    pub(super) last_end: Option<(HandlerEnd, u64)>,
    /// The output with which a handler acked it.
    pub(super) acked: Option<Option<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    /// An attempt is under way.
    Running {
        round: u64,
        since: u64,
    },
    /// Between two attempts: the round that it keeps, and the time before which nothing begins.
    Parked {
        round: u64,
    },
    Acked,
    Dead,
}

#[derive(Debug, Default)]
pub(super) struct Agent {
    pub(super) config: Option<AgentConfig>,
    pub(super) status: AgentStatus,
    pub(super) is_retired: bool,
    /// Of the run that is under way.
    pub(super) last_round: u64,
    pub(super) handed_out: u64,
    pub(super) has_failed: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Handler {
    pub(super) agent: AgentId,
    pub(super) message: MessageId,
    /// Whether it runs, or waits in a call to its context.
    pub(super) has_slot: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) began_at: u64,
    /// The last record at which it handed out or took back something.
    pub(super) last_act: usize,
    pub(super) failed: Vec<AgentId>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) at: u64,
    pub(super) grace_ms: u64,
}

/// Whether a handler that drops a call to its context, while that waits, has a slot again. As long
/// as the runtime cannot take one there, such a handler goes on without, and is not counted until
/// its next wait has returned.
const DROPPED_WAITS_TAKE_A_SLOT: bool = false;

impl Message {
    /// Whether it is in its mailbox.
    pub(super) fn waits(&self) -> bool {
        self.place == Place::Waiting
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl<'a> Model<'a> {
    pub(super) fn new(terms: &'a Terms) -> Self {
        Self {
            terms,
            messages: BTreeMap::new(),
            agents: BTreeMap::new(),
            handlers: BTreeMap::new(),
            run: None,
            stop: None,
            sends: BTreeMap::new(),
            dropped_letters: Vec::new(),
            left: None,
            letters: None,
        }
    }

    pub(super) fn of_agent(
        &self,
        agent: AgentId,
    ) -> impl Iterator<Item = (MessageId, &Message)> + '_ {
        let of_agent = self.messages.iter().filter(move |(_, message)| message.to == agent);
        of_agent.map(|(id, message)| (*id, message))
    }

    pub(super) fn config(&self, agent: AgentId) -> Option<&AgentConfig> {
        self.agents.get(&agent)?.config.as_ref()
    }

    pub(super) fn handlers_of(&self, agent: AgentId) -> impl Iterator<Item = &Handler> + '_ {
        self.handlers.values().filter(move |handler| handler.agent == agent)
    }

    /// The round in which this message would be handed out now.
    pub(super) fn round_of(&self, message: &Message) -> u64 {
        let last = self.agents.get(&message.to).map_or(0, |agent| agent.last_round);
        let run = self.run.as_ref().map_or(0, |run| run.number);
        let sent_in = if message.origin.0 == run { message.origin.1 } else { 0 };
        1 + last.max(sent_in)
    }

    /// Whether this message would be above the limit of iterations.
    pub(super) fn is_capped(&self, message: &Message) -> bool {
        let limit = self.terms.guard.max_iterations;
        limit != u32::MAX && self.round_of(message) > u64::from(limit)
    }

    pub(super) fn take(&mut self, index: usize, record: &Record) {
        match &record.what {
            What::Told(kind) => self.take_event(index, record.at, kind),
            What::Made(agent, config) => {
                self.agents.entry(*agent).or_default().config = Some((**config).clone());
            }
            What::Began { handler, agent, message, .. } => {
                let new = Handler { agent: *agent, message: *message, has_slot: true };
                self.handlers.insert(*handler, new);
            }
            What::Ended { handler, end } => self.ended(*handler, end, record.at),
            What::WaitBegan { handler } => self.slot(*handler, false),
            What::WaitEnded { handler } => self.slot(*handler, true),
            What::WaitDropped { handler } => self.slot(*handler, DROPPED_WAITS_TAKE_A_SLOT),
            What::Sending { send } => drop(self.sends.insert(*send, index)),
            What::StartCalled if self.run.is_none() => self.stop = None,
            What::StartDropped => self.stop(record.at, 0),
            What::StopCalled { with_grace } => {
                self.stop(record.at, if *with_grace { self.terms.grace_ms } else { 0 });
            }
            What::LetterDropped(message) => self.dropped_letters.push(*message),
            What::Left(agent, messages) => {
                self.left.get_or_insert_default().insert(*agent, messages.clone());
            }
            What::Letters(letters) => self.letters = Some(letters.clone()),
            What::StartCalled
            | What::Sent { .. }
            | What::Answered { .. }
            | What::StartReturned(_)
            | What::Resent(_)
            | What::Stuck => {}
        }
    }

    fn take_event(&mut self, index: usize, now: u64, kind: &EventKind) {
        match kind {
            EventKind::Registered { agent, .. } => drop(self.agents.entry(*agent).or_default()),
            EventKind::Unregistered { agent } => {
                self.agents.entry(*agent).or_default().is_retired = true;
            }
            EventKind::StatusChanged { agent, status } => {
                self.agents.entry(*agent).or_default().status = status.clone();
            }
            EventKind::Accepted { message } => self.accepted(index, now, message),
            EventKind::Started { agent, message, round, .. } => {
                self.started(*agent, *message, *round, now);
                self.act(index);
            }
            EventKind::Settled { message, .. } => {
                self.put(*message, Place::Acked);
                self.act(index);
            }
            EventKind::RetryScheduled { message, .. } => {
                self.park(*message, now);
                self.act(index);
            }
            EventKind::PutBack { message, .. } => {
                self.put(*message, Place::Waiting);
                self.act(index);
            }
            EventKind::DeadLettered { message, .. } => {
                let running = |m: &Message| matches!(m.place, Place::Running { .. });
                if self.messages.get(message).is_some_and(running) {
                    self.act(index);
                }
                self.put(*message, Place::Dead);
            }
            EventKind::AgentFailed { agent, .. } => self.failed(*agent),
            EventKind::RunStarted { run } => {
                let (number, began_at) = (*run, now);
                self.run = Some(Run { number, began_at, last_act: index, failed: Vec::new() });
            }
            EventKind::Stopped { .. } => self.stopped(),
            _ => {}
        }
    }

    fn accepted(&mut self, index: usize, now: u64, message: &AgentMessage) {
        let cause = message.causation().and_then(|cause| self.messages.get(&cause));
        let run = self.run.as_ref().map_or(0, |run| run.number);
        let is_new = !self.messages.contains_key(&message.id());
        let origin = match cause.map(|cause| cause.place) {
            Some(Place::Running { round, .. }) if is_new && !self.terms.has_router => (run, round),
            // Sent again, or from outside. Or passed on: that may have waited for room for so long
            // that its cause was given up, sent again and handed out anew meanwhile.
            _ => (message.origin().run, message.origin().round),
        };
        let sending = send_of(message.content()).and_then(|send| self.sends.get(&send));
        let new = Message {
            to: message.to(),
            priority: message.priority(),
            sending: sending.copied().unwrap_or(index),
            accepted: index,
            accepted_at: now,
            origin,
            deadline: message.deadline().map(since_epoch),
            place: Place::Waiting,
            fails: 0,
            last_end: None,
            acked: None,
        };
        self.messages.insert(message.id(), new);
    }

    fn started(&mut self, agent: AgentId, message: MessageId, round: u64, now: u64) {
        let Some(known) = self.messages.get_mut(&message) else { return };
        let is_fresh = !matches!(known.place, Place::Parked { .. });
        let is_expired = is_fresh && known.is_expired(now);
        known.place = Place::Running { round, since: now };
        known.last_end = None;
        if is_fresh && !is_expired {
            let agent = self.agents.entry(agent).or_default();
            agent.last_round = round;
            agent.handed_out += 1;
        }
    }

    fn park(&mut self, message: MessageId, now: u64) {
        let Some(known) = self.messages.get_mut(&message) else { return };
        known.fails += 1;
        // An attempt whose session did not open had no handler.
        known.last_end.get_or_insert((HandlerEnd::Dropped, now));
        if let Place::Running { round, .. } = known.place {
            known.place = Place::Parked { round };
        }
    }

    fn put(&mut self, message: MessageId, place: Place) {
        if let Some(known) = self.messages.get_mut(&message) {
            known.place = place;
        }
    }

    fn failed(&mut self, agent: AgentId) {
        self.agents.entry(agent).or_default().has_failed = true;
        if let Some(run) = &mut self.run {
            run.failed.push(agent);
        }
        self.unpark(|message| message.to == agent);
    }

    /// What waits between attempts waits in its mailbox now.
    fn unpark(&mut self, which: impl Fn(&Message) -> bool) {
        for message in self.messages.values_mut().filter(|message| which(message)) {
            if matches!(message.place, Place::Parked { .. }) {
                message.place = Place::Waiting;
            }
        }
    }

    fn stopped(&mut self) {
        self.unpark(|_| true);
        for agent in self.agents.values_mut() {
            (agent.last_round, agent.handed_out, agent.has_failed) = (0, 0, false);
        }
        (self.run, self.stop) = (None, None);
    }

    fn stop(&mut self, at: u64, grace_ms: u64) {
        let sooner = |former: Stop| at + grace_ms < former.at + former.grace_ms;
        if self.stop.is_none_or(sooner) {
            self.stop = Some(Stop { at, grace_ms });
        }
    }

    fn act(&mut self, index: usize) {
        if let Some(run) = &mut self.run {
            run.last_act = index;
        }
    }

    fn ended(&mut self, handler: u64, end: &HandlerEnd, now: u64) {
        let Some(handler) = self.handlers.remove(&handler) else { return };
        let Some(message) = self.messages.get_mut(&handler.message) else { return };
        message.last_end = Some((end.clone(), now));
        if let HandlerEnd::Acked(output) = end {
            message.acked = Some(output.clone());
        }
    }

    fn slot(&mut self, handler: u64, has_slot: bool) {
        if let Some(handler) = self.handlers.get_mut(&handler) {
            handler.has_slot = has_slot;
        }
    }
}
