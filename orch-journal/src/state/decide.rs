//! What a person may decide about a dead letter, as the records that say so.

use orch_core::{AgentId, AgentMessage, Content, MessageId, StepKey};

use super::{Illegal, Letter, State};
use crate::record::{Record, Seq};

impl Letter {
    /// Sends its message again as it was: the handler gets back the steps that it took.
    #[must_use]
    pub fn sent_again(&self) -> Vec<Record> {
        let (agent, message) = (self.letter.message.to(), self.letter.message.id());
        vec![Record::SentAgain { agent, message, letter: Some(self.seq) }]
    }

    /// Handles its message afresh: a copy under another id takes its place, and so none of the steps
    /// that were taken, no question that was asked and no key that a tool saw is known any more. What
    /// the steps did is done again.
    #[must_use]
    pub fn sent_afresh(&self) -> (MessageId, Vec<Record>) {
        let message = &self.letter.message;
        let copy = message.copy_to(message.to()).without_deadline();
        (copy.id(), sent_afresh(message.id(), Some(self.seq), copy))
    }
}

/// Drops a letter of `former`, and accepts `message` in its stead: one set.
#[must_use]
pub fn sent_afresh(former: MessageId, letter: Option<Seq>, message: AgentMessage) -> Vec<Record> {
    let (agent, sent_as) = (message.to(), Some(message.id()));
    vec![
        Record::LetterDropped { agent, message: former, letter, sent_as },
        Record::Accepted { message, origin_run: 0, origin_round: 0, step: None },
    ]
}

impl State {
    /// Says of a tool call that began and did not end that it did: with this output.
    ///
    /// # Errors
    ///
    /// [`Illegal`] if there is no such call.
    pub fn tool_finished(&self, key: StepKey, output: Content) -> Result<Record, Illegal> {
        self.unfinished(key)?;
        let agent = self.agent_of(key)?;
        Ok(Record::ToolFinished { agent, key, output })
    }

    /// Says of a tool call that began and did not end that it had no effect: it is made again.
    ///
    /// # Errors
    ///
    /// As [`tool_finished`](Self::tool_finished).
    pub fn tool_reset(&self, key: StepKey, reason: String) -> Result<Record, Illegal> {
        self.unfinished(key)?;
        let agent = self.agent_of(key)?;
        Ok(Record::ToolReset { agent, key, reason })
    }

    fn unfinished(&self, key: StepKey) -> Result<(), Illegal> {
        let step = self.steps.get(&key).ok_or(Illegal::UnknownStep(key))?;
        let wrong = Illegal::WrongStep(key, "is no tool call that began and did not end");
        if step.is_unfinished_tool() { Ok(()) } else { Err(wrong) }
    }

    /// Who takes the steps of this delivery, live or given up.
    fn agent_of(&self, key: StepKey) -> Result<AgentId, Illegal> {
        let live = self.deliveries.get(&key.delivery).map(|it| it.message.to());
        let of = |it: &&Letter| it.letter.message.id() == key.delivery;
        let given_up = || self.letters.values().find(of).map(|it| it.letter.message.to());
        live.or_else(given_up).ok_or(Illegal::UnknownDelivery(key.delivery))
    }
}
