//! Flows, held to what they promise, whatever order their messages end in.
//!
//! Each check is given flows that are broken on purpose as well, and has to find every bug.

use orch_runtime::{Content, LoopGuard, MessagePriority};
use orch_team::{AgentName, Flow, FlowSend, FlowSpec, Over};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::subject::{Broken, Bug, Choice, Ending, History, Subject, choices, run};

fn name(name: &str) -> AgentName {
    AgentName::try_new(name).unwrap()
}

fn names(prefix: &str, n: usize) -> Vec<AgentName> {
    (0..n).map(|number| name(&format!("{prefix}{number}"))).collect()
}

fn texts(prefix: &str, n: usize) -> Vec<Content> {
    (0..n).map(|number| format!("{prefix}{number}").into()).collect()
}

/// What every agent answers: its name around what it was told.
fn echo(send: &FlowSend) -> String {
    format!("{}({})", send.to, send.content)
}

fn lines<'a>(texts: impl Iterator<Item = &'a Content>) -> String {
    texts.map(Content::as_str).collect::<Vec<_>>().join("\n")
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Exactly one message of this place, with this content; or none, if `expected` is.
fn once(history: &History, key: &str, to: &str, expected: Option<&str>) -> Result<(), String> {
    let sent = history.sent(key);
    let sent: Vec<_> = sent.iter().map(|send| (send.to.as_str(), send.content.as_str())).collect();
    let expected: Vec<_> = expected.map(|content| (to, content)).into_iter().collect();
    ensure(sent == expected, || format!("{key}: sent {sent:?}, expected {expected:?}"))
}

/// The number of problems is that of the messages that ended badly.
fn problems(history: &History, n_bad: usize) -> Result<(), String> {
    let answer = history.answer.as_ref().ok_or("no answer")?;
    ensure(answer.problems.len() == n_bad && answer.partial == (0 < n_bad), || {
        format!("{n_bad} messages ended badly, and the answer says {answer:?}")
    })
}

fn says(history: &History, expected: &str) -> Result<(), String> {
    let content = history.answer.as_ref().map(|answer| answer.content.as_str());
    ensure(content == Some(expected), || format!("answer {content:?}, expected {expected:?}"))
}

/// Holds `check` against random cases; what it found wrong, if anything.
fn hold<C: std::fmt::Debug>(
    cases: impl Strategy<Value = C>,
    check: impl Fn(C) -> Result<(), String>,
) -> Result<(), String> {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let found =
        TestRunner::new(config).run(&cases, |case| check(case).map_err(TestCaseError::fail));
    found.map_err(|error| error.to_string())
}

/// A flow as it is, or with a bug.
fn subject(flow: Flow, bug: Option<Bug>) -> Box<dyn Subject> {
    match bug {
        None => Box::new(flow),
        Some(bug) => Box::new(Broken::new(flow, bug)),
    }
}

fn flow(spec: &FlowSpec) -> Flow {
    Flow::new(spec, LoopGuard::unlimited())
}

// Map.

fn map_cases() -> impl Strategy<Value = (usize, usize, bool, Vec<Choice>)> {
    (1..12usize, 1..4usize, any::<bool>(), choices())
}

/// Each item once; the reducer once, after all items, with the outputs in the order of the items.
fn check_map(
    (n_items, n_agents, reduces, choices): (usize, usize, bool, Vec<Choice>),
    bug: Option<Bug>,
) -> Result<(), String> {
    let reduce = reduces.then(|| name("reduce"));
    let spec = FlowSpec::map(names("m", n_agents), Over::Inputs, reduce);
    let mut subject = subject(flow(&spec), bug);
    let history = run(&mut *subject, texts("item", n_items), &choices, echo)?;

    let keys: Vec<_> = (0..n_items).map(|item| format!("item.{item}")).collect();
    for (item, key) in keys.iter().enumerate() {
        once(&history, key, &format!("m{}", item % n_agents), Some(&format!("item{item}")))?;
    }
    let outputs: Vec<_> = keys.iter().filter_map(|key| history.output(key)).collect();
    let joined = lines(outputs.iter().copied());
    let is_asked = reduces && !outputs.is_empty();
    once(&history, "reduce", "reduce", is_asked.then_some(joined.as_str()))?;
    if let (Some(asked), _) = history.when("reduce") {
        let open = keys.iter().find(|key| history.when(key).1.is_none_or(|ended| asked < ended));
        ensure(open.is_none(), || format!("reduced while {open:?} was open"))?;
    }
    ensure(history.n_sent() == n_items + usize::from(is_asked), || "more was sent".to_owned())?;
    // Without a reducer an item may have no output.
    let is_bad = |key: &String| match history.ending(key) {
        Some(Ending::Output(_)) | None => false,
        Some(Ending::Nothing) => reduces,
        Some(Ending::GaveUp) => true,
    };
    let reduce = "reduce".to_owned();
    problems(&history, keys.iter().chain([&reduce]).filter(|key| is_bad(key)).count())?;
    says(&history, history.output("reduce").map_or(&joined, |output| output.as_str()))
}

#[test]
fn a_map_sends_each_item_once_and_reduces_once_in_the_order_of_the_items() {
    hold(map_cases(), |case| check_map(case, None)).unwrap();
}

#[test]
fn the_check_of_maps_finds_each_planted_bug() {
    let bugs =
        [Bug::CountsTwice, Bug::LosesOne, Bug::ForgetsOrder, Bug::ReducesEarly, Bug::HidesProblems];
    for bug in bugs {
        assert!(hold(map_cases(), |case| check_map(case, Some(bug))).is_err(), "{bug:?}");
    }
}

// Pipe.

fn pipe_cases() -> impl Strategy<Value = (usize, usize, Vec<Choice>)> {
    (1..6usize, 1..5usize, choices())
}

/// Each input passes each stage once, with what the stage before made of it.
fn check_pipe(
    (n_inputs, n_stages, choices): (usize, usize, Vec<Choice>),
    make: impl Fn(Vec<AgentName>) -> Box<dyn Subject>,
) -> Result<(), String> {
    let mut subject = make(names("s", n_stages));
    let history = run(&mut *subject, texts("in", n_inputs), &choices, echo)?;
    let (mut outputs, mut n_bad) = (Vec::new(), 0);
    for input in 0..n_inputs {
        let mut content = Some(Content::from(format!("in{input}")));
        for stage in 0..n_stages {
            let key = format!("stage.{input}.{stage}");
            once(&history, &key, &format!("s{stage}"), content.as_deref())?;
            let is_last = stage + 1 == n_stages;
            n_bad += match history.ending(&key) {
                Some(Ending::GaveUp) => 1,
                Some(Ending::Nothing) => usize::from(!is_last),
                Some(Ending::Output(_)) | None => 0,
            };
            content = history.output(&key).cloned();
        }
        outputs.extend(content);
    }
    problems(&history, n_bad)?;
    says(&history, &lines(outputs.iter()))
}

#[test]
fn a_pipe_takes_each_input_through_each_stage_once() {
    let whole = |stages| subject(flow(&FlowSpec::pipe(stages)), None);
    hold(pipe_cases(), |case| check_pipe(case, whole)).unwrap();
}

#[test]
fn the_check_of_pipes_finds_each_planted_bug() {
    for bug in [Bug::CountsTwice, Bug::LosesOne, Bug::HidesProblems] {
        let broken = |stages| subject(flow(&FlowSpec::pipe(stages)), Some(bug));
        assert!(hold(pipe_cases(), |case| check_pipe(case, broken)).is_err(), "{bug:?}");
    }
    let skips_a_stage = |mut stages: Vec<AgentName>| {
        stages.truncate(1);
        subject(flow(&FlowSpec::pipe(stages)), None)
    };
    assert!(hold(pipe_cases(), |case| check_pipe(case, skips_a_stage)).is_err());
}

// Loop.

fn loop_cases() -> impl Strategy<Value = (u32, u32, Vec<Choice>)> {
    (1..5u32, 1..6u32, choices())
}

/// Work and check alternate, at most `at_most` times, until the checker approves.
fn check_loop(
    (at_most, approved_in, choices): (u32, u32, Vec<Choice>),
    make: impl Fn(u32) -> Box<dyn Subject>,
) -> Result<(), String> {
    let reply = |send: &FlowSend| match send.key.to_string().split_once('.') {
        Some(("check", round)) if round == approved_in.to_string() => " **Good.**\nfine".to_owned(),
        Some((kind, round)) => format!("{kind} {round}"),
        None => String::new(),
    };
    let history = run(&mut *make(at_most), vec!["task".into()], &choices, reply)?;
    let (mut to_do, mut work, mut n_bad, mut n_sent) = (Some("task".to_owned()), None, 0, 0);
    for round in 1..=at_most {
        let (do_key, check_key) = (format!("do.{round}"), format!("check.{round}"));
        once(&history, &do_key, "doer", to_do.as_deref())?;
        let done = history.output(&do_key).cloned();
        let to_check = done.as_ref().map(|work| format!("# Task\ntask\n\n# Work\n{work}\n"));
        once(&history, &check_key, "checker", to_check.as_deref())?;
        n_sent += usize::from(to_do.is_some()) + usize::from(to_check.is_some());
        let feedback = history.output(&check_key);
        let has_ended = |key| history.ending(key).is_some();
        n_bad += usize::from(has_ended(&do_key) && done.is_none());
        n_bad += usize::from(has_ended(&check_key) && feedback.is_none());
        work = done.or(work);
        to_do = match (feedback, to_check) {
            (Some(feedback), Some(to_check)) if round != approved_in => {
                Some(format!("{to_check}\n# Feedback\n{feedback}\n"))
            }
            _ => None,
        };
    }
    // What is still to be done after the last round was not approved.
    n_bad += usize::from(to_do.is_some());
    ensure(history.n_sent() == n_sent, || "more was sent".to_owned())?;
    problems(&history, n_bad)?;
    says(&history, work.as_deref().unwrap_or_default())
}

fn looping(at_most: u32) -> Flow {
    flow(&FlowSpec::repeat(name("doer"), name("checker"), "good", at_most))
}

#[test]
fn a_loop_works_and_checks_in_turns_and_ends_in_time() {
    hold(loop_cases(), |case| check_loop(case, |at_most| subject(looping(at_most), None))).unwrap();
}

#[test]
fn the_check_of_loops_finds_each_planted_bug() {
    for bug in [Bug::CountsTwice, Bug::LosesOne, Bug::HidesProblems] {
        let broken = |at_most| subject(looping(at_most), Some(bug));
        assert!(hold(loop_cases(), |case| check_loop(case, broken)).is_err(), "{bug:?}");
    }
    let goes_too_far = |at_most| subject(looping(at_most + 1), None);
    assert!(hold(loop_cases(), |case| check_loop(case, goes_too_far)).is_err());
}

// Urgent messages.

fn urgent_cases() -> impl Strategy<Value = (usize, u64, Vec<Choice>)> {
    (1..8usize, 0..10u64, choices())
}

/// An urgent message is sent once, as soon as enough others have ended, and is no part of the rest.
fn check_urgent(
    (n_items, after, choices): (usize, u64, Vec<Choice>),
    bug: Option<Bug>,
) -> Result<(), String> {
    let spec =
        FlowSpec::map(names("m", 1), Over::Inputs, None).with_urgent(name("m0"), "now", after);
    let mut subject = subject(flow(&spec), bug);
    let history = run(&mut *subject, texts("item", n_items), &choices, echo)?;
    let is_sent = after < n_items as u64;
    once(&history, "urgent.0", "m0", is_sent.then_some("now"))?;
    let answer = history.answer.as_ref().ok_or("no answer")?;
    if is_sent {
        let urgent = history.sent("urgent.0")[0];
        ensure(urgent.priority == Some(MessagePriority::Critical), || "not urgent".to_owned())?;
        let (sent, _) = history.when("urgent.0");
        let is_ending =
            |step: &crate::subject::Step| matches!(step, crate::subject::Step::Ended(..));
        let before = history.steps[..sent.unwrap_or(0)].iter().filter(|it| is_ending(it)).count();
        ensure(before as u64 == after, || format!("sent after {before}, not after {after}"))?;
        let output = history.output("urgent.0");
        let told = answer.urgent.first().map(|urgent| &urgent.content);
        ensure(told == output, || format!("told {told:?}, not {output:?}"))?;
    }
    let outputs = (0..n_items).filter_map(|item| history.output(&format!("item.{item}")));
    says(&history, &lines(outputs))
}

#[test]
fn an_urgent_message_is_sent_once_in_its_time() {
    hold(urgent_cases(), |case| check_urgent(case, None)).unwrap();
}

#[test]
fn the_check_of_urgent_messages_finds_each_planted_bug() {
    for bug in [Bug::CountsTwice, Bug::KeepsCalm] {
        assert!(hold(urgent_cases(), |case| check_urgent(case, Some(bug))).is_err(), "{bug:?}");
    }
}
