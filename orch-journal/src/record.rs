//! What is written: one value for each thing that happened, enough to recover, to answer questions
//! and to replay.

use std::fmt;

use orch_core::{
    AgentConfig, AgentId, AgentMessage, ChainId, Content, DeadLetter, Decision, EventKind,
    LoopGuard, MessageId, StepKey, StopReason, Timestamp, ToolCall, Usage,
};
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;

/// The number of an event in its journal: 1 for the first, dense, ascending.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}", self.0)
    }
}

/// A record with its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// When it happened, by the clock of whoever committed it.
    pub at: Timestamp,
    /// What happened.
    pub record: Record,
}

/// What a handler did in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// It sent a message.
    Send,
    /// It asked, and waits for the answer.
    Ask,
    /// It spawned an agent.
    Spawn,
    /// It called a tool.
    Tool,
    /// It sent a message to everybody.
    Broadcast,
    /// It sent a message to the subscribers of a topic.
    Publish,
    /// It retired an agent.
    Retire,
}

/// One thing that happened. In JSON an object with one key, the variant's name in snake case.
///
/// New variants and new fields with defaults keep older journals readable; anything else is a new
/// format version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A run began. None may be open.
    RunStarted {
        /// Its number, counted from 1.
        run: u64,
        /// The hash of the team's file, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team: Option<ContentHash>,
        /// Its limits.
        guard: LoopGuard,
        /// The first of the runs, each cut off, whose counts of rounds and messages this one goes on
        /// with; none if it counts from zero.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
    },
    /// The open run ended.
    RunEnded {
        /// Its number.
        run: u64,
        /// Why it ended.
        reason: StopReason,
    },
    /// The process that wrote before ended without a word: attempts in flight failed, and the open
    /// run is over. [`Journal::open`](crate::Journal::open) writes it where it is due.
    Recovered {},
    /// An agent was registered, or registered again under its id with another configuration.
    AgentRegistered {
        /// Its id.
        agent: AgentId,
        /// How it was made.
        config: AgentConfig,
        /// Who spawned it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<AgentId>,
    },
    /// An agent was retired. What waited for it became dead letters before.
    AgentRetired {
        /// Which agent.
        agent: AgentId,
    },
    /// An agent failed; what waits for it stays.
    AgentFailed {
        /// Which agent.
        agent: AgentId,
        /// Why.
        error: String,
    },
    /// A supervisor reopened an agent's session.
    AgentRestarted {
        /// Which agent.
        agent: AgentId,
        /// Restarts within the window of the intensity, this one included.
        restarts: u32,
    },
    /// A message was accepted. Its place in its lane is the number of this event.
    Accepted {
        /// The message.
        message: AgentMessage,
        /// The run whose handler sent it; 0 if it came from outside.
        #[serde(default, skip_serializing_if = "is_zero")]
        origin_run: u64,
        /// The round in which that handler ran.
        #[serde(default, skip_serializing_if = "is_zero")]
        origin_round: u64,
        /// The step that sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepKey>,
    },
    /// An attempt began.
    AttemptStarted {
        /// Who handles it.
        agent: AgentId,
        /// What is handled.
        message: MessageId,
        /// The number of the attempt, counted from 1.
        attempt: u32,
        /// The round of the hand-out.
        round: u64,
    },
    /// A handler sent, asked or spawned.
    StepTaken {
        /// Who handles it.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// What was done.
        kind: StepKind,
        /// To whom, or what: an agent's or a tool's name.
        name: String,
        /// The hash of what was said.
        input: ContentHash,
        /// What came of it, if that is known at once: the id of the message or of the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Content>,
    },
    /// What came of a step became known.
    StepAnswered {
        /// Who handles it.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// What came of it.
        output: Content,
    },
    /// A tool call was decided: the step's first record, or what a person said to an earlier
    /// [`Decision::Ask`].
    ToolDecided {
        /// Who wants to call.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// The call; secrets in it are masked.
        call: ToolCall,
        /// The hash of the call as it was made, from [`ContentHash::of_call`].
        input: ContentHash,
        /// What was decided.
        decision: Decision,
    },
    /// A tool call that was allowed begins.
    ToolStarted {
        /// Who calls.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// Whether it may be repeated if nobody knows how it ended.
        idempotent: bool,
    },
    /// A tool call ended.
    ToolFinished {
        /// Who called.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// What the tool answered.
        output: Content,
    },
    /// A tool call that began had no effect, and may be made again: the tool says so, or a person.
    ToolReset {
        /// Who called.
        agent: AgentId,
        /// Which step.
        key: StepKey,
        /// Why.
        reason: String,
    },
    /// An attempt ended well: the delivery and its steps are done with. The messages that go on as
    /// its answer stand in the same set.
    Settled {
        /// Who handled it.
        agent: AgentId,
        /// What was handled.
        message: MessageId,
        /// The number of the attempt.
        attempt: u32,
        /// What answers the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Content>,
        /// What the attempt used in all. Told, not counted: [`Record::Used`] counts.
        #[serde(default, skip_serializing_if = "Usage::is_zero")]
        usage: Usage,
        /// How long the attempt took, in milliseconds.
        handling_ms: u64,
    },
    /// An attempt ended badly and will be tried again.
    RetryScheduled {
        /// Who tried.
        agent: AgentId,
        /// What was tried.
        message: MessageId,
        /// The number of the attempt that failed.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// A stop cut an attempt off; the message is back in its place, and the attempt does not count.
    PutBack {
        /// Who handled it.
        agent: AgentId,
        /// What went back.
        message: MessageId,
    },
    /// A message was given up, accepted or not.
    DeadLettered {
        /// The whole letter.
        letter: DeadLetter,
    },
    /// An operator dropped a dead letter, and with it the steps that its delivery took.
    LetterDropped {
        /// Whose message it was.
        agent: AgentId,
        /// Which message.
        message: MessageId,
        /// The event that made the letter; without it, the oldest letter of the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        letter: Option<Seq>,
        /// The message that was accepted in its stead, in the same set, to be handled afresh.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_as: Option<MessageId>,
    },
    /// A dead letter was sent again: its message waits with all its attempts and without its deadline,
    /// behind what waits there now, and with the steps that it took before.
    SentAgain {
        /// Whose message it is.
        agent: AgentId,
        /// Which message.
        message: MessageId,
        /// The event that made the letter; without it, the oldest letter of the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        letter: Option<Seq>,
    },
    /// A question waits for its answer.
    Asked {
        /// Who asks; [`AgentId::OUTSIDE`] for a program.
        agent: AgentId,
        /// The question.
        question: MessageId,
        /// Who is asked.
        to: AgentId,
    },
    /// A question was answered.
    Answered {
        /// Who asked.
        agent: AgentId,
        /// The question.
        question: MessageId,
        /// The answer.
        answer: Content,
    },
    /// A question will not be answered.
    QuestionFailed {
        /// Who asked.
        agent: AgentId,
        /// The question.
        question: MessageId,
        /// Why.
        error: String,
    },
    /// Something was used: counted for the run, the agent and the chain.
    Used {
        /// Who used it.
        agent: AgentId,
        /// For which chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chain: Option<ChainId>,
        /// What was used since the last report.
        usage: Usage,
    },
    /// A guard stopped the run.
    GuardTripped {
        /// The guard's name: a field of `LoopGuard`.
        guard: String,
        /// The figure that would have passed the limit.
        figure: u64,
        /// The limit.
        limit: u64,
        /// Whose figure it is, if it is an agent's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
    },
    /// A rate limit granted a call: it counts for an hour.
    CallGranted {
        /// Who may call.
        agent: AgentId,
        /// The name of the policy that counts: a tool, or `*`.
        policy: String,
    },
    /// Where a conversation stands that a loop of ours holds. Written whole, stored as what is new.
    Conversed {
        /// Whose conversation it is.
        agent: AgentId,
        /// Which of its conversations.
        conversation: String,
        /// All of it.
        text: Content,
    },
    /// Anything else that is worth telling.
    Noted {
        /// What happened.
        event: EventKind,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    /// Whose timeline it belongs to: the one who handles, or to whom a message goes.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        match self {
            Self::RunStarted { .. } | Self::RunEnded { .. } | Self::Recovered {} => None,
            Self::Accepted { message, .. } => Some(message.to()),
            Self::DeadLettered { letter } => Some(letter.message.to()),
            Self::GuardTripped { agent, .. } => *agent,
            Self::Noted { event } => noted_agent(event),
            Self::AgentRegistered { agent, .. }
            | Self::AgentRetired { agent }
            | Self::AgentFailed { agent, .. }
            | Self::AgentRestarted { agent, .. }
            | Self::AttemptStarted { agent, .. }
            | Self::StepTaken { agent, .. }
            | Self::StepAnswered { agent, .. }
            | Self::ToolDecided { agent, .. }
            | Self::ToolStarted { agent, .. }
            | Self::ToolFinished { agent, .. }
            | Self::ToolReset { agent, .. }
            | Self::Settled { agent, .. }
            | Self::RetryScheduled { agent, .. }
            | Self::PutBack { agent, .. }
            | Self::LetterDropped { agent, .. }
            | Self::SentAgain { agent, .. }
            | Self::Asked { agent, .. }
            | Self::Answered { agent, .. }
            | Self::QuestionFailed { agent, .. }
            | Self::Used { agent, .. }
            | Self::CallGranted { agent, .. }
            | Self::Conversed { agent, .. } => Some(*agent),
        }
    }

    /// The message that it is about, if it is about one.
    #[must_use]
    pub fn message(&self) -> Option<MessageId> {
        match self {
            Self::Accepted { message, .. } => Some(message.id()),
            Self::DeadLettered { letter } => Some(letter.message.id()),
            Self::AttemptStarted { message, .. }
            | Self::Settled { message, .. }
            | Self::RetryScheduled { message, .. }
            | Self::PutBack { message, .. }
            | Self::LetterDropped { message, .. }
            | Self::SentAgain { message, .. } => Some(*message),
            Self::StepTaken { key, .. }
            | Self::StepAnswered { key, .. }
            | Self::ToolDecided { key, .. }
            | Self::ToolStarted { key, .. }
            | Self::ToolFinished { key, .. }
            | Self::ToolReset { key, .. } => Some(key.delivery),
            Self::Asked { question, .. }
            | Self::Answered { question, .. }
            | Self::QuestionFailed { question, .. } => Some(*question),
            _ => None,
        }
    }

    /// The number of its kind in the file. Never given to another kind.
    #[must_use]
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            Self::RunStarted { .. } => 1,
            Self::RunEnded { .. } => 2,
            Self::Recovered {} => 3,
            Self::AgentRegistered { .. } => Self::AGENT_REGISTERED,
            Self::AgentRetired { .. } => 5,
            Self::AgentFailed { .. } => 6,
            Self::AgentRestarted { .. } => 7,
            Self::Accepted { .. } => Self::ACCEPTED,
            Self::AttemptStarted { .. } => 9,
            Self::StepTaken { .. } => 10,
            Self::StepAnswered { .. } => 11,
            Self::ToolDecided { .. } => 12,
            Self::ToolStarted { .. } => 13,
            Self::ToolFinished { .. } => 14,
            Self::Settled { .. } => 15,
            Self::RetryScheduled { .. } => 16,
            Self::PutBack { .. } => 17,
            Self::DeadLettered { .. } => Self::DEAD_LETTERED,
            Self::LetterDropped { .. } => 19,
            Self::SentAgain { .. } => 20,
            Self::Asked { .. } => 21,
            Self::Answered { .. } => 22,
            Self::QuestionFailed { .. } => 23,
            Self::Used { .. } => 24,
            Self::GuardTripped { .. } => 25,
            Self::CallGranted { .. } => 26,
            Self::Conversed { .. } => 27,
            Self::Noted { .. } => 28,
            Self::ToolReset { .. } => 29,
        }
    }

    pub(crate) const AGENT_REGISTERED: u8 = 4;
    pub(crate) const ACCEPTED: u8 = 8;
    pub(crate) const DEAD_LETTERED: u8 = 18;

    /// The name of a kind of this number.
    pub(crate) const fn kind_name(kind: u8) -> &'static str {
        const NAMES: [&str; 30] = [
            "unknown",
            "run_started",
            "run_ended",
            "recovered",
            "agent_registered",
            "agent_retired",
            "agent_failed",
            "agent_restarted",
            "accepted",
            "attempt_started",
            "step_taken",
            "step_answered",
            "tool_decided",
            "tool_started",
            "tool_finished",
            "settled",
            "retry_scheduled",
            "put_back",
            "dead_lettered",
            "letter_dropped",
            "sent_again",
            "asked",
            "answered",
            "question_failed",
            "used",
            "guard_tripped",
            "call_granted",
            "conversed",
            "noted",
            "tool_reset",
        ];
        let index = if kind as usize >= NAMES.len() { 0 } else { kind as usize };
        NAMES[index]
    }

    /// What may be long: it is stored apart, once.
    pub(crate) fn content(&self) -> Option<&Content> {
        match self {
            Self::Accepted { message, .. } => Some(message.content()),
            Self::StepTaken { output, .. } => Some(output.as_ref()?),
            Self::StepAnswered { output, .. } => Some(output),
            Self::ToolFinished { output, .. } => Some(output),
            Self::Settled { output, .. } => Some(output.as_ref()?),
            Self::DeadLettered { letter } => Some(letter.message.content()),
            Self::Answered { answer, .. } => Some(answer),
            Self::Conversed { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Where the content of a kind stands in its JSON.
    pub(crate) const fn content_place(kind: u8) -> &'static str {
        match kind {
            Self::ACCEPTED => "/accepted/message/content",
            10 => "/step_taken/output",
            11 => "/step_answered/output",
            14 => "/tool_finished/output",
            15 => "/settled/output",
            18 => "/dead_lettered/letter/message/content",
            22 => "/answered/answer",
            _ => "/conversed/text",
        }
    }
}

fn noted_agent(event: &EventKind) -> Option<AgentId> {
    match event {
        EventKind::Registered { agent, .. }
        | EventKind::Unregistered { agent }
        | EventKind::StatusChanged { agent, .. }
        | EventKind::ApprovalAsked { agent, .. }
        | EventKind::Said { agent, .. } => Some(*agent),
        EventKind::SendWaiting { to, .. } => Some(*to),
        _ => None,
    }
}
