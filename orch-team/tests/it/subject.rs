//! A flow under test, a world that ends its messages in any order, and ways to break a flow.

use std::collections::BTreeMap;

use orch_runtime::Content;
use orch_team::{Flow, FlowAnswer, FlowError, FlowKey, FlowSend};
use proptest::prelude::*;

/// What the checks need of a flow, so that a broken one can stand in for it.
pub(crate) trait Subject {
    fn start(&mut self, inputs: Vec<Content>) -> Result<Vec<FlowSend>, FlowError>;
    fn ended(&mut self, key: &FlowKey, ending: &Ending) -> Vec<FlowSend>;
    fn answer(&self) -> Option<FlowAnswer>;
}

impl Subject for Flow {
    fn start(&mut self, inputs: Vec<Content>) -> Result<Vec<FlowSend>, FlowError> {
        Self::start(self, inputs)
    }

    fn ended(&mut self, key: &FlowKey, ending: &Ending) -> Vec<FlowSend> {
        match ending {
            Ending::Output(output) => self.settled(key, Some(output.clone())),
            Ending::Nothing => self.settled(key, None),
            Ending::GaveUp => self.gave_up(key, "broken"),
        }
    }

    fn answer(&self) -> Option<FlowAnswer> {
        Self::answer(self)
    }
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    Output(Content),
    Nothing,
    GaveUp,
}

/// What the world does next.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// Which of the open messages ends.
    pick: usize,
    /// 0 for a message given up, 1 for one without output, an output else.
    luck: u8,
    /// Which of those that have ended before ends again first, differently.
    again: Option<usize>,
}

pub(crate) fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let again = prop_oneof![3 => Just(None), 1 => any::<usize>().prop_map(Some)];
    let choice = (any::<usize>(), 0..12u8, again);
    let choice = choice.prop_map(|(pick, luck, again)| Choice { pick, luck, again });
    prop::collection::vec(choice, 1..40)
}

/// What happened, in its order.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    pub(crate) answer: Option<FlowAnswer>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Sent(FlowSend),
    Ended(String, Ending),
}

impl History {
    /// Every message of this place in the flow.
    pub(crate) fn sent(&self, key: &str) -> Vec<&FlowSend> {
        let sent = self.steps.iter().filter_map(|step| match step {
            Step::Sent(send) if send.key.to_string() == key => Some(send),
            Step::Sent(_) | Step::Ended(..) => None,
        });
        sent.collect()
    }

    pub(crate) fn n_sent(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Sent(_))).count()
    }

    /// How the message of this place ended the first time.
    pub(crate) fn ending(&self, key: &str) -> Option<&Ending> {
        self.steps.iter().find_map(|step| match step {
            Step::Ended(ended, ending) if ended == key => Some(ending),
            Step::Ended(..) | Step::Sent(_) => None,
        })
    }

    pub(crate) fn output(&self, key: &str) -> Option<&Content> {
        match self.ending(key)? {
            Ending::Output(output) => Some(output),
            Ending::Nothing | Ending::GaveUp => None,
        }
    }

    /// When the message of this place was sent, and when it ended, as numbers of steps.
    pub(crate) fn when(&self, key: &str) -> (Option<usize>, Option<usize>) {
        let sent = self
            .steps
            .iter()
            .position(|step| matches!(step, Step::Sent(send) if send.key.to_string() == key));
        let ended = self
            .steps
            .iter()
            .position(|step| matches!(step, Step::Ended(ended, _) if ended == key));
        (sent, ended)
    }
}

/// Runs a flow to its end. Fails if it has no end, or has an answer before it.
pub(crate) fn run(
    subject: &mut dyn Subject,
    inputs: Vec<Content>,
    choices: &[Choice],
    reply: impl Fn(&FlowSend) -> String,
) -> Result<History, String> {
    let mut history = History::default();
    let mut open = subject.start(inputs).map_err(|error| error.to_string())?;
    let mut done: Vec<FlowKey> = Vec::new();
    history.steps.extend(open.iter().cloned().map(Step::Sent));
    for choice in choices.iter().cycle().take(10_000) {
        if open.is_empty() {
            history.answer = Some(subject.answer().ok_or("nothing is open, and no answer")?);
            return Ok(history);
        }
        if subject.answer().is_some() {
            return Err(format!("an answer while {} messages are open", open.len()));
        }
        let mut sends = Vec::new();
        if let Some(again) = choice.again.filter(|_| !done.is_empty()) {
            sends = subject.ended(&done[again % done.len()], &Ending::Output("again".into()));
        }
        let ended = open.remove(choice.pick % open.len());
        let ending = match choice.luck {
            0 => Ending::GaveUp,
            1 => Ending::Nothing,
            _ => Ending::Output(reply(&ended).into()),
        };
        history.steps.extend(sends.iter().cloned().map(Step::Sent));
        open.append(&mut sends);
        history.steps.push(Step::Ended(ended.key.to_string(), ending.clone()));
        let mut sends = subject.ended(&ended.key, &ending);
        history.steps.extend(sends.iter().cloned().map(Step::Sent));
        open.append(&mut sends);
        done.push(ended.key);
    }
    Err("it goes on for ever".to_owned())
}

/// How a flow is broken on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bug {
    /// A key that ends twice counts twice.
    CountsTwice,
    /// One of the first messages is never sent.
    LosesOne,
    /// The outputs are reduced in the order in which they came.
    ForgetsOrder,
    /// The reducer is asked before all items have ended.
    ReducesEarly,
    /// What went wrong is not told.
    HidesProblems,
    /// Urgent messages are as urgent as all others.
    KeepsCalm,
}

pub(crate) struct Broken {
    flow: Flow,
    bug: Bug,
    sends: BTreeMap<FlowKey, Vec<FlowSend>>,
    outputs: Vec<Content>,
    template: Option<FlowSend>,
}

impl Broken {
    pub(crate) fn new(flow: Flow, bug: Bug) -> Self {
        Self { flow, bug, sends: BTreeMap::new(), outputs: Vec::new(), template: None }
    }
}

impl Subject for Broken {
    fn start(&mut self, inputs: Vec<Content>) -> Result<Vec<FlowSend>, FlowError> {
        let mut sends = self.flow.start(inputs)?;
        self.template = sends.first().cloned();
        match self.bug {
            Bug::LosesOne => drop(sends.pop()),
            Bug::KeepsCalm => sends.iter_mut().for_each(|send| send.priority = None),
            _ => {}
        }
        Ok(sends)
    }

    fn ended(&mut self, key: &FlowKey, ending: &Ending) -> Vec<FlowSend> {
        if let (Bug::CountsTwice, Some(before)) = (self.bug, self.sends.get(key)) {
            return before.clone();
        }
        if let Ending::Output(output) = ending {
            self.outputs.push(output.clone());
        }
        let mut sends = self.flow.ended(key, ending);
        match self.bug {
            Bug::ForgetsOrder => {
                let reduce = sends.iter_mut().find(|send| send.key.to_string() == "reduce");
                if let Some(reduce) = reduce {
                    let outputs: Vec<_> = self.outputs.iter().map(Content::as_str).collect();
                    reduce.content = outputs.join("\n").into();
                }
            }
            Bug::ReducesEarly if key.to_string() == "item.0" && sends.is_empty() => {
                let mut early = self.template.clone().unwrap();
                early.key = "reduce".parse().unwrap();
                sends.push(early);
            }
            Bug::KeepsCalm => sends.iter_mut().for_each(|send| send.priority = None),
            _ => {}
        }
        self.sends.insert(*key, sends.clone());
        sends
    }

    fn answer(&self) -> Option<FlowAnswer> {
        let mut answer = self.flow.answer()?;
        if matches!(self.bug, Bug::HidesProblems) {
            answer.problems.clear();
            answer.partial = false;
        }
        Some(answer)
    }
}
