//! Histories that could have happened, from a seed.

use orch_core::{
    AgentConfig, AgentId, AgentMessage, AgentRole, ChainId, DeadLetter, DeadLetterReason, Decision,
    EventKind, LoopGuard, MessageId, MessagePriority, StepKey, StopReason, Timestamp, ToolCall,
    Usage,
};
use uuid::Uuid;

use crate::hash::ContentHash;
use crate::record::{Entry, Record, StepKind};
use crate::state::{Delivery, Letter, State, sent_afresh};

/// Records of one commit.
#[derive(Clone, Debug)]
pub struct Set {
    /// When they happened.
    pub at: Timestamp,
    /// What happened.
    pub records: Vec<Record>,
}

/// Makes up what a runtime could record: sets that are legal one after the other, and the same for
/// the same seed.
#[derive(Clone, Debug)]
pub struct History {
    dice: u64,
    minted: u64,
    now: u64,
    state: State,
    agents: Vec<AgentId>,
    runs: u64,
    texts: u64,
}

impl History {
    /// A history of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            minted: 0,
            now: 1_700_000_000_000,
            state: State::new(),
            agents: Vec::new(),
            runs: 0,
            texts: seed,
        }
    }

    /// What is live after all sets so far.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The next set.
    ///
    /// # Panics
    ///
    /// If it made up something illegal, which is a mistake of this function.
    pub fn next_set(&mut self) -> Set {
        self.now += self.roll(40_000);
        let at = Timestamp::from_millis(self.now);
        let records = self.records();
        for record in &records {
            let seq = self.state.last().next();
            let applied = self.state.apply(&Entry { seq, at, record: record.clone() });
            applied.unwrap_or_else(|illegal| panic!("{illegal}: {record:?}"));
        }
        self.state.take_touched();
        Set { at, records }
    }

    fn roll(&mut self, n: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) % n.max(1)
    }

    fn uuid(&mut self) -> Uuid {
        self.minted += 1;
        let random = u128::from(self.roll(u64::MAX));
        Uuid::from_u128(u128::from(self.now) << 80 | u128::from(self.minted) << 48 | random >> 32)
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        // Some are long, and some of the long ones the same.
        let repeated = match self.roll(8) {
            0 => 300 + self.roll(3) * 400,
            _ => self.roll(9),
        };
        let number = if repeated > 200 { repeated } else { self.texts };
        format!("text {number} é\n").repeat(usize::try_from(repeated).unwrap_or(0) + 1)
    }

    fn agent(&mut self) -> AgentId {
        let index = self.roll(self.agents.len() as u64);
        self.agents[usize::try_from(index).unwrap_or(0)]
    }

    fn pick(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Option<Delivery> {
        let all: Vec<_> = self.state.mailboxes().into_iter().filter(|it| wanted(it)).collect();
        let all: Vec<Delivery> = all.into_iter().cloned().collect();
        let index = self.roll(all.len() as u64);
        all.get(usize::try_from(index).unwrap_or(0)).cloned()
    }

    fn records(&mut self) -> Vec<Record> {
        if self.agents.len() < 3 {
            return vec![self.register()];
        }
        let run = self.state.open_run().map(|it| it.run);
        match self.roll(40) {
            0 if self.state.n_deliveries() > 0 && run.is_some() => vec![Record::Recovered {}],
            0 | 1 => vec![self.begin_or_end(run)],
            2 => vec![self.register()],
            3..=13 => (0..=self.roll(3)).map(|_| self.accept(None)).collect(),
            14..=20 => self.start(),
            21..=24 => self.settle(),
            25..=26 => self.fail(),
            27..=30 => self.step(),
            31 => self.letter(),
            32 => self.question(),
            _ => vec![self.other()],
        }
    }

    fn register(&mut self) -> Record {
        let agent = AgentId::from_uuid(self.uuid());
        let parent = self.agents.first().copied().filter(|_| self.roll(2) == 0);
        self.agents.push(agent);
        let name = format!("agent {}", self.agents.len());
        let config = AgentConfig::new(name, AgentRole::Worker, "function".to_owned())
            .with_setting("model", "m")
            .with_max_retries(2);
        Record::AgentRegistered { agent, config, parent }
    }

    fn begin_or_end(&mut self, run: Option<u64>) -> Record {
        if let Some(run) = run {
            return Record::RunEnded { run, reason: StopReason::Completed };
        }
        self.runs += 1;
        let team = Some(ContentHash::of(b"team"));
        let cut_off = self.state.cut_off_run().map(crate::state::Run::counts_since);
        let since = cut_off.filter(|_| self.roll(2) == 0);
        Record::RunStarted { run: self.runs, team, guard: LoopGuard::default(), since }
    }

    fn message(&mut self) -> AgentMessage {
        let text = self.text();
        let (from, to) = (self.agent(), self.agent());
        let cause = self.pick(|_| true).map(|it| it.message);
        let priority =
            MessagePriority::MOST_URGENT_FIRST[usize::try_from(self.roll(4)).unwrap_or(0)];
        // Through JSON, because that is the way to choose an id and a time.
        let mut json = serde_json::json!({
            "id": self.uuid(), "from": from, "to": to, "content": text, "created_at": self.now,
            "priority": priority,
        });
        if let Some(cause) = cause.filter(|_| self.roll(2) == 0) {
            json["chain_id"] = serde_json::json!(cause.chain());
            json["causation_id"] = serde_json::json!(cause.id());
            json["hop"] = (cause.hop() + 1).into();
        }
        if self.roll(4) == 0 {
            json["metadata"] = serde_json::json!({ "file": "a.rs" });
        }
        serde_json::from_value(json).expect("it is the JSON of a message")
    }

    fn accept(&mut self, step: Option<StepKey>) -> Record {
        let run = self.state.open_run().map_or(0, |it| it.run);
        let (origin_run, origin_round) = if self.roll(2) == 0 { (run, run) } else { (0, 0) };
        Record::Accepted { message: self.message(), origin_run, origin_round, step }
    }

    fn start(&mut self) -> Vec<Record> {
        let Some(it) = self.pick(|it| !it.is_running()) else { return vec![self.accept(None)] };
        let round = 1 + self.roll(9);
        vec![Record::AttemptStarted {
            agent: it.message.to(),
            message: it.message.id(),
            attempt: it.attempt(),
            round,
        }]
    }

    fn settle(&mut self) -> Vec<Record> {
        let Some(it) = self.pick(Delivery::is_running) else { return self.start() };
        let output = (self.roll(2) == 0).then(|| self.text().into());
        let usage = Usage { input_tokens: self.roll(9), ..Usage::default() };
        let mut records = vec![Record::Settled {
            agent: it.message.to(),
            message: it.message.id(),
            attempt: it.attempt(),
            output,
            usage,
            handling_ms: self.roll(99),
        }];
        if self.roll(2) == 0 {
            records.push(self.accept(None));
        }
        records
    }

    fn fail(&mut self) -> Vec<Record> {
        let Some(it) = self.pick(Delivery::is_running) else { return self.start() };
        let (agent, message, attempt) = (it.message.to(), it.message.id(), it.attempt());
        vec![match self.roll(3) {
            0 => Record::PutBack { agent, message },
            1 => {
                let at = Timestamp::from_millis(self.now);
                let letter = DeadLetter::new(it.message, DeadLetterReason::FinalFailure, at);
                Record::DeadLettered { letter: letter.with_attempts(it.errors) }
            }
            _ => {
                let retry_at = Timestamp::from_millis(self.now + self.roll(100_000));
                Record::RetryScheduled { agent, message, attempt, error: "no".into(), retry_at }
            }
        }]
    }

    fn step(&mut self) -> Vec<Record> {
        let Some(it) = self.pick(Delivery::is_running) else { return self.start() };
        let (agent, delivery) = (it.message.to(), it.message.id());
        let steps: Vec<_> = self.state.steps(delivery).map(|(key, it)| (key, it.clone())).collect();
        if let Some((key, step)) = steps.iter().rfind(|(_, step)| step.output.is_none()) {
            return vec![self.go_on(agent, *key, step)];
        }
        let n = steps.len() as u32 + 1;
        let key = StepKey { delivery, n };
        let (input, name) = (ContentHash::of(&n.to_le_bytes()), "someone".to_owned());
        match self.roll(3) {
            0 => {
                let call = ToolCall::new("fs", orch_core::Access::Read).with_path("/a");
                let decision = match self.roll(3) {
                    0 => Decision::Ask { reason: "who knows".into() },
                    _ => Decision::Allow,
                };
                vec![Record::ToolDecided { agent, key, input, call, decision }]
            }
            1 => {
                let (kind, output) = (StepKind::Ask, None);
                vec![Record::StepTaken { agent, key, kind, name, input, output }]
            }
            _ => {
                let accepted = self.accept(Some(key));
                let output = accepted.message().map(|id: MessageId| id.to_string().into());
                let kind = [StepKind::Send, StepKind::Broadcast][usize::from(n.is_multiple_of(2))];
                vec![Record::StepTaken { agent, key, kind, name, input, output }, accepted]
            }
        }
    }

    fn go_on(&mut self, agent: AgentId, key: StepKey, step: &crate::state::Step) -> Record {
        let Some(tool) = &step.tool else {
            return Record::StepAnswered { agent, key, output: self.text().into() };
        };
        match (&tool.decision, tool.started) {
            (Decision::Ask { .. }, _) => {
                let call = ToolCall::new("fs", orch_core::Access::Read).with_path("/a");
                let (input, decision) = (step.input, Decision::Allow);
                Record::ToolDecided { agent, key, call, input, decision }
            }
            (_, None) => Record::ToolStarted { agent, key, idempotent: self.roll(2) == 0 },
            _ if self.roll(3) == 0 => Record::ToolReset { agent, key, reason: "no".into() },
            _ => Record::ToolFinished { agent, key, output: self.text().into() },
        }
    }

    fn letter(&mut self) -> Vec<Record> {
        if let Some(decided) = self.decided() {
            return vec![decided];
        }
        let letters: Vec<Letter> = self.state.letters().cloned().collect();
        let index = self.roll(letters.len() as u64);
        let Some(it) = letters.get(usize::try_from(index).unwrap_or(0)) else {
            let at = Timestamp::from_millis(self.now);
            let refused = DeadLetterReason::Refused { error: "full".into() };
            return vec![Record::DeadLettered {
                letter: DeadLetter::new(self.message(), refused, at),
            }];
        };
        let (agent, message) = (it.letter.message.to(), it.letter.message.id());
        let letter = Some(it.seq).filter(|_| self.roll(2) == 0);
        match self.roll(3) {
            0 => vec![Record::LetterDropped { agent, message, letter, sent_as: None }],
            1 => sent_afresh(message, letter, self.message()),
            _ => vec![Record::SentAgain { agent, message, letter }],
        }
    }

    /// What a person says about a tool call of a dead letter.
    fn decided(&mut self) -> Option<Record> {
        let is_given_up = |key: StepKey| self.state.delivery(key.delivery).is_none();
        let key =
            self.state.unfinished_tools().map(|(key, _)| key).find(|key| is_given_up(*key))?;
        let (output, reason) = (self.text().into(), "a person looked".to_owned());
        let decided = match self.roll(2) {
            0 => self.state.tool_finished(key, output),
            _ => self.state.tool_reset(key, reason),
        };
        decided.ok()
    }

    fn question(&mut self) -> Vec<Record> {
        let open: Vec<_> = self.state.questions().map(|(id, it)| (id, it.agent)).collect();
        if let Some((question, agent)) = open.iter().min().copied() {
            return vec![match self.roll(2) {
                0 => Record::Answered { agent, question, answer: self.text().into() },
                _ => Record::QuestionFailed { agent, question, error: "gone".into() },
            }];
        }
        let (agent, accepted) = (self.agent(), self.accept(None));
        let Some(question) = accepted.message() else { return vec![accepted] };
        let to = accepted.agent().unwrap_or(agent);
        vec![Record::Asked { agent, question, to }, accepted]
    }

    fn other(&mut self) -> Record {
        let agent = self.agent();
        match self.roll(8) {
            0 | 1 => {
                let chain =
                    self.pick(|_| true).map(|it: Delivery| -> ChainId { it.message.chain() });
                let usage = Usage { output_tokens: 1 + self.roll(50), ..Usage::default() };
                Record::Used { agent, chain, usage }
            }
            2 => Record::CallGranted { agent, policy: "fs".into() },
            3 => {
                let name = format!("chat {}", self.roll(2));
                let former = self.state.conversation(agent, &name).cloned().unwrap_or_default();
                let text = format!("{former}{}", self.text());
                Record::Conversed { agent, conversation: name, text: text.into() }
            }
            4 if self.state.agent(agent).is_some() => match self.roll(4) {
                0 => Record::AgentFailed { agent, error: "broken".into() },
                1 => Record::AgentRestarted { agent, restarts: 1 },
                2 if self.agents.len() > 6 => Record::AgentRetired { agent },
                _ => Record::AgentFailed { agent, error: "again".into() },
            },
            5 => Record::GuardTripped {
                guard: "max_iterations".into(),
                figure: 101,
                limit: 100,
                agent: None,
            },
            _ => Record::Noted { event: EventKind::Said { agent, text: self.text() } },
        }
    }
}
