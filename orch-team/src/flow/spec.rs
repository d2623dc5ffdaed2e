//! What a flow is, before it runs.

use orch_runtime::Content;

use crate::name::AgentName;

/// A flow as a team file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowSpec {
    /// Who gets what, in which order.
    pub steps: Steps,
    /// Critical messages that are sent between the others.
    pub urgent: Vec<Urgent>,
}

/// Who gets what, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Steps {
    /// Each input through all stages.
    Pipe(Pipe),
    /// One message an item, then one with all outputs.
    Map(Map),
    /// Work and check, until the checker approves.
    Loop(Loop),
}

/// Each input goes through all stages; the output of one is what the next one gets.
///
/// The answer is the outputs of the last stage in the order of the inputs, a line break between
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pipe {
    /// The agents, first to last; at least one.
    pub stages: Vec<AgentName>,
}

/// A list is split; each item is a message; the outputs, **in the order of the items**, go to one
/// agent in one message, a line break between them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Map {
    /// What the list is.
    pub over: Over,
    /// Who handles the items, in turns; at least one.
    pub agents: Vec<AgentName>,
    /// Who makes one answer of the outputs; `None` if the outputs are the answer.
    pub reduce: Option<AgentName>,
}

/// One agent works and one checks, until the checker says so.
///
/// In the first round the doer gets the input as it is. The checker gets
///
/// ```text
/// # Task
/// <the input>
///
/// # Work
/// <what the doer answered>
/// ```
///
/// and from the second round on the doer gets the same, and after it
///
/// ```text
///
/// # Feedback
/// <what the checker answered>
/// ```
///
/// The work is approved if the first line of the checker's answer that is not blank is `says`,
/// whatever the case of the letters, and without regard to spaces and punctuation around it:
/// `APPROVED`, `Approved.` and `**approved**` approve; `not approved` and `approved, but …` do not.
/// The answer is the work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loop {
    /// Who works.
    pub doer: AgentName,
    /// Who checks.
    pub checker: AgentName,
    /// What the checker says when the work is good; it has a letter or a digit.
    pub says: String,
    /// Rounds at most, at least 1.
    pub at_most: u32,
}

/// What a map goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// Each input is an item.
    Inputs,
    /// The inputs are lists.
    Lists(Split),
    /// An agent gets the inputs in one message, and its output is a list.
    Agent {
        /// Who makes the list.
        agent: AgentName,
        /// How its output is split.
        split: Split,
    },
}

/// How a text is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Split {
    /// Each line that is not blank is an item.
    Lines,
    /// The text is a JSON array; a string is an item as it is, anything else as its JSON.
    Json,
}

/// A Critical message that is sent while the others wait, and so overtakes them.
///
/// What it is answered with is kept beside the flow's answer and is no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Urgent {
    /// Who gets it.
    pub to: AgentName,
    /// What it says.
    pub content: Content,
    /// It is sent once so many messages of the flow have ended, without the urgent ones; 0 for at
    /// once.
    pub after_answers: u64,
}

impl FlowSpec {
    /// A pipe through these agents.
    ///
    /// # Panics
    ///
    /// If there is no agent.
    #[must_use]
    pub fn pipe(stages: Vec<AgentName>) -> Self {
        assert!(!stages.is_empty(), "a pipe has a stage");
        Self::new(Steps::Pipe(Pipe { stages }))
    }

    /// A map of these agents, in turns, over a list.
    ///
    /// # Panics
    ///
    /// If there is no agent.
    #[must_use]
    pub fn map(agents: Vec<AgentName>, over: Over, reduce: Option<AgentName>) -> Self {
        assert!(!agents.is_empty(), "a map has an agent");
        Self::new(Steps::Map(Map { over, agents, reduce }))
    }

    /// A loop of a doer and a checker, for at most `at_most` rounds.
    ///
    /// # Panics
    ///
    /// If `at_most` is 0, or if `says` has neither a letter nor a digit.
    #[must_use]
    pub fn repeat(
        doer: AgentName,
        checker: AgentName,
        says: impl Into<String>,
        at_most: u32,
    ) -> Self {
        let says = says.into();
        assert!(0 < at_most && says.contains(char::is_alphanumeric), "a loop can end");
        Self::new(Steps::Loop(Loop { doer, checker, says, at_most }))
    }

    fn new(steps: Steps) -> Self {
        Self { steps, urgent: Vec::new() }
    }

    /// Adds a message that overtakes the others once `after_answers` of them have ended.
    #[must_use]
    pub fn with_urgent(
        mut self,
        to: AgentName,
        content: impl Into<Content>,
        after_answers: u64,
    ) -> Self {
        self.urgent.push(Urgent { to, content: content.into(), after_answers });
        self
    }

    /// Every agent that the flow sends to; some more than once.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        let steps: Vec<&AgentName> = match &self.steps {
            Steps::Pipe(pipe) => pipe.stages.iter().collect(),
            Steps::Map(map) => {
                map.lister().into_iter().chain(&map.agents).chain(&map.reduce).collect()
            }
            Steps::Loop(it) => vec![&it.doer, &it.checker],
        };
        steps.into_iter().chain(self.urgent.iter().map(|it| &it.to))
    }
}

impl Map {
    /// Who makes the list, if an agent does.
    pub(super) fn lister(&self) -> Option<&AgentName> {
        match &self.over {
            Over::Agent { agent, .. } => Some(agent),
            Over::Inputs | Over::Lists(_) => None,
        }
    }
}
