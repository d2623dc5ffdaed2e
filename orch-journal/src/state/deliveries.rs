//! Messages on their way, from acceptance to the ack or the dead letter.

use std::collections::hash_map::Entry;

use orch_core::{
    AgentId, AgentMessage, AttemptError, ChainId, DeadLetter, DeliveryEvent, DeliveryState,
    MessageId, Origin, Timestamp,
};

use super::parts::{Delivery, Letter, oldest};
use super::{DEDUP_WINDOW, Illegal, Key, State};
use crate::record::Seq;

/// What a dead letter shows of an attempt during which the process ended.
const CUT_OFF: &str = "the process ended during this attempt";

impl State {
    pub(super) fn accept(
        &mut self,
        seq: Seq,
        at: Timestamp,
        message: &AgentMessage,
        (run, round): (u64, u64),
    ) -> Result<(), Illegal> {
        let id = message.id();
        // Looked up once each: most records are acceptances, and these maps are large.
        let Entry::Vacant(place) = self.deliveries.entry(id) else {
            return Err(Illegal::Duplicate(id));
        };
        let Entry::Vacant(known) = self.dedup.known.entry(id) else {
            return Err(Illegal::Duplicate(id));
        };
        known.insert(seq);
        let mut message = message.clone();
        if message.origin() != (Origin { run, round }) {
            message = message.with_origin(Origin { run, round });
        }
        let chain = message.chain();
        place.insert(Box::new(Delivery {
            seq,
            place: seq,
            message,
            state: DeliveryState::accepted(at),
            errors: Vec::new(),
            run: 0,
            round: 0,
        }));
        self.chains.entry(chain).or_default().n_live += 1;
        self.touch(Key::Delivery(seq, id));
        self.remember(seq, id);
        Ok(())
    }

    fn enter(&mut self, delivery: Delivery) {
        let (seq, id, chain) = (delivery.seq, delivery.message.id(), delivery.message.chain());
        self.chains.entry(chain).or_default().n_live += 1;
        self.deliveries.insert(id, Box::new(delivery));
        self.touch(Key::Delivery(seq, id));
    }

    fn leave(&mut self, id: MessageId) -> Option<Box<Delivery>> {
        let delivery = self.deliveries.remove(&id)?;
        self.touch(Key::Delivery(delivery.seq, id));
        self.leave_chain(delivery.message.chain());
        Some(delivery)
    }

    fn leave_chain(&mut self, chain: ChainId) {
        let Some(spent) = self.chains.get_mut(&chain) else { return };
        spent.n_live -= 1;
        if spent.n_live == 0 {
            let had_row = !spent.usage.is_zero();
            self.chains.remove(&chain);
            if had_row {
                self.touch(Key::Chain(chain));
            }
        }
    }

    /// Notes an id that `known` has already.
    fn remember(&mut self, seq: Seq, id: MessageId) {
        self.dedup.order.push_back((seq, id));
        self.touch(Key::Dedup(seq, id));
        while self.dedup.order.len() > DEDUP_WINDOW {
            let Some((oldest, id)) = self.dedup.order.pop_front() else { return };
            self.dedup.known.remove(&id);
            self.touch(Key::Dedup(oldest, id));
        }
    }

    pub(super) fn start_attempt(
        &mut self,
        at: Timestamp,
        agent: AgentId,
        message: MessageId,
        attempt: u32,
        round: u64,
    ) -> Result<(), Illegal> {
        let run = self.open_run.unwrap_or(0);
        let delivery = self.at_attempt(message, attempt)?;
        if delivery.message.to() != agent {
            return Err(Illegal::WrongAgent { message, agent });
        }
        // Whoever hands out keeps to `ready_at`, by a clock that may have been set back since.
        let now = if delivery.is_running() { at } else { at.max(delivery.ready_at()) };
        let start = DeliveryEvent::Start { now, deadline: Timestamp::NEVER };
        delivery.state = delivery.state.clone().apply(start)?;
        let (former, seq) = (delivery.run, delivery.seq);
        (delivery.run, delivery.round) = (run, round);
        self.touch(Key::Delivery(seq, message));
        self.count(agent, run, round, former);
        Ok(())
    }

    /// What the guards count. A retry is not another message: one that was handed out in this run, or in
    /// one that it goes on with.
    fn count(&mut self, agent: AgentId, run: u64, round: u64, former: u64) {
        let since = self.runs.get(&run).map_or(run, super::Run::counts_since);
        let counts = self.counts.entry(agent).or_default();
        if !(since..=run).contains(&counts.run) {
            (counts.last_round, counts.messages) = (0, 0);
        }
        counts.run = run;
        counts.last_round = counts.last_round.max(round);
        counts.messages += u64::from(former < since || run == 0);
        self.touch(Key::Counts(agent));
        if let Some(it) = self.runs.get_mut(&run)
            && it.iterations < round
        {
            it.iterations = round;
            self.touch(Key::Run(run));
        }
    }

    pub(super) fn settle(&mut self, message: MessageId, attempt: u32) -> Result<(), Illegal> {
        let delivery = self.at_attempt(message, attempt)?;
        delivery.state.clone().apply(DeliveryEvent::Ack)?;
        let seq = delivery.seq;
        self.forget_steps(seq, message);
        self.leave(message);
        Ok(())
    }

    pub(super) fn retry(
        &mut self,
        at: Timestamp,
        message: MessageId,
        attempt: u32,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), Illegal> {
        let delivery = self.at_attempt(message, attempt)?;
        delivery.state = delivery.state.clone().apply(DeliveryEvent::Nack { retry_at })?;
        delivery.errors.push(AttemptError::new(attempt, error, at));
        let seq = delivery.seq;
        self.touch(Key::Delivery(seq, message));
        Ok(())
    }

    pub(super) fn put_back(&mut self, message: MessageId) -> Result<(), Illegal> {
        let delivery = self.live_mut(message)?;
        delivery.state = delivery.state.clone().apply(DeliveryEvent::PutBack)?;
        let seq = delivery.seq;
        self.touch(Key::Delivery(seq, message));
        Ok(())
    }

    /// A message that was never accepted (a broadcast was refused) becomes a letter as well.
    pub(super) fn give_up(&mut self, seq: Seq, letter: &DeadLetter) -> Result<(), Illegal> {
        let id = letter.message.id();
        let accepted = match self.deliveries.get(&id) {
            Some(delivery) => {
                delivery.state.clone().apply(DeliveryEvent::GiveUp)?;
                self.leave(id).map(|it| it.seq)
            }
            None => None,
        };
        let mut letter = letter.clone();
        letter.message = of_no_run(letter.message);
        self.letters.insert(seq, Letter { seq, accepted, letter });
        self.touch(Key::Letter(seq));
        Ok(())
    }

    pub(super) fn drop_letter(
        &mut self,
        message: MessageId,
        letter: Option<Seq>,
    ) -> Result<(), Illegal> {
        let letter = self.take_letter(message, letter)?;
        if let Some(accepted) = letter.accepted {
            self.forget_steps(accepted, message);
        }
        Ok(())
    }

    pub(super) fn send_again(
        &mut self,
        seq: Seq,
        at: Timestamp,
        message: MessageId,
        letter: Option<Seq>,
    ) -> Result<(), Illegal> {
        if self.deliveries.contains_key(&message) {
            return Err(Illegal::Duplicate(message));
        }
        let letter = self.take_letter(message, letter)?;
        let dead = DeliveryState::DeadLettered { attempts: 0 };
        let state = dead.apply(DeliveryEvent::Requeue { ready_at: at })?;
        self.enter(Delivery {
            seq: letter.accepted.unwrap_or(letter.seq),
            place: seq,
            // It may have come already, and the person who sends it again wants it handled.
            message: letter.letter.message.without_deadline(),
            state,
            errors: Vec::new(),
            run: 0,
            round: 0,
        });
        Ok(())
    }

    /// Takes a letter of a message: the one that this event made, or else the oldest.
    fn take_letter(&mut self, message: MessageId, made: Option<Seq>) -> Result<Letter, Illegal> {
        let unknown = Illegal::UnknownLetter(message);
        let is_of_it =
            |seq: &Seq| self.letters.get(seq).is_some_and(|it| it.letter.message.id() == message);
        let seq = match made {
            Some(seq) => Some(seq).filter(is_of_it),
            None => oldest(&self.letters, message),
        };
        let Some(seq) = seq else { return Err(unknown) };
        self.touch(Key::Letter(seq));
        self.letters.remove(&seq).ok_or(unknown)
    }

    /// Attempts in flight failed with the process: their deliveries wait again, in their places.
    pub(super) fn recover(&mut self, seq: Seq, at: Timestamp) -> Result<(), Illegal> {
        let running = self.deliveries.values_mut().filter(|it| it.is_running());
        let mut changed = Vec::new();
        for delivery in running {
            let attempt = delivery.attempt();
            let failed = DeliveryEvent::Nack { retry_at: Timestamp::default() };
            delivery.state = delivery.state.clone().apply(failed)?;
            delivery.errors.push(AttemptError::new(attempt, CUT_OFF, at));
            changed.push(Key::Delivery(delivery.seq, delivery.message.id()));
        }
        changed.into_iter().for_each(|key| self.touch(key));
        if let Some(run) = self.open_run {
            self.end_run(seq, at, run, None)?;
        }
        Ok(())
    }

    fn live_mut(&mut self, message: MessageId) -> Result<&mut Delivery, Illegal> {
        let found = self.deliveries.get_mut(&message).map(Box::as_mut);
        found.ok_or(Illegal::UnknownDelivery(message))
    }

    fn at_attempt(&mut self, message: MessageId, found: u32) -> Result<&mut Delivery, Illegal> {
        let delivery = self.live_mut(message)?;
        let expected = delivery.attempt();
        if expected != found {
            return Err(Illegal::WrongAttempt { message, expected, found });
        }
        Ok(delivery)
    }
}

/// The message as it is read back: who sends it again is no handler of a run.
pub(crate) fn of_no_run(message: AgentMessage) -> AgentMessage {
    if message.origin() == Origin::default() {
        return message;
    }
    let json = serde_json::to_value(&message).and_then(serde_json::from_value);
    json.unwrap_or_else(|_| message.with_origin(Origin::default()))
}
