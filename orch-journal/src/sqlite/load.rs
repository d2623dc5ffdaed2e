//! From the derived tables to the state that they were written from.

use orch_core::{
    AgentId, AgentMessage, ChainId, DeliveryState, MessageId, Origin, StepKey, Timestamp,
};
use rusqlite::{Connection, OptionalExtension};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{self, RowHash};
use super::rows::{DigestSum, LiveKind, Row, Written};
use crate::record::{Entry, Record, Seq};
use crate::state::{Agent, Conversation, Delivery, Key, Letter, Run, State, Step, ToolProgress};
use crate::store::StoreError;

/// What is written with every transaction: where the journal ends, and what the tables add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tip {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) hash: RowHash,
    pub(super) rows: DigestSum,
    pub(super) heads: DigestSum,
}

const TIP: &str = "tip";

impl Tip {
    pub(super) fn read(db: &Connection) -> Result<Option<Self>, StoreError> {
        let mut value = db.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
        let value: Option<String> = value.query_row([TIP], |row| row.get(0)).optional()?;
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|error| StoreError::damaged("the tip", error))
        };
        value.map(read).transpose()
    }

    pub(super) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        // Plain numbers: it always has JSON.
        let value = serde_json::to_string(self).unwrap_or_default();
        db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?.execute([TIP, &value])?;
        Ok(())
    }
}

/// The state as the tables have it, and what is in them.
pub(super) fn load(db: &Connection, tip: &Tip) -> Result<(State, Written), StoreError> {
    let mut loader =
        Loader { db, state: State::empty_after(tip.seq, tip.at), written: Written::up_to(tip.seq) };
    loader.mailbox()?;
    loader.dedup()?;
    loader.live()?;
    loader.steps()?;
    if loader.written.digest != tip.rows {
        let what = "rows were lost or changed: they do not add up to what was written";
        return Err(StoreError::damaged("the tables mailbox, dedup, step and live", what));
    }
    Ok((loader.state, loader.written))
}

struct Loader<'a> {
    db: &'a Connection,
    state: State,
    written: Written,
}

impl Loader<'_> {
    fn event(&mut self, seq: Seq) -> Result<Entry, StoreError> {
        event::get(self.db, seq)
    }

    fn mailbox(&mut self) -> Result<(), StoreError> {
        let mut all = self.db.prepare("SELECT * FROM mailbox")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            let errors: Option<String> = row.get(7)?;
            let found = Row::Mailbox {
                event: row.get(0)?,
                place: row.get(1)?,
                attempt: row.get(2)?,
                running: row.get(3)?,
                ready_at: row.get(4)?,
                run: row.get(5)?,
                round: row.get(6)?,
                errors: errors.clone(),
            };
            let (attempt, ready_at) = (row.get(2)?, timestamp(row.get(4)?));
            let state = if row.get(3)? {
                DeliveryState::Running { attempt, deadline: Timestamp::NEVER }
            } else {
                DeliveryState::Queued { attempt, ready_at }
            };
            let place = Seq(row.get::<_, i64>(1)?.cast_unsigned());
            let message = self.message(seq, place)?;
            let errors = errors.map(|it| parse(&it, "mailbox")).transpose()?.unwrap_or_default();
            let (run, round) = (row.get::<_, i64>(5)?, row.get::<_, i64>(6)?);
            let (run, round) = (run.cast_unsigned(), round.cast_unsigned());
            self.written.put(Key::Delivery(seq, message.id()), found.hash());
            self.state.chains.entry(message.chain()).or_default().n_live += 1;
            let id = message.id();
            let delivery = Delivery { seq, place, message, state, errors, run, round };
            self.state.deliveries.insert(id, Box::new(delivery));
        }
        Ok(())
    }

    fn message(&mut self, seq: Seq, place: Seq) -> Result<AgentMessage, StoreError> {
        match self.event(seq)?.record {
            Record::Accepted { message, origin_run: run, origin_round: round, .. }
                if place == seq && (run, round) != (0, 0) =>
            {
                Ok(message.with_origin(Origin { run, round }))
            }
            Record::Accepted { message, .. } if place == seq => Ok(message),
            // It was sent again.
            Record::Accepted { message, .. } => Ok(message.without_deadline()),
            Record::DeadLettered { letter } => Ok(letter.message.without_deadline()),
            _ => Err(StoreError::damaged(seq, "it has no message, but the mailbox says so")),
        }
    }

    fn dedup(&mut self) -> Result<(), StoreError> {
        let mut all = self.db.prepare("SELECT event, message FROM dedup ORDER BY event")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let (event, message): (i64, [u8; 16]) = (row.get(0)?, row.get(1)?);
            let (seq, id) = (Seq(event.cast_unsigned()), message_id(message));
            self.written.put(Key::Dedup(seq, id), Row::Dedup { event, message }.hash());
            self.state.dedup.order.push_back((seq, id));
            self.state.dedup.known.insert(id, seq);
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), StoreError> {
        let mut all = self.db.prepare("SELECT kind, key, value FROM live")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, key): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let value: String = row.get(2)?;
            let read = self.live_row(kind, &key, &value)?;
            let hash = Row::Live { kind, key, value }.hash();
            self.written.put(read, hash);
        }
        self.state.open_run =
            self.state.runs.values().find(|it| it.ended.is_none()).map(|it| it.run);
        Ok(())
    }

    fn live_row(&mut self, kind: i64, key: &[u8], value: &str) -> Result<Key, StoreError> {
        const PLACE: &str = "the table live";
        let wrong = || StoreError::damaged(PLACE, "a key is wrong");
        let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| wrong());
        let number = |bytes: &[u8]| {
            let bytes = <[u8; 8]>::try_from(bytes);
            bytes.map(u64::from_be_bytes).map_err(|_| wrong())
        };
        let is = |it: LiveKind| kind == it as i64;
        let state = &mut self.state;
        if is(LiveKind::Counts) {
            let id = AgentId::from_uuid(uuid(key)?);
            state.counts.insert(id, parse(value, PLACE)?);
            return Ok(Key::Counts(id));
        }
        if is(LiveKind::Question) {
            let id = MessageId::from_uuid(uuid(key)?);
            state.questions.insert(id, parse(value, PLACE)?);
            return Ok(Key::Question(id));
        }
        if is(LiveKind::Grant) {
            let seq = Seq(number(key)?);
            state.grants.insert(seq, parse(value, PLACE)?);
            return Ok(Key::Grant(seq));
        }
        if is(LiveKind::Run) {
            let run: Run = parse(value, PLACE)?;
            let number = run.run;
            state.runs.insert(number, run);
            return Ok(Key::Run(number));
        }
        if is(LiveKind::Chain) {
            let id = ChainId::from_uuid(uuid(key)?);
            state.chains.entry(id).or_default().usage = parse(value, PLACE)?;
            return Ok(Key::Chain(id));
        }
        if is(LiveKind::Agent) {
            return self.agent(AgentId::from_uuid(uuid(key)?), value);
        }
        if is(LiveKind::Letter) {
            return self.letter(Seq(number(key)?), value);
        }
        if is(LiveKind::Conversation) {
            let (id, name) = key.split_at_checked(16).ok_or_else(wrong)?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| wrong())?;
            return self.conversation(AgentId::from_uuid(uuid(id)?), name, value);
        }
        Err(wrong())
    }

    fn agent(&mut self, id: AgentId, value: &str) -> Result<Key, StoreError> {
        #[derive(Deserialize)]
        struct Saved {
            event: Seq,
            failed: Option<String>,
            restarts: u32,
        }
        let Saved { event: seq, failed, restarts } = parse(value, "the table live")?;
        let Record::AgentRegistered { config, parent, .. } = self.event(seq)?.record else {
            return Err(StoreError::damaged(seq, "it registers no agent"));
        };
        self.state.agents.insert(id, Agent { id, seq, config, parent, failed, restarts });
        Ok(Key::Agent(id))
    }

    fn letter(&mut self, seq: Seq, value: &str) -> Result<Key, StoreError> {
        #[derive(Deserialize)]
        struct Saved {
            accepted: Option<Seq>,
        }
        let Saved { accepted } = parse(value, "the table live")?;
        let Record::DeadLettered { letter } = self.event(seq)?.record else {
            return Err(StoreError::damaged(seq, "it is no dead letter"));
        };
        self.state.letters.insert(seq, Letter { seq, accepted, letter });
        Ok(Key::Letter(seq))
    }

    fn conversation(
        &mut self,
        agent: AgentId,
        name: String,
        value: &str,
    ) -> Result<Key, StoreError> {
        #[derive(Deserialize)]
        struct Saved {
            event: Seq,
        }
        let Saved { event: seq } = parse(value, "the table live")?;
        let Record::Conversed { text, .. } = self.event(seq)?.record else {
            return Err(StoreError::damaged(seq, "it is no conversation"));
        };
        let key = (agent, name.clone());
        self.state.conversations.insert(key, Conversation { seq, text });
        Ok(Key::Conversation(agent, name))
    }

    fn steps(&mut self) -> Result<(), StoreError> {
        let mut all = self.db.prepare("SELECT * FROM step")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let found = Row::Step {
                event: row.get(0)?,
                n: row.get(1)?,
                message: row.get(2)?,
                first: row.get(3)?,
                decided: row.get(4)?,
                started: row.get(5)?,
                answered: row.get(6)?,
            };
            let event = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            let key = StepKey { delivery: message_id(row.get(2)?), n: row.get(1)? };
            let seq = |number: Option<i64>| number.map(|it| Seq(it.cast_unsigned()));
            let (decided, answered) = (seq(row.get(4)?), seq(row.get(6)?));
            let first = Seq(row.get::<_, i64>(3)?.cast_unsigned());
            let step = self.step(first, decided, row.get(5)?, answered)?;
            self.state.steps.insert(key, step);
            self.written.put(Key::Step(event, key), found.hash());
        }
        Ok(())
    }

    fn step(
        &mut self,
        first: Seq,
        decided: Option<Seq>,
        started: Option<bool>,
        answered: Option<Seq>,
    ) -> Result<Step, StoreError> {
        let mut step = match self.event(first)?.record {
            Record::StepTaken { kind, name, input, output, .. } => {
                Step::taken(first, kind, &name, input, output)
            }
            Record::ToolDecided { call, input, .. } => Step::tool(first, &call, input),
            _ => return Err(StoreError::damaged(first, "it is no step")),
        };
        if let Some(decided) = decided {
            let Record::ToolDecided { decision, .. } = self.event(decided)?.record else {
                return Err(StoreError::damaged(decided, "it decides no tool call"));
            };
            step.tool = Some(ToolProgress { decision, decided, started });
        }
        if let Some(seq) = answered {
            step.answered = answered;
            step.output = match self.event(seq)?.record {
                Record::StepAnswered { output, .. } | Record::ToolFinished { output, .. } => {
                    Some(output)
                }
                _ => return Err(StoreError::damaged(seq, "it answers no step")),
            };
        }
        Ok(step)
    }
}

fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::damaged(place, error))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.cast_unsigned())
}

fn message_id(bytes: [u8; 16]) -> MessageId {
    MessageId::from_uuid(Uuid::from_bytes(bytes))
}
