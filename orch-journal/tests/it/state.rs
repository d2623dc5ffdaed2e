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
    told.say(Record::SentAgain { agent: to, message: b, letter: None }).unwrap();
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
    told.say(Record::RunStarted { run: 1, team: None, guard, since: None }).unwrap();
    told.start(to, a, 1);
    let (error, retry_at) = ("no".to_owned(), now());
    told.say(Record::RetryScheduled { agent: to, message: a, attempt: 1, error, retry_at })
        .unwrap();
    told.start(to, a, 2);
    told.start(to, b, 1);
    assert_eq!((told.0.counts(to).messages, told.0.counts(to).run), (2, 1));
    told.say(Record::Recovered {}).unwrap();
    assert!(told.0.open_run().is_none() && !told.0.is_cut_off());
    told.say(Record::RunStarted { run: 2, team: None, guard, since: None }).unwrap();
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

#[test]
fn what_guards_count_goes_on_where_a_run_was_cut_off() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let guard = orch_core::LoopGuard::default();
    let [a, b, c] = [(); 3].map(|()| told.accept(to, MessagePriority::Normal));
    let begin = |told: &mut Told, run, since| {
        told.say(Record::RunStarted { run, team: None, guard, since })
    };
    let not_cut_off = |run| Err(Illegal::RunStart(run, "the run before was not cut off"));
    assert_eq!(begin(&mut told, 1, Some(1)), not_cut_off(1));
    begin(&mut told, 1, None).unwrap();
    told.start(to, a, 1);
    told.say(Record::Recovered {}).unwrap();
    assert_eq!(begin(&mut told, 2, Some(2)), not_cut_off(2));
    begin(&mut told, 2, Some(1)).unwrap();
    told.start(to, a, 2);
    told.start(to, b, 1);
    told.say(Record::Recovered {}).unwrap();
    // Not handed out in the second run, nor in the third: a run without an attempt breaks no chain.
    begin(&mut told, 3, Some(1)).unwrap();
    told.say(Record::Recovered {}).unwrap();
    begin(&mut told, 4, Some(1)).unwrap();
    told.start(to, b, 2);
    told.start(to, c, 1);
    assert_eq!(told.0.counts(to).messages, 3, "each once, whatever its attempts");
    let reason = orch_core::StopReason::Completed;
    told.say(Record::RunEnded { run: 4, reason }).unwrap();
    assert_eq!(begin(&mut told, 5, Some(1)), not_cut_off(5));
}

/// Dead letters of one message, made by two events: of a send that was refused twice.
#[test]
fn a_letter_is_named_by_the_event_that_made_it() {
    let (mut told, to) = (Told::default(), AgentId::new());
    let message = AgentMessage::new(AgentId::OUTSIDE, to, "go").with_deadline(now());
    let id = message.id();
    let made = [1, 2].map(|millis| {
        let at = Timestamp::from_millis(millis);
        let letter = DeadLetter::new(message.clone(), DeadLetterReason::Expired, at);
        told.say(Record::DeadLettered { letter }).unwrap();
        told.0.last()
    });
    let drop_one = |letter| Record::LetterDropped { agent: to, message: id, letter, sent_as: None };
    let unknown = orch_journal::Seq(99);
    assert_eq!(told.say(drop_one(Some(unknown))), Err(Illegal::UnknownLetter(id)));
    let second = told.0.letters().nth(1).unwrap().clone();
    let again = second.sent_again().remove(0);
    told.say(again).unwrap();
    let left: Vec<_> = told.0.letters().map(|it| it.seq).collect();
    assert_eq!(left, [made[0]]);
    let delivery = told.0.delivery(id).unwrap();
    assert_eq!((delivery.seq, delivery.message.deadline()), (made[1], None));
    told.say(drop_one(None)).unwrap();
    assert_eq!(told.0.letters().count(), 0);
}

#[test]
fn a_person_decides_about_the_steps_of_a_dead_letter() {
    let (mut told, agent) = (Told::default(), AgentId::new());
    let message = told.accept(agent, MessagePriority::Normal);
    told.start(agent, message, 1);
    let keys = [1, 2].map(|n| StepKey { delivery: message, n });
    let call = ToolCall::new("fs", orch_core::Access::Write);
    let input = ContentHash::of_call(&call);
    for key in keys {
        let (call, decision) = (call.clone(), Decision::Allow);
        told.say(Record::ToolDecided { agent, key, call, input, decision }).unwrap();
        told.say(Record::ToolStarted { agent, key, idempotent: false }).unwrap();
    }
    let letter = {
        let reason = DeadLetterReason::ToolUnfinished { step: 1, tool: "fs".into() };
        let message = told.0.delivery(message).unwrap().message.clone();
        DeadLetter::new(message, reason, now())
    };
    told.say(Record::DeadLettered { letter }).unwrap();
    let finished = told.0.tool_finished(keys[0], "done".into()).unwrap();
    told.say(finished.clone()).unwrap();
    assert!(told.say(finished).is_err(), "once");
    let reset = told.0.tool_reset(keys[1], "nothing happened".into()).unwrap();
    told.say(reset.clone()).unwrap();
    assert!(told.say(reset).is_err(), "once");
    assert_eq!(told.0.unfinished_tools().count(), 0);
    let letter = told.0.letters().next().unwrap().clone();
    let mut afresh = told.0.clone();
    told.say(letter.sent_again().remove(0)).unwrap();
    told.start(agent, message, 1);
    let outputs: Vec<_> = told.0.steps(message).map(|(_, step)| step.output.clone()).collect();
    assert_eq!(outputs, [Some("done".into()), None]);
    told.say(Record::ToolStarted { agent, key: keys[1], idempotent: false }).unwrap();
    let (copy, set) = letter.sent_afresh();
    for record in set {
        let (seq, at) = (afresh.last().next(), now());
        afresh.apply(&Entry { seq, at, record }).unwrap();
    }
    assert_eq!((afresh.steps(message).count(), afresh.steps(copy).count()), (0, 0));
    assert!(afresh.delivery(message).is_none() && afresh.delivery(copy).is_some());
}
