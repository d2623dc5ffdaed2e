//! What a flow comes to, and what went wrong on the way.

use orch_runtime::Content;

use super::demand::GuardsTooLow;
use super::items::BadList;
use crate::name::AgentName;
use crate::problem::n_of;

/// Where a flow came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowAnswer {
    /// What the team says; empty if nothing came of the flow.
    pub content: Content,
    /// Whether something that belongs into the answer is missing from it.
    pub partial: bool,
    /// What went wrong, in the order in which it happened.
    pub problems: Vec<FlowProblem>,
    /// What the urgent messages were answered with, in the order of the team file.
    pub urgent: Vec<UrgentAnswer>,
}

/// What an urgent message was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UrgentAnswer {
    /// Who was asked.
    pub agent: AgentName,
    /// What it said.
    pub content: Content,
}

/// Something that went wrong in a flow. The rest of the flow went on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowProblem {
    /// A message became a dead letter.
    #[error("`{agent}` gave up on {part}: {reason}")]
    GaveUp {
        /// Who had it.
        agent: AgentName,
        /// Which part of the flow it was.
        part: String,
        /// Why it was given up.
        reason: String,
    },
    /// An agent handled a message and answered nothing, where something follows.
    #[error("`{agent}` answered nothing to {part}")]
    NoOutput {
        /// Who had it.
        agent: AgentName,
        /// Which part of the flow it was.
        part: String,
    },
    /// The list to map over is empty.
    #[error("nothing to map: the list of `{agent}` is empty")]
    NothingToMap {
        /// Who made the list.
        agent: AgentName,
    },
    /// The list to map over is none.
    #[error("`{agent}` did not answer with a list: {error}")]
    BadList {
        /// Who should have made the list.
        agent: AgentName,
        /// What is wrong with it.
        error: BadList,
    },
    /// The list is longer than the guards allow; none of it was begun.
    #[error(transparent)]
    GuardsTooLow(#[from] GuardsTooLow),
    /// The checker did not approve.
    #[error("`{checker}` did not approve within {}", n_of(u64::from(*.rounds), "round"))]
    NotApproved {
        /// Who checks.
        checker: AgentName,
        /// How many rounds there were.
        rounds: u32,
    },
    /// An urgent message became a dead letter.
    #[error("`{agent}` gave up on an urgent message: {reason}")]
    UrgentGaveUp {
        /// Who had it.
        agent: AgentName,
        /// Why it was given up.
        reason: String,
    },
    /// An urgent message was not sent, because the flow was too short for it.
    #[error(
        "the urgent message to `{agent}` was not sent: it waits for {}, and there were {n_ended}",
        n_of(*.after_answers, "answer")
    )]
    UrgentNotSent {
        /// Who would have had it.
        agent: AgentName,
        /// The answers that it waits for.
        after_answers: u64,
        /// The answers that there were.
        n_ended: u64,
    },
    /// The run ended before the flow did.
    #[error(
        "the flow did not come to its end: {} answered, {n_open} open",
        n_of(*.n_ended, "message")
    )]
    Unfinished {
        /// Messages that have ended.
        n_ended: u64,
        /// Messages that have not.
        n_open: u64,
    },
}

impl FlowProblem {
    /// Whether something is missing from the answer because of this.
    #[must_use]
    pub const fn makes_partial(&self) -> bool {
        !matches!(self, Self::UrgentGaveUp { .. } | Self::UrgentNotSent { .. })
    }
}

/// Joins texts with a line break between them. Line breaks at the end of each are dropped, so that
/// the outputs of programs do not leave blank lines.
pub(super) fn join_lines<'a>(texts: impl IntoIterator<Item = &'a Content>) -> Content {
    let mut texts: Vec<&Content> = texts.into_iter().collect();
    if let [only] = texts[..] {
        return only.clone();
    }
    let lines = texts.drain(..).map(|text| text.trim_end_matches(['\n', '\r']));
    lines.collect::<Vec<_>>().join("\n").into()
}
