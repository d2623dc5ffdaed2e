//! What is live: the fold of all records. Pure, and the only place where recovery decides.
//!
//! Everything that can change has a [`Key`]. [`State::apply`] notes the keys that it changed, so that
//! a store writes those rows and no others; whatever the records, the rows are a function of the
//! state, and so a store that rebuilds one from the other gets the same.

mod agents;
mod decide;
mod deliveries;
mod expected;
mod illegal;
mod parts;
mod refer;
mod steps;

use std::collections::{BTreeMap, VecDeque};

use orch_core::{
    AgentId, ChainId, Content, DeliveryState, IdMap, MessageId, StepKey, Timestamp, Usage,
};

pub use decide::sent_afresh;
pub(crate) use deliveries::of_no_run;
pub use illegal::Illegal;
pub use parts::{
    Agent, Conversation, Counts, Delivery, Grant, Letter, Question, Run, Spent, Step, StepMismatch,
    ToolProgress,
};

use crate::record::{Entry, Record, Seq};

/// Ids of the last so many accepted messages are known, and those of all live ones: one of them is
/// not accepted again.
// Fewer in the tests of this crate's inside, which would take long to leave the window.
pub const DEDUP_WINDOW: usize = if cfg!(test) { 1_000 } else { 131_072 };

/// Granted calls count for so long.
pub(crate) const GRANT_WINDOW: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Names one thing that can change, and so one row of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// By the number of its acceptance.
    Delivery(Seq, MessageId),
    Dedup(Seq, MessageId),
    /// The same number, so that steps of one delivery lie together.
    Step(Seq, StepKey),
    Letter(Seq),
    Agent(AgentId),
    Counts(AgentId),
    Question(MessageId),
    Grant(Seq),
    Run(u64),
    Chain(ChainId),
    Conversation(AgentId, String),
}

/// What is live after the last record. Cloning it shares all contents.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) last: Seq,
    /// The latest time of any record.
    pub(crate) at: Timestamp,
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Invariant: a run in `runs` without an end, if there is one.
    pub(crate) open_run: Option<u64>,
    pub(crate) agents: IdMap<AgentId, Agent>,
    pub(crate) counts: IdMap<AgentId, Counts>,
    /// In boxes: a map of them that grows moves pointers.
    pub(crate) deliveries: IdMap<MessageId, Box<Delivery>>,
    pub(crate) steps: BTreeMap<StepKey, Step>,
    pub(crate) letters: BTreeMap<Seq, Letter>,
    pub(crate) questions: IdMap<MessageId, Question>,
    pub(crate) grants: BTreeMap<Seq, Grant>,
    /// Only of chains that have live deliveries.
    pub(crate) chains: IdMap<ChainId, Spent>,
    pub(crate) conversations: BTreeMap<(AgentId, String), Conversation>,
    pub(crate) dedup: Dedup,
    touched: Vec<Key>,
}

/// The ids that were accepted last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dedup {
    /// Invariant: ascending by number; the ids are the keys of `known`.
    pub(crate) order: VecDeque<(Seq, MessageId)>,
    pub(crate) known: IdMap<MessageId, Seq>,
}

impl State {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is live after the event of this number.
    pub(crate) fn empty_after(last: Seq, at: Timestamp) -> Self {
        Self { last, at, ..Self::default() }
    }

    /// The state after these entries, oldest first.
    ///
    /// # Errors
    ///
    /// The first entry that cannot have happened.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Illegal> {
        let mut state = Self::new();
        for entry in entries {
            state.apply(entry)?;
            state.touched.clear();
        }
        Ok(state)
    }

    /// The only place where the state changes.
    ///
    /// # Errors
    ///
    /// [`Illegal`] if the record cannot have happened here. The state is then as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        self.apply_record(entry.seq, entry.at, &entry.record)
    }

    pub(crate) fn apply_record(
        &mut self,
        seq: Seq,
        at: Timestamp,
        record: &Record,
    ) -> Result<(), Illegal> {
        let at = self.at.max(at);
        if seq != self.last.next() {
            return Err(Illegal::OutOfOrder { expected: self.last.next(), found: seq });
        }
        self.change(seq, at, record)?;
        (self.last, self.at) = (seq, at);
        Ok(())
    }

    fn change(&mut self, seq: Seq, at: Timestamp, record: &Record) -> Result<(), Illegal> {
        match record {
            Record::RunStarted { run, team, guard, since } => {
                self.start_run(seq, at, *run, *team, *guard, *since)
            }
            Record::RunEnded { run, reason } => self.end_run(seq, at, *run, Some(reason.clone())),
            Record::Recovered {} => self.recover(seq, at),
            Record::AgentRegistered { agent, config, parent } => {
                self.register(seq, *agent, config, *parent)
            }
            Record::AgentRetired { agent } => self.retire(*agent),
            Record::AgentFailed { agent, error } => self.fail(*agent, error),
            Record::AgentRestarted { agent, restarts } => self.restart(*agent, *restarts),
            Record::Accepted { message, origin_run, origin_round, .. } => {
                self.accept(seq, at, message, (*origin_run, *origin_round))
            }
            Record::AttemptStarted { agent, message, attempt, round } => {
                self.start_attempt(at, *agent, *message, *attempt, *round)
            }
            Record::StepTaken { key, kind, name, input, output, .. } => {
                let step = Step::taken(seq, *kind, name, *input, output.clone());
                self.take_step(*key, step)
            }
            Record::StepAnswered { key, output, .. } => self.answer_step(seq, *key, output),
            Record::ToolDecided { key, call, input, decision, .. } => {
                self.decide_tool(seq, *key, call, *input, decision)
            }
            Record::ToolStarted { key, idempotent, .. } => self.start_tool(*key, *idempotent),
            Record::ToolFinished { key, output, .. } => self.finish_tool(seq, *key, output),
            Record::ToolReset { key, .. } => self.reset_tool(*key),
            Record::Settled { message, attempt, .. } => self.settle(*message, *attempt),
            Record::RetryScheduled { message, attempt, error, retry_at, .. } => {
                self.retry(at, *message, *attempt, error, *retry_at)
            }
            Record::PutBack { message, .. } => self.put_back(*message),
            Record::DeadLettered { letter } => self.give_up(seq, letter),
            Record::LetterDropped { message, letter, .. } => self.drop_letter(*message, *letter),
            Record::SentAgain { message, letter, .. } => {
                self.send_again(seq, at, *message, *letter)
            }
            Record::Asked { agent, question, to } => self.ask(seq, *agent, *question, *to),
            Record::Answered { question, .. } | Record::QuestionFailed { question, .. } => {
                self.close_question(*question)
            }
            Record::Used { agent, chain, usage } => self.spend(*agent, *chain, *usage),
            Record::CallGranted { agent, policy } => self.grant(seq, at, *agent, policy),
            Record::Conversed { agent, conversation, text } => {
                self.converse(seq, *agent, conversation, text)
            }
            Record::GuardTripped { .. } | Record::Noted { .. } => Ok(()),
        }
    }

    fn touch(&mut self, key: Key) {
        self.touched.push(key);
    }

    /// The keys that changed since the last call, each once.
    pub(crate) fn take_touched(&mut self) -> Vec<Key> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    fn converse(
        &mut self,
        seq: Seq,
        agent: AgentId,
        name: &str,
        text: &Content,
    ) -> Result<(), Illegal> {
        let conversation = Conversation { seq, text: text.clone() };
        self.conversations.insert((agent, name.to_owned()), conversation);
        self.touch(Key::Conversation(agent, name.to_owned()));
        Ok(())
    }
}

/// What is asked of it.
impl State {
    /// The last event's number; 0 if there is none.
    #[must_use]
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// The latest time of any event.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The runs, by number.
    #[must_use]
    pub const fn runs(&self) -> &BTreeMap<u64, Run> {
        &self.runs
    }

    /// The run that has not ended.
    #[must_use]
    pub fn open_run(&self) -> Option<&Run> {
        self.runs.get(&self.open_run?)
    }

    /// Whether the process that wrote last ended without a word.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let running = |it: &Delivery| matches!(it.state, DeliveryState::Running { .. });
        self.open_run.is_some() || self.deliveries.values().any(|it| running(it))
    }

    /// The agents that are registered, in no order.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// A registered agent.
    #[must_use]
    pub fn agent(&self, agent: AgentId) -> Option<&Agent> {
        self.agents.get(&agent)
    }

    /// The run that was cut off, if no other one began since: the next one goes on with its counts.
    #[must_use]
    pub fn cut_off_run(&self) -> Option<&Run> {
        let (_, last) = self.runs.last_key_value()?;
        (last.ended.is_some() && last.reason.is_none()).then_some(last)
    }

    /// What an agent used, and what the guards count of it in the open run.
    #[must_use]
    pub fn counts(&self, agent: AgentId) -> Counts {
        self.counts.get(&agent).copied().unwrap_or_default()
    }

    /// A live delivery.
    #[must_use]
    pub fn delivery(&self, message: MessageId) -> Option<&Delivery> {
        self.deliveries.get(&message).map(Box::as_ref)
    }

    /// The live deliveries in the order in which mailboxes hold them: by agent, the most urgent lane
    /// first, each in the order of acceptance. What was handed out before comes first: of two sends that
    /// overlap, the one that was recorded later may have been handed out alone.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<&Delivery> {
        let mut all: Vec<&Delivery> = self.deliveries.values().map(Box::as_ref).collect();
        let urgency = |it: &Delivery| std::cmp::Reverse(it.message.priority());
        all.sort_unstable_by_key(|it| (it.message.to(), urgency(it), it.run == 0, it.place));
        all
    }

    /// How many deliveries are live.
    #[must_use]
    pub fn n_deliveries(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether a message of this id is live, or was accepted among the last [`DEDUP_WINDOW`].
    #[must_use]
    pub fn knows(&self, message: MessageId) -> bool {
        self.dedup.known.contains_key(&message) || self.deliveries.contains_key(&message)
    }

    /// The dead letters, oldest first.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.values()
    }

    /// The deliveries of which an attempt is under way, in no order.
    pub fn running_deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values().map(Box::as_ref).filter(|it| it.is_running())
    }

    /// The steps that a delivery has taken, in order. Kept until it is settled, or its dead letter
    /// dropped.
    pub fn steps(&self, delivery: MessageId) -> impl Iterator<Item = (StepKey, &Step)> {
        let of = |n| StepKey { delivery, n };
        self.steps.range(of(0)..=of(u32::MAX)).map(|(key, step)| (*key, step))
    }

    /// Tool calls that were started and of which nobody knows how they ended. Those that are not
    /// idempotent need a decision before they are repeated.
    pub fn unfinished_tools(&self) -> impl Iterator<Item = (StepKey, &Step)> {
        let all = self.steps.iter().filter(|(_, step)| step.is_unfinished_tool());
        all.map(|(key, step)| (*key, step))
    }

    /// The questions that wait for an answer, in no order.
    pub fn questions(&self) -> impl Iterator<Item = (MessageId, &Question)> {
        self.questions.iter().map(|(question, it)| (*question, it))
    }

    /// The granted calls of the last hour, oldest first.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// What a chain has used; only of chains with live deliveries.
    #[must_use]
    pub fn spent_by_chain(&self, chain: ChainId) -> Usage {
        self.chains.get(&chain).map_or_else(Usage::default, |it| it.usage)
    }

    /// All that was used.
    #[must_use]
    pub fn spent(&self) -> Usage {
        let mut sum = Usage::default();
        self.runs.values().for_each(|run| sum += run.usage);
        sum
    }

    /// Where a conversation stands.
    #[must_use]
    pub fn conversation(&self, agent: AgentId, name: &str) -> Option<&Content> {
        self.conversations.get(&(agent, name.to_owned())).map(|it| &it.text)
    }
}

/// Equal if the same is live; what was touched is no part of it.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let Self { last, at, runs, open_run, agents, counts, deliveries, .. } = self;
        let Self { steps, letters, questions, grants, chains, conversations, dedup, .. } = self;
        (last, at, runs, open_run) == (&other.last, &other.at, &other.runs, &other.open_run)
            && (agents, counts, deliveries) == (&other.agents, &other.counts, &other.deliveries)
            && (steps, letters, questions) == (&other.steps, &other.letters, &other.questions)
            && (grants, chains) == (&other.grants, &other.chains)
            && *conversations == other.conversations
            && dedup.order == other.dedup.order
    }
}
