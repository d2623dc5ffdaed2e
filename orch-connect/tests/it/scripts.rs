//! Agents that follow a script.

use std::sync::Arc;
use std::time::Duration;

use orch_connect::conformance::TestHost;
use orch_connect::{
    ConnectError, Connector, HostError, Scripted, ScriptedSession, Session, SessionSpec,
};
use orch_core::{
    Access, AgentConfig, AgentId, Content, Decision, Failure, FailureKind, Outcome, ToolCall, Usage,
};
use serde_json::{Value, json};

use crate::support::{config, fails, open, turn, turn_with};

fn settings(settings: Value) -> AgentConfig {
    let mut config = config("scripted");
    config.settings = settings.as_object().expect("settings are an object").clone();
    config
}

async fn open_script(script: &Scripted) -> ScriptedSession {
    open(script, config("scripted")).await
}

#[tokio::test]
async fn turns_are_taken_in_order_and_then_nothing_is_left() {
    let script = Scripted::new().reply("a").fail("busy").fail_finally("no").done().echo();
    let mut session = open_script(&script).await;
    assert_eq!(turn(&mut session, "1").await, Outcome::output("a"));
    fails(turn(&mut session, "2").await, FailureKind::Transient, &["busy"]);
    fails(turn(&mut session, "3").await, FailureKind::Final, &["no"]);
    assert_eq!(turn(&mut session, "4").await, Outcome::done());
    script.clone().reply("a clone that is changed is a script of its own").assert_unopened();
    assert_eq!(script.unused().len(), 1);
    assert_eq!(turn(&mut session, "5").await, Outcome::output("5"));
    script.assert_complete();
    fails(turn(&mut session, "6").await, FailureKind::Final, &["the script has no step left"]);
    assert_eq!(script.seen(), ["1", "2", "3", "4", "5", "6"].map(Content::from));
}

trait AssertUnopened {
    fn assert_unopened(&self);
}

impl AssertUnopened for Scripted {
    fn assert_unopened(&self) {
        assert!(self.seen().is_empty());
    }
}

#[tokio::test]
async fn an_agent_keeps_its_place_when_its_session_is_opened_again() {
    let script = Scripted::new().fail("once").reply("then");
    let spec = SessionSpec::new(AgentId::new(), Arc::new(config("scripted")));
    let mut session = script.open(spec.clone()).await.expect("it opens");
    fails(turn(&mut session, "x").await, FailureKind::Transient, &["once"]);
    session.close().await;
    let mut session = script.open(spec.clone()).await.expect("it opens");
    assert_eq!(turn(&mut session, "x").await, Outcome::output("then"));
    assert_eq!(script.seen_by(spec.agent).len(), 2);
}

#[tokio::test]
async fn each_agent_goes_through_the_script_by_itself() {
    let script = Scripted::new().reply("1").reply("2");
    let (mut a, mut b) = (open_script(&script).await, open_script(&script).await);
    assert_eq!(turn(&mut a, "x").await, Outcome::output("1"));
    assert_eq!(turn(&mut b, "x").await, Outcome::output("1"));
    assert_eq!(turn(&mut a, "x").await, Outcome::output("2"));
    assert_eq!(script.unused().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_virtual_where_time_is() {
    let script = Scripted::new().delay(Duration::from_secs(3600)).reply("late");
    let mut session = open_script(&script).await;
    let before = tokio::time::Instant::now();
    assert_eq!(session.turn(Arc::new(TestHost::new()).context("x")).await, Outcome::output("late"));
    assert_eq!(before.elapsed(), Duration::from_secs(3600));
}

#[tokio::test(start_paused = true)]
async fn a_hang_lasts_until_it_is_cut_off_and_was_used() {
    let script = Scripted::new().hang();
    let mut session = open_script(&script).await;
    let context = Arc::new(TestHost::new()).context("x");
    let cut = tokio::time::timeout(Duration::from_secs(86_400), session.turn(context)).await;
    assert!(cut.is_err());
    script.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn steps_behind_a_cut_are_not_used() {
    let script = Scripted::new().delay(Duration::from_secs(10)).reply("never said");
    let mut session = open_script(&script).await;
    let context = Arc::new(TestHost::new()).context("x");
    assert!(tokio::time::timeout(Duration::from_secs(1), session.turn(context)).await.is_err());
    let unused = script.unused();
    assert_eq!(unused.len(), 1);
    assert!(unused[0].ends_with("step 2, reply \"never said\""), "{unused:?}");
}

#[tokio::test]
#[should_panic(expected = "as the script says")]
async fn a_panic_step_panics() {
    let mut session = open_script(&Scripted::new().panic("as the script says")).await;
    let _ = session.turn(Arc::new(TestHost::new()).context("x")).await;
}

#[test]
#[should_panic(expected = "step 1, reply \"a\"")]
fn steps_that_nothing_reached_are_listed() {
    Scripted::new().reply("a").assert_complete();
}

#[tokio::test]
async fn actions_reach_the_host() {
    let script = Scripted::new()
        .usage(Usage { input_tokens: 3, ..Usage::default() })
        .say("thinking")
        .send("coder", "write")
        .broadcast("all")
        .publish("news", "extra")
        .tool_denied(ToolCall::new("shell", Access::Execute))
        .ask("coder", "done?")
        .reply_answer();
    let host =
        Arc::new(TestHost::new().with_agent("coder").answering(|_| async { Ok("yes".into()) }));
    let mut session = open_script(&script).await;
    assert_eq!(turn_with(&mut session, host.context("go")).await, Outcome::output("yes"));
    assert_eq!(host.used().input_tokens, 3);
    assert_eq!(host.said(), ["thinking"]);
    assert_eq!(host.sent().len(), 1);
    assert_eq!(host.sent()[0].content(), "write");
    assert_eq!(host.broadcasts(), [Content::from("all")]);
    assert_eq!(host.published(), [("news".to_owned(), Content::from("extra"))]);
    assert_eq!(host.asked()[0].content(), "done?");
    script.assert_complete();
}

#[tokio::test]
async fn an_unexpected_decision_fails_for_good() {
    let script = Scripted::new().tool_allowed(ToolCall::new("shell", Access::Execute)).done();
    let mut session = open_script(&script).await;
    fails(turn(&mut session, "x").await, FailureKind::Final, &["`shell` was to be allowed"]);

    let script = Scripted::new().tool_denied(ToolCall::new("shell", Access::Execute)).done();
    let host = Arc::new(TestHost::new().deciding(|_| Decision::Allow));
    let mut session = open_script(&script).await;
    let outcome = turn_with(&mut session, host.context("x")).await;
    fails(outcome, FailureKind::Final, &["`shell` was to be denied"]);
}

#[tokio::test]
async fn a_refused_send_or_ask_fails_the_turn() {
    let mut session = open_script(&Scripted::new().send("nobody", "x").done()).await;
    fails(turn(&mut session, "x").await, FailureKind::Final, &["no agent is called `nobody`"]);

    let mut session = open_script(&Scripted::new().ask("b", "x").reply_answer()).await;
    let late = || HostError::NotAnswered { error: "too late".into(), transient: true };
    let host = TestHost::new().with_agent("b").answering(move |_| async move { Err(late()) });
    let outcome = turn_with(&mut session, Arc::new(host).context("x")).await;
    fails(outcome, FailureKind::Transient, &["too late"]);
}

#[tokio::test]
async fn a_condition_picks_the_first_unused_turn_that_fits() {
    let script = Scripted::new().when("red").reply("stop").when("green").reply("go").reply("else");
    let mut session = open_script(&script).await;
    assert_eq!(turn(&mut session, "it is green").await, Outcome::output("go"));
    assert_eq!(turn(&mut session, "it is red").await, Outcome::output("stop"));
    assert_eq!(turn(&mut session, "it is red").await, Outcome::output("else"));
    fails(turn(&mut session, "it is red").await, FailureKind::Final, &["no step left"]);
}

#[tokio::test]
async fn a_script_repeats_from_its_beginning_or_its_last_turn() {
    let mut session = open_script(&Scripted::new().reply("a").reply("b").repeat()).await;
    for expected in ["a", "b", "a", "b"] {
        assert_eq!(turn(&mut session, "x").await, Outcome::output(expected));
    }
    let mut session = open_script(&Scripted::new().reply("a").reply("b").repeat_last()).await;
    for expected in ["a", "b", "b", "b"] {
        assert_eq!(turn(&mut session, "x").await, Outcome::output(expected));
    }
}

#[tokio::test]
async fn settings_say_the_same_as_the_builder() {
    let config = settings(json!({
        "steps": [
            { "delay_ms": 0 },
            { "usage": { "input_tokens": 2, "cost_micro_usd": 7 } },
            { "say": "hm" },
            { "send": "write", "to": "coder" },
            { "broadcast": "all" },
            { "publish": "extra", "topic": "news" },
            { "tool": "shell", "access": "execute", "expect": "deny" },
            { "ask": "done?", "to": "coder", "timeout_ms": 10 },
            { "reply_answer": true },
            { "fail": "busy", "retry_after_ms": 250 },
            { "fail": "never", "final": true },
            { "when": "x", "echo": true },
            { "done": true },
            { "say": "an action at the end" },
        ],
    }));
    let script = Scripted::from_settings();
    let mut session = open(&script, config).await;
    let host =
        Arc::new(TestHost::new().with_agent("coder").answering(|_| async { Ok("yes".into()) }));
    assert_eq!(turn_with(&mut session, host.context("go")).await, Outcome::output("yes"));
    assert_eq!(host.used(), Usage { input_tokens: 2, cost_micro_usd: 7, ..Usage::default() });
    let busy = Failure::transient("busy").with_retry_after(Duration::from_millis(250));
    assert_eq!(turn(&mut session, "go").await, Outcome::Nack(busy));
    assert_eq!(turn(&mut session, "go").await, Outcome::Nack(Failure::last("never")));
    assert_eq!(turn(&mut session, "no match").await, Outcome::done());
    assert_eq!(turn(&mut session, "box").await, Outcome::output("box"));
    assert_eq!(turn_with(&mut session, host.context("go")).await, Outcome::done());
    assert_eq!(host.said(), ["hm", "an action at the end"]);
    script.assert_complete();
}

#[tokio::test]
async fn settings_can_repeat() {
    for (repeat, last) in [(json!(true), "a"), (json!("last"), "b")] {
        let steps = json!([{ "reply": "a" }, { "reply": "b" }]);
        let config = settings(json!({ "steps": steps, "repeat": repeat }));
        let mut session = open(&Scripted::from_settings(), config).await;
        for expected in ["a", "b", last] {
            assert_eq!(turn(&mut session, "x").await, Outcome::output(expected));
        }
    }
}

#[track_caller]
fn refuses(config: AgentConfig, setting: &str, words: &str) {
    match Scripted::from_settings().check(&config) {
        Err(ConnectError::BadSetting { setting: named, problem }) => {
            assert_eq!(named, setting, "{problem}");
            assert!(problem.contains(words), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_step_is_named_by_its_place_with_those_that_there_are() {
    let steps = |step: Value| settings(json!({ "steps": [{ "reply": "a" }, step] }));
    refuses(config("scripted"), "steps", "is missing");
    refuses(settings(json!({ "step": [] })), "step", "did you mean `steps`?");
    refuses(settings(json!({ "steps": "reply" })), "steps", "expected a list");
    refuses(settings(json!({ "steps": [], "repeat": 1 })), "repeat", "must be true");
    refuses(settings(json!({ "repeat": true })), "steps", "is missing");
    refuses(steps(json!("reply")), "steps[1]", "expected a table");
    refuses(steps(json!({})), "steps[1]", "is empty; known are reply, echo");
    refuses(
        steps(json!({ "repyl": "b" })),
        "steps[1]",
        "`repyl` is no step; did you mean `reply`?",
    );
    refuses(steps(json!({ "to": "b", "snd": "c" })), "steps[1]", "did you mean `send`?");
    refuses(steps(json!({ "reply": "b", "echo": true })), "steps[1]", "has both");
    refuses(steps(json!({ "reply": 7 })), "steps[1].reply", "is a number; expected a text");
    refuses(steps(json!({ "reply": "b", "to": "c" })), "steps[1].to", "is unknown");
    refuses(steps(json!({ "echo": false })), "steps[1].echo", "must be true");
    refuses(steps(json!({ "send": "b" })), "steps[1].to", "is missing");
    refuses(steps(json!({ "publish": "b" })), "steps[1].topic", "is missing");
    refuses(steps(json!({ "usage": { "tokens": 1 } })), "steps[1].usage.tokens", "is unknown");
    refuses(steps(json!({ "tool": "t", "access": "all" })), "steps[1].access", "must be \"read\"");
    refuses(steps(json!({ "tool": "t", "expect": "ask" })), "steps[1].expect", "must be \"allow\"");
    let late = json!([{ "say": "a" }, { "when": "x", "reply": "b" }]);
    refuses(settings(json!({ "steps": late })), "steps[1].when", "first step of its turn");
}
