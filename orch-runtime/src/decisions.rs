//! What a person decides: about messages that were given up, and about tool calls that began and of
//! which nobody knows how they ended.

use orch_bus::ResendError;
use orch_core::{Content, MessageId, StepKey};
use orch_journal::{Illegal, Record, State};

use crate::durable::Durable;
use crate::orchestrator::Orchestrator;

/// A tool call that began in an attempt that is over, and of which nobody knows how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedTool {
    /// The step, which is also the key that the tool got.
    pub key: StepKey,
    /// The tool.
    pub tool: String,
    /// Whether another attempt repeats it without being told to.
    pub idempotent: bool,
}

/// Why a decision about a tool call did not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// Without a journal nothing is known of calls of earlier attempts.
    #[error("there is no journal: no tool call is recorded")]
    NoJournal,
    /// Its attempt is under way, and may end it yet.
    #[error("the attempt that made the call {0} is under way")]
    UnderWay(StepKey),
    /// No such call began, or it has ended.
    #[error("{0}")]
    NotUnfinished(String),
    /// The decision could not be recorded.
    #[error("the decision could not be recorded: {0}")]
    Journal(String),
}

impl Orchestrator {
    /// Handles a dead letter's message afresh, without its deadline: a copy under another id takes its
    /// place. With a journal, none of the steps that the message took is given back, and all that they
    /// did is done again, under other keys. For a message whose steps are wrong, as after a change of its
    /// handler; [`resend`](Self::resend) keeps them. Answers the copy's id.
    ///
    /// # Cancel safety
    ///
    /// As [`resend`](Self::resend).
    ///
    /// # Errors
    ///
    /// [`ResendError`]; the letter is kept.
    pub async fn resend_afresh(&self, message: MessageId) -> Result<MessageId, ResendError> {
        self.inner.bus.resend_afresh(message).await
    }

    /// The tool calls that began in attempts that are over, and of which nobody knows how they ended.
    /// Those that are not idempotent make their messages dead letters
    /// ([`ToolUnfinished`](orch_core::DeadLetterReason::ToolUnfinished)). Find out how such a call ended,
    /// say so ([`finish_tool`](Self::finish_tool), [`reset_tool`](Self::reset_tool)), and
    /// [`resend`](Self::resend) the message.
    ///
    /// # Errors
    ///
    /// [`DecideError`].
    pub async fn unfinished_tools(&self) -> Result<Vec<UnfinishedTool>, DecideError> {
        let durable = self.inner.durable.get().ok_or(DecideError::NoJournal)?;
        durable.look_now(unfinished_tools).await
    }

    /// Says that a tool call ended, and that this came of it: another attempt gets that as its output.
    ///
    /// # Errors
    ///
    /// [`DecideError`]; nothing changed.
    pub async fn finish_tool(
        &self,
        key: StepKey,
        output: impl Into<Content>,
    ) -> Result<(), DecideError> {
        let output = output.into();
        self.decide(key, move |state| state.tool_finished(key, output)).await
    }

    /// Says that a tool call had no effect: another attempt makes it.
    ///
    /// # Errors
    ///
    /// [`DecideError`]; nothing changed.
    pub async fn reset_tool(
        &self,
        key: StepKey,
        reason: impl Into<String>,
    ) -> Result<(), DecideError> {
        let reason = reason.into();
        self.decide(key, move |state| state.tool_reset(key, reason)).await
    }

    async fn decide(
        &self,
        key: StepKey,
        decide: impl FnOnce(&State) -> Result<Record, Illegal> + Send + 'static,
    ) -> Result<(), DecideError> {
        let durable = self.inner.durable.get().ok_or(DecideError::NoJournal)?;
        let decided = durable.look_now(move |state| {
            if state.delivery(key.delivery).is_some_and(orch_journal::Delivery::is_running) {
                return Err(DecideError::UnderWay(key));
            }
            decide(state).map_err(|illegal| DecideError::NotUnfinished(illegal.to_string()))
        });
        let decided = decided.await??;
        durable.write_now(vec![decided]).await.map_err(DecideError::Journal)
    }
}

fn unfinished_tools(state: &State) -> Vec<UnfinishedTool> {
    let is_over = |key: &StepKey| {
        !state.delivery(key.delivery).is_some_and(orch_journal::Delivery::is_running)
    };
    let unfinished = state.unfinished_tools().filter(|(key, _)| is_over(key));
    let tools = unfinished.map(|(key, step)| {
        let idempotent = step.tool.as_ref().and_then(|tool| tool.started).unwrap_or(false);
        UnfinishedTool { key, tool: step.name.clone(), idempotent }
    });
    tools.collect()
}

impl Durable {
    async fn look_now<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, DecideError> {
        // After all that was told, such as how the attempts ended.
        self.flushed().await.map_err(DecideError::Journal)?;
        let looked = self.journal.ask(move |store| look(store.state())).await;
        looked.map_err(|error| DecideError::Journal(error.to_string()))
    }
}
