//! What a program has asked its host for and not yet got.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use serde_json::Value;

use crate::BoxFuture;
use crate::subprocess::protocol;

/// How many questions and tool calls may be open at once.
const QUESTIONS_MAX: usize = 64;

/// What the program is to be told.
pub(super) struct Done {
    pub(super) line: Option<Value>,
}

/// The open requests of one turn. Dropped with it, and so given up.
///
/// Sends are made one after the other, so that they keep their order; questions wait side by side.
#[derive(Default)]
pub(super) struct Pending {
    sending: Option<BoxFuture<'static, Option<Value>>>,
    /// The oldest first.
    questions: Vec<BoxFuture<'static, Value>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.sending.is_none() && self.questions.is_empty()
    }

    /// Whether a send is on its way: no further line is read until it has arrived.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    pub(super) fn send(&mut self, send: impl Future<Output = Option<Value>> + Send + 'static) {
        debug_assert!(!self.is_sending(), "no line is read while a send is on its way");
        self.sending = Some(Box::pin(send));
    }

    /// Adds a question; answers a line if there are too many.
    pub(super) fn question(
        &mut self,
        id: &Value,
        question: impl Future<Output = Value> + Send + 'static,
    ) -> Option<Value> {
        if self.questions.len() == QUESTIONS_MAX {
            let error = format!("{QUESTIONS_MAX} questions are open already");
            return Some(protocol::error(Some(id), &error, true));
        }
        self.questions.push(Box::pin(question));
        None
    }

    /// The next that is done; never ready if there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> Done {
        poll_fn(|cx| {
            // Questions first: those that are open were asked before what is being sent.
            for at in 0..self.questions.len() {
                if let Poll::Ready(line) = self.questions[at].as_mut().poll(cx) {
                    drop(self.questions.remove(at));
                    return Poll::Ready(Done { line: Some(line) });
                }
            }
            if let Some(sending) = &mut self.sending
                && let Poll::Ready(line) = sending.as_mut().poll(cx)
            {
                self.sending = None;
                return Poll::Ready(Done { line });
            }
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("sending", &self.sending.is_some())
            .field("questions", &self.questions.len())
            .finish()
    }
}
