//! Steps that an earlier attempt has taken: they are not taken again, but answered from the record.

use orch_core::{AgentId, Content, Decision, MessageId, StepKey, Timestamp};
use orch_journal::{CommitError, ContentHash, State, StepKind, StepMismatch};
use tokio_util::sync::CancellationToken;

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

/// What is known of a tool call from an earlier attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KnownCall {
    /// It is to be decided: it was not, or a rate denied it, which may allow it by now.
    New,
    /// This was decided, and it did not begin.
    Decided(Decision),
    /// It began, and nobody knows how it ended.
    Begun { idempotent: bool },
    /// It ended, and this came of it.
    Done(Content),
    /// Another step was taken in its place.
    Other(StepMismatch),
}

impl KnownCall {
    fn of(state: &State, taking: &Taking, now: Timestamp) -> Self {
        let Taking { key, kind, name, input } = taking;
        let mut steps = state.steps(key.delivery).skip_while(|(known, _)| known != key);
        let Some((_, step)) = steps.next() else { return Self::New };
        match step.taken_again(*kind, name, *input) {
            Err(other) => return Self::Other(other),
            Ok(Some(output)) => return Self::Done(output.clone()),
            Ok(None) => {}
        }
        let Some(tool) = &step.tool else { return Self::New };
        if let Some(idempotent) = tool.started {
            return Self::Begun { idempotent };
        }
        match &tool.decision {
            Decision::Ask { .. } => Self::New,
            // Unless the handler went on from the denial: another answer would lead it another way.
            Decision::Deny { possible_at: Some(at), .. }
                if *at <= now && steps.next().is_none() =>
            {
                Self::New
            }
            decision => Self::Decided(decision.clone()),
        }
    }
}

impl Durable {
    /// Looks a step up.
    pub(crate) async fn taken(
        &self,
        taking: &Taking,
        cut: &CancellationToken,
    ) -> Result<Taken, CommitError> {
        let Taking { key, kind, name, input } = taking.clone();
        let look = move |state: &State| {
            let mut steps = state.steps(key.delivery);
            let Some((_, step)) = steps.find(|(known, _)| *known == key) else {
                return Taken::Never;
            };
            match step.taken_again(kind, &name, input) {
                Ok(output) => Taken::Before(output.cloned()),
                Err(mismatch) => Taken::Other(mismatch),
            }
        };
        self.look(look, cut).await
    }

    /// Looks a tool call up.
    pub(crate) async fn known_call(
        &self,
        taking: &Taking,
        now: Timestamp,
        cut: &CancellationToken,
    ) -> Result<KnownCall, CommitError> {
        let taking = taking.clone();
        self.look(move |state: &State| KnownCall::of(state, &taking, now), cut).await
    }

    /// What became of a question that was asked in this step: its answer, and whether it is on its way.
    pub(crate) async fn became_of(
        &self,
        key: StepKey,
        question: MessageId,
        cut: &CancellationToken,
    ) -> Result<(Option<Content>, bool), CommitError> {
        let look = move |state: &State| {
            let mut steps = state.steps(key.delivery);
            let step = steps.find(|(known, _)| *known == key);
            let answer = step.and_then(|(_, step)| step.output.clone());
            (answer, state.delivery(question).is_some())
        };
        self.look(look, cut).await
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
