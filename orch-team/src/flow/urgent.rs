//! Urgent messages: sent between the others, and so before those that wait.

use orch_runtime::{Content, MessagePriority};

use super::answer::{FlowProblem, UrgentAnswer};
use super::key::{FlowKey, Part};
use super::spec::Urgent;
use super::{Effects, Ended, FlowSend};
use crate::name::AgentName;

#[derive(Debug)]
pub(super) struct UrgentQueue {
    messages: Vec<(Urgent, State)>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Sent,
    Ended(Option<Content>),
}

impl UrgentQueue {
    pub(super) fn new(messages: &[Urgent]) -> Self {
        Self { messages: messages.iter().map(|it| (it.clone(), State::Waiting)).collect() }
    }

    /// Sends what waits for no more than `n_ended` answers.
    pub(super) fn release(&mut self, n_ended: u64, effects: &mut Effects) {
        for (number, (message, state)) in self.messages.iter_mut().enumerate() {
            if matches!(state, State::Waiting) && message.after_answers <= n_ended {
                *state = State::Sent;
                effects.sends.push(FlowSend {
                    to: message.to.clone(),
                    content: message.content.clone(),
                    priority: Some(MessagePriority::Critical),
                    key: FlowKey(Part::Urgent(number)),
                });
            }
        }
    }

    pub(super) fn ended(
        &mut self,
        number: usize,
        agent: &AgentName,
        ended: Ended,
        effects: &mut Effects,
    ) {
        let output = match ended {
            Ended::Output(output) => output,
            Ended::GaveUp(reason) => {
                let agent = agent.clone();
                effects.problems.push(FlowProblem::UrgentGaveUp { agent, reason });
                None
            }
        };
        if let Some((_, state)) = self.messages.get_mut(number) {
            *state = State::Ended(output);
        }
    }

    pub(super) fn answers(&self) -> Vec<UrgentAnswer> {
        let answer = |(message, state): &(Urgent, State)| match state {
            State::Ended(Some(content)) => {
                Some(UrgentAnswer { agent: message.to.clone(), content: content.clone() })
            }
            State::Ended(None) | State::Sent | State::Waiting => None,
        };
        self.messages.iter().filter_map(answer).collect()
    }

    /// A problem for each message that still waits.
    pub(super) fn unsent(&self, n_ended: u64) -> Vec<FlowProblem> {
        let waiting = self.messages.iter().filter(|(_, state)| matches!(state, State::Waiting));
        let problem = |(message, _): &(Urgent, State)| FlowProblem::UrgentNotSent {
            agent: message.to.clone(),
            after_answers: message.after_answers,
            n_ended,
        };
        waiting.map(problem).collect()
    }
}
