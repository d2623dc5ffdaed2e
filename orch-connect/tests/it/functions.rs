//! Agents that are Rust code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orch_connect::conformance::TestHost;
use orch_connect::{
    ConnectError, Connector, Connectors, Context, Handler, HostError, Session, blocking_function,
    built_in, function, handler,
};
use orch_core::{Access, Failure, FailureKind, Outcome, ToolCall};

use crate::support::{close, config, fails, open, turn, turn_with};

#[tokio::test]
async fn a_closure_answers_what_it_returns() {
    let shout = function(|ctx: Context| async move { ctx.content().to_uppercase() });
    let mut session = open(&shout, config("function")).await;
    assert_eq!(turn(&mut session, "a").await, Outcome::output("A"));
    close(session).await;
}

#[tokio::test]
async fn a_refusal_of_the_host_fails_the_attempt() {
    let relay = function(|ctx: Context| async move {
        let next = ctx.find("next").ok_or(Failure::last("no next"))?;
        let answer = ctx.ask(next, "well?", Duration::from_secs(1)).await?;
        Ok::<_, Failure>(answer)
    });
    let mut session = open(&relay, config("function")).await;
    fails(turn(&mut session, "a").await, FailureKind::Final, &["no next"]);

    let busy = || HostError::NotAnswered { error: "busy".into(), transient: true };
    let host = TestHost::new().with_agent("next").answering(move |_| async move { Err(busy()) });
    let outcome = turn_with(&mut session, Arc::new(host).context("a")).await;
    fails(outcome, FailureKind::Transient, &["busy"]);
}

#[tokio::test]
async fn a_policy_is_accepted_since_calls_go_through_the_host() {
    let asks = function(|ctx: Context| async move {
        ctx.tool(ToolCall::new("shell", Access::Execute)).await.is_allowed().to_string()
    });
    let policy = orch_core::ToolPolicy::new("shell".into(), orch_core::PermissionLevel::ReadOnly);
    let mut session = open(&asks, config("function").with_tool_policy(policy)).await;
    assert_eq!(turn(&mut session, "a").await, Outcome::output("false"));
}

#[tokio::test]
async fn each_session_of_a_handler_has_its_own_state() {
    #[derive(Default)]
    struct Counter(u32);

    impl Handler for Counter {
        type Output = String;

        async fn handle(&mut self, _context: Context) -> String {
            self.0 += 1;
            self.0.to_string()
        }
    }

    let counters = handler(|_spec| Counter::default());
    let (mut a, mut b) =
        (open(&counters, config("function")).await, open(&counters, config("function")).await);
    assert_eq!(turn(&mut a, "x").await, Outcome::output("1"));
    assert_eq!(turn(&mut a, "x").await, Outcome::output("2"));
    assert_eq!(turn(&mut b, "x").await, Outcome::output("1"));
}

#[tokio::test]
async fn a_blocking_function_may_wait_through_the_runtime() {
    let asks = blocking_function(|ctx: Context| {
        let next = ctx.find("next").ok_or(Failure::last("no next"))?;
        let wait = ctx.ask(next, ctx.content(), Duration::from_secs(1));
        Ok::<_, Failure>(tokio::runtime::Handle::current().block_on(wait)?)
    });
    let mut session = open(&asks, config("function")).await;
    let host = TestHost::new().with_agent("next").answering(|question| {
        let answer = question.content().to_uppercase().into();
        async move { Ok(answer) }
    });
    let outcome = turn_with(&mut session, Arc::new(host).context("a")).await;
    assert_eq!(outcome, Outcome::output("A"));
}

#[tokio::test]
async fn closing_waits_for_a_blocking_call_that_was_cut_off() {
    let (running, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (in_call, may_end) = (Arc::clone(&running), Arc::clone(&go));
    let slow = blocking_function(move |_ctx: Context| {
        assert_eq!(in_call.fetch_add(1, Ordering::SeqCst), 0, "two calls at once");
        while !may_end.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        in_call.fetch_sub(1, Ordering::SeqCst);
    });
    let mut session = open(&slow, config("function")).await;
    {
        let mut cut = Box::pin(session.turn(Arc::new(TestHost::new()).context("a")));
        while running.load(Ordering::SeqCst) == 0 {
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut cut).await.is_err());
        }
    }
    assert!(!session.is_open());
    let mut closing = Box::pin(session.close());
    let mut is_early = false;
    for _ in 0..20 {
        is_early |= tokio::time::timeout(Duration::from_millis(1), &mut closing).await.is_ok();
        if is_early {
            break;
        }
    }
    // First of all the call may end, or a failure here would wait for it for ever.
    go.store(true, Ordering::SeqCst);
    assert!(!is_early, "closed while the call ran");
    closing.await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_of_a_blocking_function_reaches_the_caller_and_the_session_goes_on() {
    let moody = blocking_function(|ctx: Context| {
        assert!(ctx.content().as_str() != "bad", "as was asked");
        "good"
    });
    let mut session = open(&moody, config("function")).await;
    let context = Arc::new(TestHost::new()).context("bad");
    let panicked = {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let _ = session.turn(context).await;
        });
        tasks.join_next().await.expect("one task").expect_err("it panics")
    };
    let panicked = panicked.into_panic();
    let text = panicked.downcast_ref::<&str>().copied().unwrap_or_default();
    assert_eq!(text, "as was asked");

    let mut session = open(&moody, config("function")).await;
    assert_eq!(turn(&mut session, "fine").await, Outcome::output("good"));
}

#[test]
fn the_built_in_function_says_how_to_give_it_its_code() {
    let connector = built_in().get("function").expect("it is built in");
    let error = connector.check(&config("function")).expect_err("it has no code");
    assert!(
        matches!(&error, ConnectError::NeedsCode { hint, .. } if hint.contains("with_connector")),
        "{error}"
    );
}

#[test]
fn an_unknown_connector_is_answered_with_the_known_ones() {
    let error = built_in().get("subproces").expect_err("there is none of that name");
    let known = ["function", "scripted", "subprocess"].map(str::to_owned).to_vec();
    assert_eq!(error, ConnectError::UnknownConnector { name: "subproces".into(), known });
}

#[test]
fn a_connector_can_be_replaced() {
    let connectors = built_in().with("function", function(|_ctx: Context| async {}));
    assert_eq!(connectors.get("function").expect("it is there").check(&config("function")), Ok(()));
    assert!(Connectors::new().get("function").is_err());
}

#[tokio::test]
async fn a_handler_function_does_not_care_about_settings() {
    let quiet = function(|_ctx: Context| async {});
    let config = config("function").with_setting("anything", 1);
    assert_eq!(quiet.check(&config), Ok(()));
    let mut session = open(&quiet, config).await;
    assert_eq!(turn(&mut session, "a").await, Outcome::done());
}
