//! Questions: answers, failures, slots, and what is left when the turn is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_runtime::*;

use crate::support::{
    Events, Gate, LIMIT, Log, config, eventually, ms, orchestrator, outside, run, send, spawn,
    status,
};

const WAIT: Duration = Duration::from_secs(30);

/// Asks `b`, and says what came of it.
fn asker(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        let log = log.clone();
        async move {
            let b = ctx.find("b").expect("spawned by the test");
            match ctx.ask(b, ctx.content(), WAIT).await {
                Ok(answer) => log.push(answer.as_str()),
                Err(error) => log.push(error.to_string()),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_question_frees_the_slot_of_the_one_who_asks() {
    let log = Log::default();
    let shout = function(|ctx: Context| async move { ctx.content().to_uppercase() });
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("ask", asker(&log))
        .with_connector("shout", shout);
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "ask").await;
    spawn(&orchestrator, "b", "shout").await;
    send(&orchestrator, a, "hello").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["HELLO"]);
    use AgentStatus::{Idle, Processing, Waiting};
    assert_eq!(events.statuses(a), [Processing, Waiting, Processing, Idle]);
}

/// Seen: a handler that asked two agents together, with one slot, took the slot with the first
/// answer and kept it from the agent that was to give the second one, until the question timed out.
/// Now the last wait that ends takes the slot.
#[tokio::test(start_paused = true)]
async fn two_questions_at_once_with_one_slot_are_both_answered() {
    let log = Log::default();
    let answers = log.clone();
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        // Its second attempt needs the slot when the other answer has long been there.
        .with_connector("flaky", Scripted::new().fail("busy").echo())
        .with_connector("answer", function(|ctx: Context| async move { ctx.content().clone() }))
        .with_connector(
            "ask",
            function(move |ctx: Context| {
                let log = answers.clone();
                async move {
                    let [b, c] = ["b", "c"].map(|name| ctx.find(name).unwrap());
                    let (b, c) = tokio::join!(ctx.ask(b, "1", WAIT), ctx.ask(c, "2", WAIT));
                    log.push(format!("{} {}", b?, c?));
                    Ok::<_, HostError>(())
                }
            }),
        );
    let a = spawn(&orchestrator, "a", "ask").await;
    spawn(&orchestrator, "b", "answer").await;
    spawn(&orchestrator, "c", "flaky").await;
    send(&orchestrator, a, "go").await;
    let started = tokio::time::Instant::now();
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert!(started.elapsed() < ms(200), "no question timed out: {:?}", started.elapsed());
    assert_eq!(log.lines(), ["1 2"]);
}

/// A handler that gives a question up goes on, and takes a slot again as soon as one is free: it is
/// not forgotten in the count.
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_leaves_the_slots_in_order() {
    let log = Log::default();
    let said = log.clone();
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("hang", Scripted::new().hang())
        .with_connector("log", log.after(ms(10)))
        .with_connector(
            "ask",
            function(move |ctx: Context| {
                let log = said.clone();
                async move {
                    let b = ctx.find("b").unwrap();
                    for n in 0..20 {
                        let given_up = tokio::time::timeout(ms(5), ctx.ask(b, "?", WAIT)).await;
                        assert!(given_up.is_err(), "question {n} was answered");
                    }
                    log.push("gave up");
                }
            }),
        );
    let a = spawn(&orchestrator, "a", "ask").await;
    let hangs = config("b", "hang").with_timeout_ms(500).with_max_retries(0);
    let b = orchestrator.spawn(hangs).await.unwrap();
    let c = spawn(&orchestrator, "c", "log").await;
    send(&orchestrator, a, "go").await;
    send(&orchestrator, c, "c").await;
    let error = "timed out after 500 ms".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: b, error });
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["c", "gave up"]);
    assert_eq!(orchestrator.metrics().await.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_fails_while_it_is_asked_fails_the_question() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("fail", Scripted::new().delay(ms(10)).fail_finally("broken"));
    let a = spawn(&orchestrator, "a", "ask").await;
    let b = spawn(&orchestrator, "b", "fail").await;
    send(&orchestrator, a, "question").await;
    let error = "broken".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: b, error });
    assert_eq!(log.lines().len(), 1);
    assert!(log.lines()[0].contains("given up"), "{:?}", log.lines());
}

/// The question is behind another message, on which the agent fails: it stays in the mailbox of the
/// failed agent, and whoever asked hears so at once.
#[tokio::test(start_paused = true)]
async fn a_question_that_waits_when_its_agent_fails_is_failed_too() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("fail", Scripted::new().delay(ms(10)).fail_finally("broken"));
    let a = spawn(&orchestrator, "a", "ask").await;
    let b = spawn(&orchestrator, "b", "fail").await;
    send(&orchestrator, b, "poison").await;
    send(&orchestrator, a, "question").await;
    let error = "broken".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: b, error });
    assert_eq!(log.lines(), [format!("the question was not answered: {b} failed: broken")]);
    assert_eq!(crate::support::queue_depth(&orchestrator).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_to_an_agent_that_has_failed_is_refused_at_once() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("fail", Scripted::new().fail_finally("broken"));
    let a = spawn(&orchestrator, "a", "ask").await;
    let b = spawn(&orchestrator, "b", "fail").await;
    send(&orchestrator, b, "poison").await;
    let later = async {
        while !status(&orchestrator, b).await.is_failed() {
            tokio::time::sleep(ms(1)).await;
        }
        send(&orchestrator, a, "question").await;
        tokio::time::sleep(ms(100)).await;
        assert_eq!(log.lines(), [format!("the question was not answered: {b} has failed: broken")]);
        orchestrator.stop().await;
    };
    let (reason, ()) = tokio::join!(orchestrator.serve(), later);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_retired_while_it_is_asked_fails_the_question() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("slow", Scripted::new().delay(ms(100)).reply("too late"));
    let a = spawn(&orchestrator, "a", "ask").await;
    let b = spawn(&orchestrator, "b", "slow").await;
    send(&orchestrator, a, "question").await;
    let retire = async {
        tokio::time::sleep(ms(10)).await;
        orchestrator.retire(b).await.unwrap();
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), retire);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(log.lines(), [format!("the question was not answered: {b} was retired")]);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_says_so() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("done", Scripted::new().done());
    let a = spawn(&orchestrator, "a", "ask").await;
    let b = spawn(&orchestrator, "b", "done").await;
    send(&orchestrator, a, "question").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let expected =
        format!("the question was not answered: {b} handled the question without an answer");
    assert_eq!(log.lines(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_asks_itself_is_told_so_at_once() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("ask", asker(&log));
    let b = spawn(&orchestrator, "b", "ask").await;
    send(&orchestrator, b, "question").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert!(log.lines()[0].contains("asks itself"), "{:?}", log.lines());
}

/// Seen: the deadline of a question came from the wall clock and was judged by the run's, so that
/// after a jump (here: a minute of virtual time) every question was expired when it was sent.
#[tokio::test(start_paused = true)]
async fn a_question_late_in_a_run_is_not_expired() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("ask", asker(&log))
        .with_connector("echo", Scripted::new().echo());
    let a = spawn(&orchestrator, "a", "ask").await;
    spawn(&orchestrator, "b", "echo").await;
    let later = async {
        tokio::time::sleep(2 * WAIT).await;
        send(&orchestrator, a, "late").await;
        tokio::time::sleep(WAIT / 2).await;
        orchestrator.stop().await;
    };
    let (reason, ()) = tokio::join!(orchestrator.serve(), later);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(log.lines(), ["late"]);
}

/// Seen: a context that outlived its turn took a slot when its wait ended and kept it, which with
/// one slot was the end of all work; and it left its agent `Processing` for good.
#[tokio::test(start_paused = true)]
async fn a_context_that_is_kept_after_its_turn_gets_nothing_and_takes_no_slot() {
    let kept = Arc::new(Mutex::new(None));
    let errors = Log::default();
    let log = Log::default();
    let (keep, said) = (kept.clone(), errors.clone());
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("log", log.after(ms(1)))
        .with_connector("slow", Scripted::new().delay(ms(50)).reply("slow"))
        .with_connector(
            "keep",
            function(move |ctx: Context| {
                let (keep, said) = (keep.clone(), said.clone());
                async move {
                    let late = ctx.clone();
                    let task = async move {
                        let answer = late.ask(late.find("b").unwrap(), "?", WAIT).await;
                        said.push(answer.unwrap_err().to_string());
                        late.report_usage(Usage { input_tokens: 5, ..Usage::default() });
                        late.say("nobody hears this");
                        let call = ToolCall::new("any", Access::Read);
                        said.push(format!("{:?}", late.tool(call).await));
                        said.push(late.broadcast("x").await.to_string());
                        said.push(late.publish("topic", "x").await.to_string());
                        let sent = late.send(late.agent(), "x").await;
                        said.push(sent.unwrap_err().to_string());
                        *keep.lock().unwrap() = Some(late);
                    };
                    let mut tasks = tokio::task::JoinSet::new();
                    tasks.spawn(task);
                    tokio::time::sleep(ms(5)).await;
                    tasks.detach_all();
                }
            }),
        );
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "keep").await;
    spawn(&orchestrator, "b", "slow").await;
    let c = spawn(&orchestrator, "c", "log").await;
    send(&orchestrator, a, "go").await;
    for n in 0..100 {
        if n % 50 == 0 {
            assert_eq!(run(&orchestrator).await, StopReason::Completed);
        }
        send(&orchestrator, c, &n.to_string()).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines().len(), 100);
    let denied = "Deny { reason: \"the run is over\", possible_at: None }";
    assert_eq!(errors.lines(), ["the run is over", denied, "0", "0", "the run is over"]);
    assert!(kept.lock().unwrap().is_some());
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
    assert_eq!(orchestrator.metrics().await.usage, Usage::default());
    assert!(events.all(|kind| matches!(kind, EventKind::Said { .. }).then_some(())).is_empty());
}

/// Seen: a blocking handler whose question was open at a stop waited for the answer, and then for a
/// slot that nobody gave any more: it never returned, and no run could ever begin again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_handler_that_asks_comes_back_from_a_stop() {
    let asked = Gate::default();
    let has_asked = asked.clone();
    let log = Log::default();
    let said = log.clone();
    let orchestrator = orchestrator()
        .with_stop_limits(StopLimits::new(ms(10), LIMIT))
        .with_connector(
            "ask",
            blocking_function(move |ctx: Context| {
                let b = ctx.find("b").unwrap();
                let answer = tokio::runtime::Handle::current().block_on(ctx.ask(
                    b,
                    "?",
                    Duration::from_secs(100_000),
                ));
                said.push(answer.unwrap_err().to_string());
            }),
        )
        .with_connector(
            "wait",
            function(move |_: Context| {
                has_asked.open();
                async { std::future::pending::<()>().await }
            }),
        );
    let a = spawn(&orchestrator, "a", "ask").await;
    spawn(&orchestrator, "b", "wait").await;
    orchestrator.send(outside(a, "go")).await.unwrap();
    let stop = async {
        tokio::task::spawn_blocking(move || asked.pass()).await.unwrap();
        eventually("a waits", || {
            futures_ready(orchestrator.registry().get(a)).unwrap().status == AgentStatus::Waiting
        })
        .await;
        orchestrator.stop().await.unwrap()
    };
    let (reason, report) = tokio::join!(orchestrator.start(), stop);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(report.still_running, []);
    assert_eq!(log.lines(), ["the run is over"]);
}

/// The answer of a future that waits for nothing.
fn futures_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
