//! Flows: who gets what next, as pure state machines over messages.
//!
//! A flow is a macro over mailboxes and no second engine. It says what to [send](FlowSend); the
//! runtime delivers, retries and gives up as it does with any message, and tells the flow how each
//! one [ended](Flow::settled). A message carries its place in the flow as a [`FlowKey`] in its
//! metadata; a key that ends twice counts once, so handling at least once is enough.

mod answer;
mod demand;
mod items;
mod key;
mod map;
mod pipe;
mod repeat;
mod spec;
mod urgent;

use std::collections::BTreeMap;

use orch_runtime::{Content, LoopGuard, MessagePriority};

pub use answer::{FlowAnswer, FlowProblem, UrgentAnswer};
pub use demand::{Demand, Guard, GuardTooLow, GuardsTooLow};
pub use items::BadList;
pub use key::{FlowKey, ParseFlowKeyError};
pub use spec::{FlowSpec, Loop, Map, Over, Pipe, Split, Steps, Urgent};

use crate::name::AgentName;
use key::Part;
use map::MapRun;
use pipe::PipeRun;
use repeat::LoopRun;
use urgent::UrgentQueue;

/// A message that a flow wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowSend {
    /// Who is to handle it.
    pub to: AgentName,
    /// What it says.
    pub content: Content,
    /// Its priority; `None` for the one that its sender sends with.
    pub priority: Option<MessagePriority>,
    /// Its place in the flow, to be carried in its metadata under [`FlowKey::METADATA`].
    pub key: FlowKey,
}

/// Why a flow cannot start with what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// An input says nothing.
    #[error("input {number} is empty")]
    EmptyInput {
        /// Which one, counted from 1.
        number: usize,
    },
    /// The flow works on an input and got none.
    #[error("this flow needs an input")]
    NoInput,
    /// The list to map over is empty.
    #[error("nothing to map: the list is empty")]
    NothingToMap,
    /// An input is not the list that it should be.
    #[error("input {number} is not a list: {error}")]
    BadList {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: BadList,
    },
    /// The flow needs more than its guards allow.
    #[error(transparent)]
    GuardsTooLow(#[from] GuardsTooLow),
    /// A flow runs once.
    #[error("the flow has been started before")]
    StartedBefore,
}

/// How a message of the flow ended.
#[derive(Clone, Debug)]
enum Ended {
    Output(Option<Content>),
    GaveUp(String),
}

/// What a step of the flow wants done.
#[derive(Debug, Default)]
struct Effects {
    sends: Vec<FlowSend>,
    problems: Vec<FlowProblem>,
}

impl Effects {
    fn send(&mut self, to: &AgentName, content: impl Into<Content>, part: Part) {
        let (to, content, key) = (to.clone(), content.into(), FlowKey(part));
        self.sends.push(FlowSend { to, content, priority: None, key });
    }
}

/// One run of a team's flow.
///
/// # Ordering
///
/// Messages may end in any order. Sends are to be done in the order in which they are given.
///
/// # Examples
///
/// ```
/// use orch_runtime::LoopGuard;
/// use orch_team::{AgentName, Flow, FlowSpec};
///
/// let stages = vec![AgentName::try_new("writer")?, AgentName::try_new("editor")?];
/// let mut flow = Flow::new(&FlowSpec::pipe(stages), LoopGuard::default());
///
/// let to_writer = flow.start(vec!["a haiku".into()])?;
/// let to_editor = flow.settled(&to_writer[0].key, Some("drfat".into()));
/// assert_eq!(to_editor[0].content, "drfat");
/// flow.settled(&to_editor[0].key, Some("draft".into()));
/// assert_eq!(flow.answer().expect("the flow is done").content, "draft");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Flow {
    spec: FlowSpec,
    guards: LoopGuard,
    machine: Option<Machine>,
    urgent: UrgentQueue,
    /// What was sent and has not ended. Invariant: a key is put in once.
    open: BTreeMap<FlowKey, AgentName>,
    /// What has ended, without the urgent messages.
    n_ended: u64,
    problems: Vec<FlowProblem>,
}

#[derive(Debug)]
enum Machine {
    Pipe(PipeRun),
    Map(MapRun),
    Loop(LoopRun),
}

impl Flow {
    /// A flow that has not started, for a team with these guards.
    #[must_use]
    pub fn new(spec: &FlowSpec, guards: LoopGuard) -> Self {
        Self {
            guards,
            machine: None,
            urgent: UrgentQueue::new(&spec.urgent),
            spec: spec.clone(),
            open: BTreeMap::new(),
            n_ended: 0,
            problems: Vec::new(),
        }
    }

    /// Begins with these inputs; the first messages to send.
    ///
    /// Without any input the first agent of a pipe, and the agent that makes the list of a map, get
    /// an empty message: they know by themselves where to look.
    ///
    /// # Errors
    ///
    /// [`FlowError`] if an input is empty or missing, if there is nothing to do, or if the guards
    /// are too low for what is to be done. Nothing has been started then.
    pub fn start(&mut self, inputs: Vec<Content>) -> Result<Vec<FlowSend>, FlowError> {
        if self.machine.is_some() {
            return Err(FlowError::StartedBefore);
        }
        self.spec.demand(&inputs)?.check(&self.guards)?;
        let mut effects = Effects::default();
        self.machine = Some(match &self.spec.steps {
            Steps::Pipe(pipe) => Machine::Pipe(PipeRun::start(pipe, inputs, &mut effects)),
            Steps::Map(map) => Machine::Map(MapRun::start(
                map,
                &self.spec.urgent,
                self.guards,
                &inputs,
                &mut effects,
            )?),
            Steps::Loop(it) => Machine::Loop(LoopRun::start(it, &inputs, &mut effects)?),
        });
        Ok(self.apply(effects))
    }

    /// A message was handled; what to send next. Unknown and repeated keys change nothing.
    pub fn settled(&mut self, key: &FlowKey, output: Option<Content>) -> Vec<FlowSend> {
        self.ended(key, Ended::Output(output))
    }

    /// A message became a dead letter; what to send next. Unknown and repeated keys change nothing.
    pub fn gave_up(&mut self, key: &FlowKey, reason: &str) -> Vec<FlowSend> {
        self.ended(key, Ended::GaveUp(reason.to_owned()))
    }

    fn ended(&mut self, key: &FlowKey, ended: Ended) -> Vec<FlowSend> {
        let Some(agent) = self.open.remove(key) else { return Vec::new() };
        let mut effects = Effects::default();
        if let Part::Urgent(number) = key.0 {
            self.urgent.ended(number, &agent, ended, &mut effects);
        } else {
            self.n_ended += 1;
            match &mut self.machine {
                Some(Machine::Pipe(pipe)) => pipe.ended(key.0, ended, &mut effects),
                Some(Machine::Map(map)) => map.ended(&agent, key.0, ended, &mut effects),
                Some(Machine::Loop(repeat)) => repeat.ended(key.0, ended, &mut effects),
                None => {}
            }
        }
        self.apply(effects)
    }

    fn apply(&mut self, mut effects: Effects) -> Vec<FlowSend> {
        // Nothing overtakes a flow that has nothing left to overtake.
        if !self.is_machine_done() {
            self.urgent.release(self.n_ended, &mut effects);
        }
        self.problems.append(&mut effects.problems);
        for send in &effects.sends {
            let before = self.open.insert(send.key, send.to.clone());
            debug_assert!(before.is_none(), "a place of the flow is sent once");
        }
        effects.sends
    }

    /// The answer, once nothing is left to do.
    #[must_use]
    pub fn answer(&self) -> Option<FlowAnswer> {
        (self.is_machine_done() && self.open.is_empty()).then(|| self.make_answer(Vec::new()))
    }

    /// The answer, or what there is of it if the run ended before the flow did.
    #[must_use]
    pub fn answer_so_far(&self) -> FlowAnswer {
        self.answer().unwrap_or_else(|| {
            let (n_ended, n_open) = (self.n_ended, self.open.len() as u64);
            self.make_answer(vec![FlowProblem::Unfinished { n_ended, n_open }])
        })
    }

    /// Messages of the flow that were sent and have not ended.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Messages of the flow that have ended, without the urgent ones.
    #[must_use]
    pub fn n_ended(&self) -> u64 {
        self.n_ended
    }

    fn is_machine_done(&self) -> bool {
        match &self.machine {
            Some(Machine::Pipe(pipe)) => pipe.is_done(),
            Some(Machine::Map(map)) => map.is_done(),
            Some(Machine::Loop(repeat)) => repeat.is_done(),
            None => false,
        }
    }

    fn make_answer(&self, further: Vec<FlowProblem>) -> FlowAnswer {
        let content = match &self.machine {
            Some(Machine::Pipe(pipe)) => pipe.content(),
            Some(Machine::Map(map)) => map.content(),
            Some(Machine::Loop(repeat)) => repeat.content(),
            None => Content::default(),
        };
        let mut problems: Vec<_> = self.problems.iter().cloned().chain(further).collect();
        if problems.is_empty() {
            // Where something else went wrong, that is why the flow was too short.
            problems = self.urgent.unsent(self.n_ended);
        }
        let partial = problems.iter().any(FlowProblem::makes_partial);
        FlowAnswer { content, partial, problems, urgent: self.urgent.answers() }
    }
}
