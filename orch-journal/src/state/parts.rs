//! The parts of a state, one type for each thing that is live.

use orch_core::{
    AgentConfig, AgentId, AgentMessage, AttemptError, Content, DeadLetter, Decision, DeliveryState,
    LoopGuard, MessageId, StopReason, Timestamp, ToolCall, Usage,
};
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::record::{Seq, StepKind};

/// A run: the events from its first to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, counted from 1.
    pub run: u64,
    /// Its first event.
    pub first: Seq,
    /// When it began.
    pub started_at: Timestamp,
    /// The hash of the team's file.
    pub team: Option<ContentHash>,
    /// Its limits.
    pub guard: LoopGuard,
    /// Its last event and when that was; `None` while it is open.
    pub ended: Option<(Seq, Timestamp)>,
    /// Why it ended; `None` if the process was cut off, or it is open.
    pub reason: Option<StopReason>,
    /// The highest round that was handed out.
    pub iterations: u64,
    /// The first of the cut-off runs whose counts this one goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// What was used in it, and after it until the next began.
    pub usage: Usage,
}

impl Run {
    /// The first run whose messages and rounds count as this one's: it itself, unless it goes on where
    /// others were cut off.
    #[must_use]
    pub fn counts_since(&self) -> u64 {
        self.since.unwrap_or(self.run)
    }
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its id, which it keeps across restarts.
    pub id: AgentId,
    /// The event that registered it.
    pub seq: Seq,
    /// How it was made; secrets in it are masked.
    pub config: AgentConfig,
    /// Who spawned it.
    pub parent: Option<AgentId>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
    /// Restarts within the window of the intensity, when the last one happened.
    pub restarts: u32,
}

/// What is counted of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The run that `last_round` and `messages` are of.
    pub run: u64,
    /// The round of its last hand-out.
    pub last_round: u64,
    /// Messages that were handed out to it; a retry is not another one.
    pub messages: u64,
    /// All that it used.
    pub usage: Usage,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The event that has the message: the one that accepted it, or its dead letter if none did
    /// before it was sent again.
    pub seq: Seq,
    /// Its place in its lane: the number of that event, or of the one that sent it again.
    pub place: Seq,
    /// The message.
    pub message: AgentMessage,
    /// Where it stands.
    pub state: DeliveryState,
    /// The attempts that failed, oldest first.
    pub errors: Vec<AttemptError>,
    /// The run in which it was handed out last; 0 for none.
    pub run: u64,
    /// The round of that hand-out.
    pub round: u64,
}

impl Delivery {
    /// The number of its attempt, the one that runs or the next one.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        match &self.state {
            DeliveryState::Queued { attempt, .. } | DeliveryState::Running { attempt, .. } => {
                *attempt
            }
            // A delivery that is settled is not live.
            _ => 0,
        }
    }

    /// Whether an attempt is under way.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.state, DeliveryState::Running { .. })
    }

    /// When it may be handed out.
    #[must_use]
    pub const fn ready_at(&self) -> Timestamp {
        match &self.state {
            DeliveryState::Queued { ready_at, .. } => *ready_at,
            _ => Timestamp::NEVER,
        }
    }
}

/// A dead letter with where it stands in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The event that made it.
    pub seq: Seq,
    /// The event that has its message, if that is an earlier one.
    pub accepted: Option<Seq>,
    /// The letter.
    pub letter: DeadLetter,
}

/// A step that a delivery has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The event that recorded it first.
    pub seq: Seq,
    /// What was done.
    pub kind: StepKind,
    /// To whom, or what.
    pub name: String,
    /// The hash of what was said. A retried attempt that says something else has taken another way.
    pub input: ContentHash,
    /// What came of it.
    pub output: Option<Content>,
    /// The event that told so, if it was a later one.
    pub answered: Option<Seq>,
    /// How far it is, if it is a tool call.
    pub tool: Option<ToolProgress>,
}

/// How far a tool call is.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolProgress {
    /// What was decided last.
    pub decision: Decision,
    /// The event that decided last.
    pub decided: Seq,
    /// Whether it has begun, and then whether it is idempotent.
    pub started: Option<bool>,
}

impl Step {
    pub(crate) fn tool(seq: Seq, call: &ToolCall, input: ContentHash) -> Self {
        Self::taken(seq, StepKind::Tool, &call.tool, input, None)
    }

    pub(crate) fn taken(
        seq: Seq,
        kind: StepKind,
        name: &str,
        input: ContentHash,
        output: Option<Content>,
    ) -> Self {
        Self { seq, kind, name: name.to_owned(), input, output, answered: None, tool: None }
    }

    /// What came of this step in an earlier attempt, for one that takes it again.
    ///
    /// # Errors
    ///
    /// [`StepMismatch`] if this attempt takes another step there. A person or a policy decides what
    /// follows; it is never taken blindly.
    pub fn taken_again(
        &self,
        kind: StepKind,
        name: &str,
        input: ContentHash,
    ) -> Result<Option<&Content>, StepMismatch> {
        if (self.kind, self.name.as_str(), self.input) == (kind, name, input) {
            return Ok(self.output.as_ref());
        }
        let (recorded_kind, recorded) = (self.kind, self.name.clone());
        Err(StepMismatch { recorded_kind, recorded, kind, name: name.to_owned() })
    }

    /// Whether it is a tool call that was started and of which nobody knows how it ended.
    #[must_use]
    pub fn is_unfinished_tool(&self) -> bool {
        self.output.is_none() && self.tool.as_ref().is_some_and(|tool| tool.started.is_some())
    }
}

/// An attempt took another step than the one before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an earlier attempt took the step {recorded_kind:?} `{recorded}` here, this one takes {kind:?} \
     `{name}` or says something else"
)]
pub struct StepMismatch {
    /// What was done.
    pub recorded_kind: StepKind,
    /// To whom, or what.
    pub recorded: String,
    /// What is to be done now.
    pub kind: StepKind,
    /// To whom, or what.
    pub name: String,
}

/// A question that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The event that recorded it.
    pub seq: Seq,
    /// Who asks.
    pub agent: AgentId,
    /// Who is asked.
    pub to: AgentId,
}

/// A call that a rate limit granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who may call.
    pub agent: AgentId,
    /// The policy that counts.
    pub policy: String,
    /// When; never before the one before it.
    pub at: Timestamp,
}

/// What a chain has used, and how many of its deliveries are live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Invariant: at least 1.
    pub n_live: u64,
    /// What was used.
    pub usage: Usage,
}

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The event that told so.
    pub seq: Seq,
    /// All of it.
    pub text: Content,
}

/// The oldest letter of a message.
pub(super) fn oldest<'a>(
    letters: impl IntoIterator<Item = (&'a Seq, &'a Letter)>,
    message: MessageId,
) -> Option<Seq> {
    let mut of = letters.into_iter().filter(|(_, it)| it.letter.message.id() == message);
    of.next().map(|(seq, _)| *seq)
}
