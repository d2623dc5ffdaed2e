//! What follows from records: order, attempts, steps.

use orch_core::{
    AgentId, AgentMessage, Content, DeadLetter, DeadLetterReason, Decision, MessageId,
    MessagePriority, Timestamp, ToolCall, Usage,
};
use orch_journal::{ContentHash, Entry, Illegal, Record, State, StepKey, StepKind};

use crate::support::now;

#[derive(Default)]
struct Told(State);

impl Told {
    fn say(&mut self, record: Record) -> Result<(), Illegal> {
        self.0.apply(&Entry { seq: self.0.last().next(), at: now(), record })
    }

    fn accept(&mut self, to: AgentId, priority: MessagePriority) -> MessageId {
        let message = AgentMessage::new(AgentId::OUTSIDE, to, "go").with_priority(priority);
        let id = message.id();
        let record = Record::Accepted { message, origin_run: 0, origin_round: 0, step: None };
        self.say(record).unwrap();
        id
    }

    fn start(&mut self, agent: AgentId, message: MessageId, attempt: u32) {
        self.say(Record::AttemptStarted { agent, message, attempt, round: 1 }).unwrap();
    }

    fn mailbox(&self) -> Vec<MessageId> {
        self.0.mailboxes().into_iter().map(|it| it.message.id()).collect()
    }
}

#[test]
fn what_was_put_back_or_failed_stands_at_the_head_and_what_is_sent_again_at_the_end() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let normal = [(); 4].map(|()| told.accept(to, MessagePriority::Normal));
    let critical = told.accept(to, MessagePriority::Critical);
    let [a, b, c, d] = normal;
    told.start(to, a, 1);
    told.start(to, b, 1);
    told.say(Record::PutBack { agent: to, message: b }).unwrap();
    let (error, retry_at) = ("no".to_owned(), Timestamp::NEVER);
    told.say(Record::RetryScheduled { agent: to, message: a, attempt: 1, error, retry_at })
        .unwrap();
    assert_eq!(told.mailbox(), [critical, a, b, c, d]);
    told.start(to, b, 1);
    let message = told.0.delivery(b).unwrap().message.clone();
    let letter = DeadLetter::new(message, DeadLetterReason::FinalFailure, now());
    told.say(Record::DeadLettered { letter }).unwrap();
    assert_eq!(told.mailbox(), [critical, a, c, d]);
    told.say(Record::SentAgain { agent: to, message: b }).unwrap();
    assert_eq!(told.mailbox(), [critical, a, c, d, b]);
    assert_eq!(told.0.delivery(b).unwrap().attempt(), 1);
    assert_eq!(told.0.letters().count(), 0);
}

#[test]
fn a_cut_off_attempt_counts_and_a_put_back_one_does_not() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let [a, b] = [(); 2].map(|()| told.accept(to, MessagePriority::Normal));
    told.start(to, a, 1);
    told.start(to, b, 1);
    told.say(Record::PutBack { agent: to, message: b }).unwrap();
    told.say(Record::Recovered {}).unwrap();
    assert_eq!(told.0.delivery(a).unwrap().attempt(), 2);
    assert_eq!(told.0.delivery(b).unwrap().attempt(), 1);
    assert_eq!(told.mailbox(), [a, b]);
}

#[test]
fn steps_survive_an_attempt_and_end_with_the_delivery() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let message = told.accept(to, MessagePriority::Normal);
    let (kind, name, input) = (StepKind::Send, "b".to_owned(), ContentHash::of(b"hi"));
    let key = StepKey { delivery: message, n: 1 };
    let output: Option<Content> = Some("message-1".into());
    let taken = Record::StepTaken { agent: to, key, kind, name, input, output: output.clone() };
    assert!(
        matches!(told.say(taken.clone()), Err(Illegal::WrongStep(..))),
        "it is not handled yet"
    );
    told.start(to, message, 1);
    told.say(taken.clone()).unwrap();
    assert_eq!(told.say(taken), Err(Illegal::KnownStep(key)));
    told.say(Record::Recovered {}).unwrap();
    let (_, step) = told.0.steps(message).next().unwrap();
    assert_eq!(step.taken_again(kind, "b", input), Ok(output.as_ref()));
    let other = step.taken_again(kind, "b", ContentHash::of(b"ho")).unwrap_err().to_string();
    assert!(other.contains("an earlier attempt took the step Send `b`"), "{other}");
    told.start(to, message, 2);
    let (output, usage) = (None, Usage::default());
    told.say(Record::Settled { agent: to, message, attempt: 2, output, usage, handling_ms: 1 })
        .unwrap();
    assert_eq!((told.0.steps(message).count(), told.0.n_deliveries()), (0, 0));
}

#[test]
fn a_tool_call_that_was_started_and_never_ended_is_shown() {
    let (mut told, agent) = (Told::default(), AgentId::new());
    let message = told.accept(agent, MessagePriority::Normal);
    told.start(agent, message, 1);
    let key = StepKey { delivery: message, n: 1 };
    let call = ToolCall::new("fs", orch_core::Access::Write);
    let input = ContentHash::of_call(&call);
    let decided =
        |decision| Record::ToolDecided { agent, key, call: call.clone(), input, decision };
    told.say(decided(Decision::Ask { reason: "?".into() })).unwrap();
    let start = Record::ToolStarted { agent, key, idempotent: false };
    assert_eq!(told.say(start.clone()), Err(Illegal::WrongStep(key, "is not allowed")));
    told.say(decided(Decision::Allow)).unwrap();
    assert_eq!(told.0.unfinished_tools().count(), 0);
    told.say(start).unwrap();
    told.say(Record::Recovered {}).unwrap();
    let unfinished: Vec<_> = told.0.unfinished_tools().map(|(key, _)| key).collect();
    assert_eq!(unfinished, [key]);
    let output = "done".into();
    told.say(Record::ToolFinished { agent, key, output }).unwrap();
    assert_eq!(told.0.unfinished_tools().count(), 0);
}

#[test]
fn what_guards_count_begins_anew_with_each_run() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let guard = orch_core::LoopGuard::default();
    let [a, b] = [(); 2].map(|()| told.accept(to, MessagePriority::Normal));
    told.say(Record::RunStarted { run: 1, team: None, guard }).unwrap();
    told.start(to, a, 1);
    let (error, retry_at) = ("no".to_owned(), now());
    told.say(Record::RetryScheduled { agent: to, message: a, attempt: 1, error, retry_at })
        .unwrap();
    told.start(to, a, 2);
    told.start(to, b, 1);
    assert_eq!((told.0.counts(to).messages, told.0.counts(to).run), (2, 1));
    told.say(Record::Recovered {}).unwrap();
    assert!(told.0.open_run().is_none() && !told.0.is_cut_off());
    told.say(Record::RunStarted { run: 2, team: None, guard }).unwrap();
    told.start(to, a, 3);
    assert_eq!((told.0.counts(to).messages, told.0.counts(to).run), (1, 2));
}

#[test]
fn a_granted_call_counts_for_an_hour() {
    let (mut state, agent) = (State::new(), AgentId::new());
    let mut grant = |minute: u64| {
        let record = Record::CallGranted { agent, policy: "fs".into() };
        let at = Timestamp::from_millis(minute * 60_000);
        state.apply(&Entry { seq: state.last().next(), at, record }).unwrap();
        state.grants().count()
    };
    assert_eq!([0, 30, 59, 60, 200].map(&mut grant), [1, 2, 3, 3, 1]);
}
