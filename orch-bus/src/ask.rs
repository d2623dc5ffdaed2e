//! Questions that wait for their answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use orch_core::{AgentId, AgentMessage, Content, IdState, MessageId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::admission::CommitFuture;
use crate::bus::MessageBus;
use crate::error::SendError;

/// What became of a question that was accepted and not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionFailure {
    /// The asked agent failed.
    #[error("{agent} failed: {error}")]
    AgentFailed {
        /// The asked agent.
        agent: AgentId,
        /// Why it failed.
        error: String,
    },
    /// The asked agent was retired.
    #[error("{0} was retired")]
    AgentRetired(AgentId),
    /// The question became a dead letter.
    #[error("the question was given up: {0}")]
    DeadLettered(String),
    /// The question was handled before it was asked again under its id, and its answer is not kept.
    #[error("{0} has handled the question before")]
    HandledBefore(AgentId),
    /// The question was handled, and nothing came out.
    #[error("{0} handled the question without an answer")]
    NoAnswer(AgentId),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The question was not accepted.
    #[error(transparent)]
    NotAccepted(#[from] SendError),
    /// The question was accepted and not answered.
    #[error(transparent)]
    NotAnswered(#[from] QuestionFailure),
    /// No answer came in time.
    #[error("no answer came within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Why the first of two questions under one id has no answer: the second gets it.
const ASKED_AGAIN: &str = "it was asked again under the same id";

type Answer = Result<Content, QuestionFailure>;

#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: DashMap<MessageId, Open, IdState>,
    /// How many `open` has, at least. Most messages are no questions, and each that is settled is
    /// looked up here: this spares them the locks.
    n_open: AtomicUsize,
}

#[derive(Debug)]
struct Open {
    to: AgentId,
    answer: oneshot::Sender<Answer>,
}

impl Questions {
    fn insert(&self, id: MessageId, open: Open) {
        // Relaxed: whoever answers has received the question, which was sent after this.
        self.n_open.fetch_add(1, Ordering::Relaxed);
        if self.open.insert(id, open).is_some() {
            self.n_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn take(&self, id: MessageId) -> Option<Open> {
        self.take_if(id, |_| true)
    }

    fn take_if(&self, id: MessageId, condition: impl Fn(&Open) -> bool) -> Option<Open> {
        if self.n_open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let (_, open) = self.open.remove_if(&id, |_, open| condition(open))?;
        self.n_open.fetch_sub(1, Ordering::Relaxed);
        Some(open)
    }
}

impl MessageBus {
    /// Sends a question and waits for its answer, at most `wait`. Unless it has one, the question
    /// gets a deadline at the end of the wait, so that nobody handles it for nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question: it may have been accepted, and is then handled,
    /// but its answer goes nowhere.
    ///
    /// # Errors
    ///
    /// [`AskError`]: the question was refused, the time went by, or the asked agent failed, was
    /// retired, gave the question up or answered nothing.
    pub async fn ask(&self, question: AgentMessage, wait: Duration) -> Result<Content, AskError> {
        self.ask_by(question, wait, |question| self.send(question)).await
    }

    /// As [`ask`](Self::ask), with a commit of the caller's own; see [`send_with`](Self::send_with). The
    /// question is open before the commit is polled, so that it may be answered there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn ask_with(
        &self,
        question: AgentMessage,
        wait: Duration,
        commit: CommitFuture,
    ) -> Result<Content, AskError> {
        self.ask_by(question, wait, |question| self.send_with(question, commit)).await
    }

    async fn ask_by<F: Future<Output = Result<MessageId, SendError>>>(
        &self,
        question: AgentMessage,
        wait: Duration,
        send: impl FnOnce(AgentMessage) -> F,
    ) -> Result<Content, AskError> {
        let question = match question.deadline() {
            Some(_) => question,
            None => question.with_deadline(Timestamp::now().after(wait)),
        };
        let (id, to) = (question.id(), question.to());
        let (answer, answered) = oneshot::channel();
        self.questions().insert(id, Open { to, answer });
        let _forget = Forget { bus: self, id };
        let exchange = async {
            send(question).await?;
            match answered.await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(QuestionFailure::DeadLettered(ASKED_AGAIN.to_owned()).into()),
            }
        };
        timeout(wait, exchange).await.unwrap_or(Err(AskError::TimedOut(wait)))
    }

    /// Whether somebody waits for an answer to this message.
    #[must_use]
    pub fn is_question(&self, message: MessageId) -> bool {
        self.questions().open.contains_key(&message)
    }

    /// Answers a question; false if nobody waits for it (any more).
    pub fn answer(&self, question: MessageId, answer: Content) -> bool {
        self.close_question(question, Ok(answer))
    }

    /// Tells whoever waits that a question will not be answered; false if nobody does.
    pub fn fail_question(&self, question: MessageId, failure: QuestionFailure) -> bool {
        self.close_question(question, Err(failure))
    }

    /// Tells everybody who waits for an answer of `agent` that none will come.
    pub fn fail_questions_to(&self, agent: AgentId, failure: &QuestionFailure) {
        let Questions { open, n_open } = self.questions();
        if n_open.load(Ordering::Relaxed) == 0 {
            return; // Or each agent that is retired would cost a look at all shards.
        }
        let mut to_agent: Vec<MessageId> =
            open.iter().filter(|entry| entry.to == agent).map(|entry| *entry.key()).collect();
        to_agent.sort_unstable();
        for question in to_agent {
            self.fail_question(question, failure.clone());
        }
    }

    fn close_question(&self, question: MessageId, answer: Answer) -> bool {
        self.questions().take(question).is_some_and(|open| open.answer.send(answer).is_ok())
    }
}

/// Forgets a question whose asker is gone.
struct Forget<'a> {
    bus: &'a MessageBus,
    id: MessageId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        // Not the entry of another who asks under the same id.
        self.bus.questions().take_if(self.id, |open| open.answer.is_closed());
    }
}
