//! What travels between agents.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AgentId, ChainId, Content, MessageId, Timestamp, mint};

/// How urgent a message is. Messages are delivered Critical first, Low last.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum MessagePriority {
    /// After everything else.
    Low = 0,
    /// The default.
    #[default]
    Normal = 1,
    /// Before Normal.
    High = 2,
    /// Before everything else.
    Critical = 3,
}

impl MessagePriority {
    /// All priorities, the most urgent first: the order in which lanes are received from.
    pub const MOST_URGENT_FIRST: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The number of this priority's lane: 0 for Low to 3 for Critical.
    #[must_use]
    pub const fn lane(self) -> usize {
        self as usize
    }
}

impl fmt::Display for MessagePriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "Low",
            Self::Normal => "Normal",
            Self::High => "High",
            Self::Critical => "Critical",
        })
    }
}

/// Which run of an orchestrator sent a message, and in which round. Never leaves the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Number of the run, counted from 1; 0 for a message from outside.
    pub run: u64,
    /// The round in which the handler ran that sent the message.
    pub round: u64,
}

/// What a message that is sent in the handling of another keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// The message that was handled.
    pub message: MessageId,
    /// Its chain.
    pub chain: ChainId,
    /// Its hop.
    pub hop: u32,
}

impl From<&AgentMessage> for Cause {
    fn from(message: &AgentMessage) -> Self {
        Self { message: message.id(), chain: message.chain(), hop: message.hop() }
    }
}

/// A message from one agent to another.
///
/// Its fields are behind methods so that their layout can stay small: what every message has lies
/// in the struct, what few have lies in one box behind it.
///
/// ```
/// use orch_core::{AgentId, AgentMessage, MessagePriority};
///
/// let (planner, coder) = (AgentId::new(), AgentId::new());
/// let message = AgentMessage::new(planner, coder, "write the parser")
///     .with_priority(MessagePriority::High)
///     .with_metadata("file", "parser.rs");
/// assert_eq!(message.content(), "write the parser");
/// assert_eq!(message.hop(), 0);
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(as = "Form"))]
#[serde(from = "Form", into = "Form")]
pub struct AgentMessage {
    id: MessageId,
    from: AgentId,
    to: AgentId,
    content: Content,
    created_at: Timestamp,
    priority: MessagePriority,
    rare: Option<Arc<Rare>>,
}

/// What a message from outside does not have.
#[derive(Clone, Default, PartialEq)]
struct Rare {
    /// Invariant: not empty.
    #[expect(clippy::box_collection, reason = "an empty map has 16 bytes more; see the test")]
    metadata: Option<Box<BTreeMap<String, String>>>,
    correlation: Option<MessageId>,
    causation: Option<MessageId>,
    chain: Option<ChainId>,
    hop: u32,
    deadline: Option<Timestamp>,
    origin: Origin,
}

impl AgentMessage {
    /// A message of priority Normal, which begins a chain of its own.
    #[must_use]
    pub fn new(from: AgentId, to: AgentId, content: impl Into<Content>) -> Self {
        let (uuid, created_at) = mint::id();
        Self {
            id: MessageId::from_uuid(uuid),
            from,
            to,
            content: content.into(),
            created_at,
            priority: MessagePriority::Normal,
            rare: None,
        }
    }

    /// Sets the priority.
    #[must_use]
    pub fn with_priority(mut self, priority: MessagePriority) -> Self {
        self.priority = priority;
        self
    }

    /// Adds a line of metadata, or replaces the one of that name.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let metadata = self.rare_mut().metadata.get_or_insert_default();
        metadata.insert(key.into(), value.into());
        self
    }

    /// Says which question this message answers.
    #[must_use]
    pub fn with_correlation(mut self, question: MessageId) -> Self {
        self.rare_mut().correlation = Some(question);
        self
    }

    /// Sets the time after which nobody wants this message handled any more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.rare_mut().deadline = Some(deadline);
        self
    }

    /// Takes the deadline away.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        if self.deadline().is_some() {
            self.rare_mut().deadline = None;
        }
        self
    }

    /// Makes this message a consequence of `cause`: the same chain, one hop further.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.rare_mut().follow(cause.into());
        self
    }

    /// Sets who sends it; the runtime does so, that no agent speaks in another's name.
    #[must_use]
    pub fn sent_by(mut self, from: AgentId) -> Self {
        self.from = from;
        self
    }

    /// Notes the run and round that this message was sent in; the runtime's business.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.rare_mut().origin = origin;
        self
    }

    /// Sets the id; the runtime does so where an attempt that is made again must say the same.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// [`sent_by`](Self::sent_by), [`caused_by`](Self::caused_by) and
    /// [`with_origin`](Self::with_origin) in one: what the runtime does to each message that a
    /// handler sends.
    #[must_use]
    #[inline]
    pub fn signed(mut self, from: AgentId, cause: Cause, origin: Origin) -> Self {
        self.from = from;
        match &mut self.rare {
            Some(rare) => {
                let rare = Arc::make_mut(rare);
                rare.follow(cause);
                rare.origin = origin;
            }
            none => *none = Some(Arc::new(Rare::signed(cause, origin))),
        }
        self
    }

    /// The same message under a new id, to `to`: one copy of a broadcast. The text is shared.
    #[must_use]
    pub fn copy_to(&self, to: AgentId) -> Self {
        Self { id: MessageId::new(), to, ..self.clone() }
    }

    /// The id. A retry keeps it.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Who sent it.
    #[must_use]
    pub fn from(&self) -> AgentId {
        self.from
    }

    /// Who is to handle it.
    #[must_use]
    pub fn to(&self) -> AgentId {
        self.to
    }

    /// What it says.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(&self) -> MessagePriority {
        self.priority
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Its metadata, by name.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.rare.as_ref().and_then(|rare| rare.metadata.as_deref()).unwrap_or(&NONE)
    }

    /// The question that this message answers.
    #[must_use]
    pub fn correlation(&self) -> Option<MessageId> {
        self.rare.as_ref()?.correlation
    }

    /// The message in whose handling this one was sent.
    #[must_use]
    pub fn causation(&self) -> Option<MessageId> {
        self.rare.as_ref()?.causation
    }

    /// The chain: the id of its first message, unless it was given another.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        let given = self.rare.as_ref().and_then(|rare| rare.chain);
        given.unwrap_or(ChainId::from_uuid(self.id.as_uuid()))
    }

    /// How many messages of its chain lie before it on the way.
    #[must_use]
    pub fn hop(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.hop)
    }

    /// When it expires; `None` for never.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.deadline
    }

    /// Whether its deadline has come.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// The run and round that it was sent in.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.rare.as_ref().map_or(Origin::default(), |rare| rare.origin)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        Arc::make_mut(self.rare.get_or_insert_default())
    }
}

impl Rare {
    fn signed(cause: Cause, origin: Origin) -> Self {
        Self {
            causation: Some(cause.message),
            chain: Some(cause.chain),
            hop: cause.hop.saturating_add(1),
            origin,
            ..Self::default()
        }
    }

    fn follow(&mut self, cause: Cause) {
        self.causation = Some(cause.message);
        self.chain = Some(cause.chain);
        self.hop = cause.hop.saturating_add(1);
    }
}

impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rare")
            .field("metadata", self.metadata.as_deref().unwrap_or(&BTreeMap::new()))
            .field("correlation", &self.correlation)
            .field("causation", &self.causation)
            .field("chain", &self.chain)
            .field("hop", &self.hop)
            .field("deadline", &self.deadline)
            .field("origin", &self.origin)
            .finish()
    }
}

/// Shows the first 80 characters of the content, since it may have megabytes.
impl fmt::Debug for AgentMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.content.chars().take(80).collect();
        f.debug_struct("AgentMessage")
            .field("id", &self.id)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("priority", &self.priority)
            .field("content", &start)
            .field("content_bytes", &self.content.len())
            .field("rare", &self.rare)
            .finish_non_exhaustive()
    }
}

/// The message in JSON: flat, with nothing where there is nothing.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "AgentMessage", optional_fields))]
#[serde(rename = "AgentMessage")]
struct Form {
    id: MessageId,
    from: AgentId,
    to: AgentId,
    content: Content,
    #[serde(default)]
    priority: MessagePriority,
    created_at: Timestamp,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_id: Option<ChainId>,
    #[serde(default)]
    hop: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
}

impl From<AgentMessage> for Form {
    fn from(message: AgentMessage) -> Self {
        let AgentMessage { id, from, to, content, created_at, priority, rare } = message;
        let rare = rare.map(Arc::unwrap_or_clone).unwrap_or_default();
        Self {
            id,
            from,
            to,
            content,
            priority,
            created_at,
            metadata: rare.metadata.map_or_else(BTreeMap::new, |metadata| *metadata),
            correlation_id: rare.correlation,
            causation_id: rare.causation,
            chain_id: rare.chain,
            hop: rare.hop,
            deadline: rare.deadline,
        }
    }
}

impl From<Form> for AgentMessage {
    fn from(form: Form) -> Self {
        let rare = Rare {
            metadata: (!form.metadata.is_empty()).then(|| Box::new(form.metadata)),
            correlation: form.correlation_id,
            causation: form.causation_id,
            chain: form.chain_id,
            hop: form.hop,
            deadline: form.deadline,
            origin: Origin::default(),
        };
        Self {
            id: form.id,
            from: form.from,
            to: form.to,
            content: form.content,
            created_at: form.created_at,
            priority: form.priority,
            rare: (rare != Rare::default()).then(|| Arc::new(rare)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_node_header_fits_the_fast_path_of_malloc() {
        // 120 bytes is the largest chunk that glibc frees cheaply on another thread; a lane's node
        // adds 16 bytes to the message, an `Arc` two counts.
        assert!(size_of::<AgentMessage>() <= 88, "{}", size_of::<AgentMessage>());
        assert!(size_of::<Rare>() + 16 <= 112, "{}", size_of::<Rare>());
    }

    fn with_everything() -> AgentMessage {
        AgentMessage::new(AgentId::new(), AgentId::new(), "text")
            .with_priority(MessagePriority::Critical)
            .with_metadata("k", "v")
            .with_correlation(MessageId::new())
            .with_deadline(Timestamp::from_millis(9))
    }

    #[test]
    fn a_message_is_signed_as_step_by_step() {
        let first = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "go");
        let (from, origin) = (AgentId::new(), Origin { run: 2, round: 3 });
        for message in [first.clone(), with_everything(), with_everything().caused_by(&first)] {
            let cause = Cause::from(&with_everything().caused_by(&first));
            let stepwise = message.clone().sent_by(from).caused_by(cause).with_origin(origin);
            assert_eq!(message.signed(from, cause, origin), stepwise);
        }
    }

    #[test]
    fn what_is_changed_in_a_clone_stays_in_it() {
        let message = with_everything();
        let (json, rare) = (serde_json::to_value(&message).unwrap(), message.rare.clone());
        let changed = [
            message.clone().with_metadata("k", "w"),
            message.clone().with_correlation(message.id()),
            message.clone().with_deadline(Timestamp::from_millis(10)),
            message.clone().without_deadline(),
            message.clone().caused_by(&message),
            message.clone().with_origin(Origin { run: 1, round: 1 }),
            message.clone().signed(message.to(), Cause::from(&message), Origin::default()),
        ];
        assert!(changed.iter().all(|changed| *changed != message));
        assert_eq!((serde_json::to_value(&message).unwrap(), &message.rare), (json, &rare));
    }

    #[test]
    fn a_clone_shares_what_is_rare() {
        let message = with_everything();
        let clone = message.clone();
        assert!(Arc::ptr_eq(message.rare.as_ref().unwrap(), clone.rare.as_ref().unwrap()));
    }

    #[test]
    fn debug_shows_what_is_rare_as_plain_fields() {
        let message = AgentMessage { rare: Some(Arc::default()), ..with_everything() };
        let shown = format!("{message:?}");
        assert!(
            shown.contains(
                "rare: Some(Rare { metadata: {}, correlation: None, causation: None, chain: None, \
             hop: 0, deadline: None, origin: Origin { run: 0, round: 0 } })"
            ),
            "{shown}"
        );
        assert!(format!("{:?}", with_everything()).contains(r#"metadata: {"k": "v"}"#));
    }

    #[test]
    fn a_consequence_keeps_the_chain_and_counts_the_hop() {
        let (a, b) = (AgentId::new(), AgentId::new());
        let first = AgentMessage::new(AgentId::OUTSIDE, a, "go");
        let second = AgentMessage::new(a, b, "on").caused_by(&first);
        let third = AgentMessage::new(b, a, "on").caused_by(&second);
        assert_eq!(third.chain(), first.chain());
        assert_eq!(third.causation(), Some(second.id()));
        assert_eq!([first.hop(), second.hop(), third.hop()], [0, 1, 2]);
    }

    #[test]
    fn json_reads_back_equal() {
        let message = AgentMessage::new(AgentId::new(), AgentId::new(), "text")
            .with_priority(MessagePriority::Critical)
            .with_metadata("k", "v")
            .with_deadline(Timestamp::from_millis(9));
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<AgentMessage>(&json).unwrap(), message);
    }
}
