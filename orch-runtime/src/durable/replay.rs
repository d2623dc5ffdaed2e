//! Steps that an earlier attempt has taken: they are not taken again, but answered from the record.

use orch_core::{AgentId, Content, Decision, MessageId};
use orch_journal::{CommitError, ContentHash, StepKey, StepKind, StepMismatch};

use super::{Durable, lock};

/// A step that a handler takes.
#[derive(Clone, Debug)]
pub(crate) struct Taking {
    pub(crate) key: StepKey,
    pub(crate) kind: StepKind,
    /// To whom, or what.
    pub(crate) name: String,
    pub(crate) input: ContentHash,
}

/// What came of a step in an earlier attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was not taken.
    Never,
    /// It was taken, and this came of it, if it is known.
    Before(Option<Content>),
    /// Another one was taken in its place.
    Other(StepMismatch),
}

impl Durable {
    /// Looks a step up.
    pub(crate) async fn taken(&self, taking: &Taking) -> Result<Taken, CommitError> {
        let Taking { key, kind, name, input } = taking.clone();
        self.journal
            .ask(move |store| {
                let mut steps = store.state().steps(key.delivery);
                let Some((_, step)) = steps.find(|(known, _)| *known == key) else {
                    return Taken::Never;
                };
                match step.taken_again(kind, &name, input) {
                    Ok(output) => Taken::Before(output.cloned()),
                    Err(mismatch) => Taken::Other(mismatch),
                }
            })
            .await
    }

    /// What was decided on a tool call before.
    pub(crate) async fn decided(
        &self,
        taking: &Taking,
    ) -> Result<Result<Option<Decision>, StepMismatch>, CommitError> {
        let Taking { key, kind, name, input } = taking.clone();
        self.journal
            .ask(move |store| {
                let mut steps = store.state().steps(key.delivery);
                let Some((_, step)) = steps.find(|(known, _)| *known == key) else {
                    return Ok(None);
                };
                step.taken_again(kind, &name, input)?;
                Ok(step.tool.as_ref().map(|tool| tool.decision.clone()))
            })
            .await
    }

    /// What became of a question that was asked in this step: its answer, and whether it is on its way.
    pub(crate) async fn became_of(
        &self,
        key: StepKey,
        question: MessageId,
    ) -> Result<(Option<Content>, bool), CommitError> {
        self.journal
            .ask(move |store| {
                let state = store.state();
                let mut steps = state.steps(key.delivery);
                let step = steps.find(|(known, _)| *known == key);
                let answer = step.and_then(|(_, step)| step.output.clone());
                (answer, state.delivery(question).is_some())
            })
            .await
    }

    /// Who asked this question, in which step.
    pub(super) fn asked(&self, question: MessageId) -> Option<(AgentId, StepKey)> {
        lock(&self.questions).get(&question).copied()
    }

    pub(crate) fn note_question(&self, question: MessageId, asker: AgentId, key: StepKey) {
        lock(&self.questions).insert(question, (asker, key));
    }

    pub(crate) fn forget_question(&self, question: MessageId) {
        lock(&self.questions).remove(&question);
    }
}
