//! The steps of a delivery, tool calls among them.

use orch_core::{Content, Decision, MessageId, StepKey, ToolCall};

use super::parts::{Step, ToolProgress};
use super::{Illegal, Key, State};
use crate::hash::ContentHash;
use crate::record::Seq;

impl State {
    pub(super) fn take_step(&mut self, key: StepKey, step: Step) -> Result<(), Illegal> {
        let delivery = self.running(key)?;
        if self.steps.contains_key(&key) {
            return Err(Illegal::KnownStep(key));
        }
        self.steps.insert(key, step);
        self.touch(Key::Step(delivery, key));
        Ok(())
    }

    pub(super) fn answer_step(
        &mut self,
        seq: Seq,
        key: StepKey,
        output: &Content,
    ) -> Result<(), Illegal> {
        let delivery = self.place_of_steps(key.delivery)?;
        let step = self.steps.get_mut(&key).ok_or(Illegal::UnknownStep(key))?;
        if step.output.is_some() {
            return Err(Illegal::WrongStep(key, "was answered before"));
        }
        step.output = Some(output.clone());
        step.answered = Some(seq);
        self.touch(Key::Step(delivery, key));
        Ok(())
    }

    pub(super) fn decide_tool(
        &mut self,
        seq: Seq,
        key: StepKey,
        call: &ToolCall,
        input: ContentHash,
        decision: &Decision,
    ) -> Result<(), Illegal> {
        let delivery = self.running(key)?;
        let progress = ToolProgress { decision: decision.clone(), decided: seq, started: None };
        match self.steps.get_mut(&key) {
            None => {
                let mut step = Step::tool(seq, call, input);
                step.tool = Some(progress);
                self.steps.insert(key, step);
            }
            Some(step) if is_open(step) && step.input == input => step.tool = Some(progress),
            Some(step) if is_open(step) => {
                return Err(Illegal::WrongStep(key, "is another call than the one decided before"));
            }
            Some(_) => return Err(Illegal::KnownStep(key)),
        }
        self.touch(Key::Step(delivery, key));
        Ok(())
    }

    /// A call may be started again by whoever decided that it may be repeated.
    pub(super) fn start_tool(&mut self, key: StepKey, idempotent: bool) -> Result<(), Illegal> {
        let delivery = self.running(key)?;
        let step = self.steps.get_mut(&key).ok_or(Illegal::UnknownStep(key))?;
        let answered = step.output.is_some();
        let tool = step.tool.as_mut().ok_or(Illegal::WrongStep(key, "is no tool call"))?;
        if !tool.decision.is_allowed() {
            return Err(Illegal::WrongStep(key, "is not allowed"));
        }
        if answered {
            return Err(Illegal::WrongStep(key, "has ended before"));
        }
        tool.started = Some(idempotent);
        self.touch(Key::Step(delivery, key));
        Ok(())
    }

    pub(super) fn finish_tool(
        &mut self,
        seq: Seq,
        key: StepKey,
        output: &Content,
    ) -> Result<(), Illegal> {
        let step = self.steps.get(&key).ok_or(Illegal::UnknownStep(key))?;
        if step.tool.as_ref().is_none_or(|tool| tool.started.is_none()) {
            return Err(Illegal::WrongStep(key, "was not started"));
        }
        self.answer_step(seq, key, output)
    }

    /// The call had no effect; it may be started again. For a dead letter, too: a person says so.
    pub(super) fn reset_tool(&mut self, key: StepKey) -> Result<(), Illegal> {
        let delivery = self.place_of_steps(key.delivery)?;
        let step = self.steps.get_mut(&key).ok_or(Illegal::UnknownStep(key))?;
        if !step.is_unfinished_tool() {
            return Err(Illegal::WrongStep(key, "is no tool call that began and did not end"));
        }
        if let Some(tool) = &mut step.tool {
            tool.started = None;
        }
        self.touch(Key::Step(delivery, key));
        Ok(())
    }

    /// The acceptance of a step's delivery, which must be handled right now.
    pub(super) fn running(&self, key: StepKey) -> Result<Seq, Illegal> {
        let delivery = self.deliveries.get(&key.delivery);
        let delivery = delivery.ok_or(Illegal::UnknownDelivery(key.delivery))?;
        let answer = delivery.is_running().then_some(delivery.seq);
        answer.ok_or(Illegal::WrongStep(key, "belongs to a delivery that is not handled now"))
    }

    /// The event that a delivery's steps lie under. A dead letter keeps its steps, so that a person can
    /// decide about them.
    pub(super) fn place_of_steps(&self, delivery: MessageId) -> Result<Seq, Illegal> {
        let live = self.deliveries.get(&delivery).map(|it| it.seq);
        let given_up = || {
            let of = |it: &&super::Letter| it.letter.message.id() == delivery;
            self.letters.values().rev().filter(of).find_map(|it| it.accepted)
        };
        live.or_else(given_up).ok_or(Illegal::UnknownDelivery(delivery))
    }

    pub(super) fn forget_steps(&mut self, accepted: Seq, delivery: MessageId) {
        let keys: Vec<StepKey> = self.steps(delivery).map(|(key, _)| key).collect();
        for key in keys {
            self.steps.remove(&key);
            self.touch(Key::Step(accepted, key));
        }
    }
}

/// Whether it may be decided anew: a person was asked, or a rate denied it for a time.
fn is_open(step: &Step) -> bool {
    let decision = step.tool.as_ref().map(|tool| &tool.decision);
    matches!(decision, Some(Decision::Ask { .. } | Decision::Deny { possible_at: Some(_), .. }))
}
