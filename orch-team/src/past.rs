//! Brings a flow to where it was, from what a journal says of its messages.
//!
//! A flow is a function of its inputs and of how its messages ended, in their order. Both are recorded,
//! so the flow itself need not be: it is told the recorded ends again. What it then wants sent was
//! accepted already, or is sent now.

use std::collections::{BTreeMap, HashMap};

use orch_runtime::{AgentMessage, Content, DeadLetter, LoopGuard, MessageId, Past};

use crate::flow::{Flow, FlowError, FlowKey, FlowSend, FlowSpec};
use crate::router::{key_of, reason};

/// A flow that is where the past leads.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) flow: Flow,
    /// Which message stands at each open place of the flow.
    pub(crate) sent: BTreeMap<FlowKey, MessageId>,
    /// What the flow wants sent and nobody accepted, in its order.
    pub(crate) missing: Vec<Missing>,
}

/// A message that was never accepted.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) send: FlowSend,
    /// The message whose end made the flow want it; `None` if its start did.
    pub(crate) cause: Option<AgentMessage>,
}

/// The flow that began with these inputs, after all that is told.
pub(crate) fn rebuild(
    spec: &FlowSpec,
    guards: LoopGuard,
    inputs: Vec<Content>,
    past: Vec<Past>,
) -> Result<Rebuilt, FlowError> {
    let told = Told::read(past);
    let flow = Flow::new(spec, guards);
    let mut rebuilt = Rebuilt { flow, sent: BTreeMap::new(), missing: Vec::new() };
    let first = rebuilt.flow.start(inputs)?;
    rebuilt.note(first, None, &told);
    // A message that found no mailbox was given up in the set of the end that sent it, and stands
    // before that end.
    let mut refused: Vec<&End> = Vec::new();
    for end in &told.ends {
        if end.is_refusal && !rebuilt.is_open(end) {
            refused.push(end);
            continue;
        }
        rebuilt.end(end, &told);
        while let Some(at) = refused.iter().position(|end| rebuilt.is_open(end)) {
            rebuilt.end(refused.remove(at), &told);
        }
    }
    Ok(rebuilt)
}

impl Rebuilt {
    fn is_open(&self, end: &End) -> bool {
        self.sent.get(&end.key) == Some(&end.message.id())
    }

    /// Tells the flow of an end, unless it waits for none there, or for that of another message: one
    /// that was sent before a dead letter was sent again has no part in the flow any more.
    fn end(&mut self, end: &End, told: &Told) {
        if !self.is_open(end) {
            return;
        }
        self.sent.remove(&end.key);
        let sends = match &end.how {
            How::Settled(output) => self.flow.settled(&end.key, output.clone()),
            How::GivenUp(reason) => self.flow.gave_up(&end.key, reason),
        };
        self.note(sends, Some(end), told);
    }

    fn note(&mut self, sends: Vec<FlowSend>, after: Option<&End>, told: &Told) {
        // What follows from a refusal is sent in the name of the turn that was refused.
        let cause = after.and_then(|end| match end.is_refusal {
            true => end.message.causation(),
            false => Some(end.message.id()),
        });
        for send in sends {
            match told.accepted(send.key, cause) {
                Some(id) => drop(self.sent.insert(send.key, id)),
                None => {
                    let cause = after.map(|end| end.message.clone());
                    self.missing.push(Missing { send, cause });
                }
            }
        }
    }
}

/// How a message of the flow ended.
#[derive(Debug)]
struct End {
    message: AgentMessage,
    key: FlowKey,
    how: How,
    /// Whether it was given up without having been accepted.
    is_refusal: bool,
}

#[derive(Debug)]
enum How {
    Settled(Option<Content>),
    GivenUp(String),
}

/// What the past says of a flow's messages.
#[derive(Debug, Default)]
struct Told {
    /// By place and cause: the last one, if a dead letter was sent again and its consequence with it.
    accepted: HashMap<(FlowKey, Option<MessageId>), MessageId>,
    messages: HashMap<MessageId, (FlowKey, AgentMessage)>,
    /// In the order in which they were recorded.
    ends: Vec<End>,
}

impl Told {
    fn read(past: Vec<Past>) -> Self {
        let mut told = Self::default();
        for it in past {
            match it {
                Past::Accepted(message) => told.accept(message),
                Past::Settled { message, output } => told.end(message, How::Settled(output)),
                Past::GivenUp(letter) => told.give_up(&letter),
                Past::SentAgain(message) => told.send_again(message),
                _ => {}
            }
        }
        told
    }

    fn accept(&mut self, message: AgentMessage) {
        if let Some(key) = key_of(&message) {
            self.accepted.insert((key, message.causation()), message.id());
            self.messages.insert(message.id(), (key, message));
        }
    }

    fn end(&mut self, message: MessageId, how: How) {
        if let Some((key, message)) = self.messages.get(&message).cloned() {
            self.ends.push(End { message, key, how, is_refusal: false });
        }
    }

    fn give_up(&mut self, letter: &DeadLetter) {
        let is_refusal = !self.messages.contains_key(&letter.message.id());
        if is_refusal {
            self.accept(letter.message.clone());
        }
        self.end(letter.message.id(), How::GivenUp(reason(letter)));
        if let Some(end) = self.ends.last_mut() {
            end.is_refusal |= is_refusal && end.message.id() == letter.message.id();
        }
    }

    /// It has not ended after all: the flow goes on from there.
    fn send_again(&mut self, message: MessageId) {
        if let Some(at) = self.ends.iter().rposition(|end| end.message.id() == message) {
            self.ends.remove(at);
        }
    }

    fn accepted(&self, key: FlowKey, cause: Option<MessageId>) -> Option<MessageId> {
        let by_nobody = || self.accepted.get(&(key, None));
        self.accepted.get(&(key, cause)).or_else(by_nobody).copied()
    }
}

#[cfg(test)]
mod tests;
