//! Refusals that are no mistake of whoever records: they are told before anything of a set is applied,
//! and so cost a store nothing to take back.

use orch_core::StepKey;

use super::{Illegal, State};
use crate::record::Record;

impl State {
    /// Whether a set is refused because a message is sent twice, an earlier attempt took its step, or
    /// nobody waits any more for what it answers. `None` says nothing: the set may be illegal all the
    /// same. The answer is that of [`apply`](Self::apply), record by record.
    pub(crate) fn expected_refusal<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Option<Illegal> {
        let mut accepted = Vec::new();
        // Steps and questions are looked at only as long as no record in front has changed them.
        let mut is_as_it_was = true;
        records.into_iter().find_map(|record| match record {
            Record::Accepted { message, .. } => {
                let id = message.id();
                let is_known = self.knows(id) || accepted.contains(&id);
                accepted.push(id);
                is_known.then_some(Illegal::Duplicate(id))
            }
            Record::StepTaken { key, .. } if is_as_it_was => {
                is_as_it_was = false;
                self.may_take(*key).err()
            }
            Record::StepAnswered { key, .. } if is_as_it_was => self.may_answer(*key).err(),
            Record::Answered { question, .. } | Record::QuestionFailed { question, .. }
                if is_as_it_was =>
            {
                let is_open = self.questions.contains_key(question);
                (!is_open).then_some(Illegal::UnknownQuestion(*question))
            }
            Record::Used { .. } | Record::DeadLettered { .. } => None,
            _ => {
                is_as_it_was = false;
                None
            }
        })
    }

    fn may_take(&self, key: StepKey) -> Result<(), Illegal> {
        self.running(key)?;
        if self.steps.contains_key(&key) { Err(Illegal::KnownStep(key)) } else { Ok(()) }
    }

    fn may_answer(&self, key: StepKey) -> Result<(), Illegal> {
        self.place_of_steps(key.delivery)?;
        let step = self.steps.get(&key).ok_or(Illegal::UnknownStep(key))?;
        let answered = Illegal::WrongStep(key, "was answered before");
        if step.output.is_some() { Err(answered) } else { Ok(()) }
    }
}
