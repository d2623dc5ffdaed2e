//! Attempts: when they are made, how often, and what goes on meanwhile.

use std::sync::{Arc, Mutex};

use orch_runtime::*;
use tokio::time::Instant;

use crate::support::{Events, Log, config, ms, orchestrator, outside, run, send, spawn};

/// Fails the first `n` attempts at each message, and notes when each attempt began.
fn flaky(n: u32, times: &Arc<Mutex<Vec<u128>>>) -> impl Connector {
    let times = times.clone();
    let start = Instant::now();
    function(move |ctx: Context| {
        times.lock().unwrap().push(start.elapsed().as_millis());
        async move { if ctx.attempt() <= n { Err(Failure::transient("busy")) } else { Ok(()) } }
    })
}

/// SPEC: Retry logic and exponential backoff
/// SPEC: Automatic retry with exponential backoff:
#[tokio::test(start_paused = true)]
async fn the_pauses_double_from_100_ms_and_are_never_shorter() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let orchestrator = orchestrator().with_connector("flaky", flaky(5, &times));
    let a = orchestrator.spawn(config("a", "flaky").with_max_retries(5)).await.unwrap();
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let times = times.lock().unwrap();
    let pauses: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 5);
    for (n, pause) in pauses.iter().enumerate() {
        let backoff = 100 << n;
        // 20 % of jitter at most, and the millisecond to which timers are rounded.
        assert!((backoff..=backoff * 6 / 5 + 1).contains(pause), "retry {n}: {pauses:?}");
    }
}

/// SPEC: Configurable max retries per agent
#[tokio::test(start_paused = true)]
async fn max_retries_are_the_attempts_after_the_first() {
    for max_retries in [0, 1, 3] {
        let orchestrator =
            orchestrator().with_connector("fail", Scripted::new().fail("busy").repeat());
        let agent = config("a", "fail").with_max_retries(max_retries);
        let a = orchestrator.spawn(agent).await.unwrap();
        let id = send(&orchestrator, a, "x").await;
        let error = "busy".to_owned();
        assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
        let letters = orchestrator.dead_letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].message.id(), id);
        assert_eq!(letters[0].reason, DeadLetterReason::AttemptsExhausted);
        let attempts: Vec<u32> = letters[0].attempts.iter().map(|it| it.attempt).collect();
        assert_eq!(attempts, (1..=max_retries + 1).collect::<Vec<_>>());
        assert_eq!(orchestrator.metrics().await.retry_count, u64::from(max_retries));
    }
}

/// SPEC: Prevents thundering herd
#[tokio::test(start_paused = true)]
async fn agents_that_fail_together_do_not_come_back_together() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let orchestrator = orchestrator()
        .with_seed(7)
        .with_retry_policy(RetryPolicy::default().with_base(ms(1_000)))
        .with_connector("flaky", flaky(1, &times));
    for name in 0..30 {
        let agent = spawn(&orchestrator, &name.to_string(), "flaky").await;
        send(&orchestrator, agent, "x").await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let mut second = times.lock().unwrap().split_off(30);
    assert!(second.iter().all(|at| (1_000..=1_201).contains(at)), "{second:?}");
    second.dedup();
    assert!(second.len() > 20, "they come back in {} moments: {second:?}", second.len());
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_not_tried_again() {
    let orchestrator =
        orchestrator().with_connector("fail", Scripted::new().fail_finally("no such file"));
    let a = spawn(&orchestrator, "a", "fail").await;
    send(&orchestrator, a, "x").await;
    let error = "no such file".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
    assert_eq!(orchestrator.dead_letters()[0].reason, DeadLetterReason::FinalFailure);
    assert_eq!(orchestrator.metrics().await.retry_count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_waited_for() {
    let failure = Failure::transient("overloaded").with_retry_after(ms(5_000));
    let orchestrator =
        orchestrator().with_connector("busy", Scripted::new().fail_with(failure).done());
    let a = spawn(&orchestrator, "a", "busy").await;
    send(&orchestrator, a, "x").await;
    let started = Instant::now();
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert!((ms(5_000)..=ms(5_002)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_an_hour_is_a_dead_letter_at_once() {
    let failure = Failure::transient("overloaded").with_retry_after(ms(3_600_000));
    let orchestrator =
        orchestrator().with_connector("busy", Scripted::new().fail_with(failure).done());
    let a = spawn(&orchestrator, "a", "busy").await;
    send(&orchestrator, a, "x").await;
    let started = Instant::now();
    let error = "overloaded".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
    assert_eq!(started.elapsed(), ms(0));
    let reason = DeadLetterReason::RetryAfterTooLong { retry_after_ms: 3_600_000 };
    assert_eq!(orchestrator.dead_letters()[0].reason, reason);
}

/// During the backoff the agent and the slot are free for what is more urgent, and for nothing else
/// of this agent.
#[tokio::test(start_paused = true)]
async fn a_critical_message_is_handled_during_a_backoff_and_a_normal_one_is_not() {
    let log = Log::default();
    let said = log.clone();
    let start = Instant::now();
    let connector = function(move |ctx: Context| {
        let at = start.elapsed().as_millis();
        said.push(format!("{} {} at {at}", ctx.content(), ctx.attempt()));
        async move {
            let fails = ctx.content() == "flaky" && ctx.attempt() == 1;
            if fails { Err(Failure::transient("busy").with_retry_after(ms(1_000))) } else { Ok(()) }
        }
    });
    let orchestrator = orchestrator().with_max_concurrency(1).with_connector("flaky", connector);
    let a = spawn(&orchestrator, "a", "flaky").await;
    let b = spawn(&orchestrator, "b", "flaky").await;
    send(&orchestrator, a, "flaky").await;
    send(&orchestrator, a, "normal").await;
    let later = async {
        tokio::time::sleep(ms(500)).await;
        let low = outside(a, "low").with_priority(MessagePriority::Low);
        orchestrator.send(low).await.unwrap();
        let critical = outside(a, "critical").with_priority(MessagePriority::Critical);
        orchestrator.send(critical).await.unwrap();
        send(&orchestrator, b, "other").await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert_eq!(reason, StopReason::Completed);
    let expected = [
        "flaky 1 at 0",
        "critical 1 at 500",
        "other 1 at 500",
        "flaky 2 at 1000",
        "normal 1 at 1000",
        "low 1 at 1000",
    ];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_a_failure_that_may_be_tried_again() {
    let orchestrator =
        orchestrator().with_connector("slow", Scripted::new().hang().delay(ms(99)).done());
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = orchestrator.spawn(config("a", "slow").with_timeout_ms(100)).await.unwrap();
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(events.attempts(a), [1, 2]);
    let errors = events.all(|kind| match kind {
        EventKind::RetryScheduled { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(errors, ["timed out after 100 ms"]);
}

/// The wait for an answer is part of the attempt, so its timeout runs on.
#[tokio::test(start_paused = true)]
async fn the_timeout_of_an_attempt_runs_on_while_it_waits() {
    let orchestrator =
        orchestrator().with_connector("hang", Scripted::new().hang()).with_connector(
            "ask",
            function(|ctx: Context| async move {
                ctx.ask(ctx.find("b").unwrap(), "?", ms(60_000)).await
            }),
        );
    let agent = config("a", "ask").with_timeout_ms(1_000).with_max_retries(0);
    let a = orchestrator.spawn(agent).await.unwrap();
    let silent = config("b", "hang").with_timeout_ms(2_000).with_max_retries(0);
    orchestrator.spawn(silent).await.unwrap();
    send(&orchestrator, a, "x").await;
    let error = "timed out after 1000 ms".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_that_may_be_tried_again() {
    let orchestrator = orchestrator()
        .with_connector("panic", Scripted::new().panic("at the disco").panic("again").done());
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "panic").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let errors = events.all(|kind| match kind {
        EventKind::RetryScheduled { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(errors, ["at the disco", "again"].map(|it| format!("the handler panicked: {it}")));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_deadline_comes_before_its_turn_is_given_up_and_hurts_nobody() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(1_000)));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "first").await;
    let soon = Timestamp::now().after(ms(500));
    orchestrator.send(outside(a, "too late").with_deadline(soon)).await.unwrap();
    send(&orchestrator, a, "last").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["first", "last"]);
    let letters = orchestrator.dead_letters();
    assert_eq!(letters[0].reason, DeadLetterReason::Expired);
    assert_eq!(letters[0].attempts, []);
    // Nothing was attempted, and nothing tells so.
    assert_eq!(events.attempts(a), [1, 1]);
    let metrics = orchestrator.metrics().await;
    assert_eq!((metrics.wait_time.count(), metrics.handling_time.count()), (2, 2));
}

/// Seen: whether a message had expired was asked at its first hand-out only, so that one whose
/// backoff was over, and which then waited for a slot, was handled long after its deadline.
#[tokio::test(start_paused = true)]
async fn a_message_that_expires_between_its_backoff_and_its_slot_is_given_up() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("flaky", Scripted::new().fail("busy").done())
        .with_connector("log", log.after(ms(60_000)));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "flaky").await;
    let b = spawn(&orchestrator, "b", "log").await;
    let soon = Timestamp::now().after(ms(30_000));
    let message = outside(a, "x").with_deadline(soon).with_priority(MessagePriority::High);
    orchestrator.send(message).await.unwrap();
    send(&orchestrator, b, "long").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(events.attempts(a), [1]);
    let letter = &orchestrator.dead_letters()[0];
    assert_eq!(letter.reason, DeadLetterReason::Expired);
    assert_eq!(letter.attempts.len(), 1, "it keeps the attempt that was made");
    assert_eq!(orchestrator.metrics().await.retry_count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_backoff_frees_the_slot() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("flaky", Scripted::new().fail("busy").done())
        .with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "flaky").await;
    let b = spawn(&orchestrator, "b", "log").await;
    let urgent = outside(a, "x").with_priority(MessagePriority::High);
    orchestrator.send(urgent).await.unwrap();
    send(&orchestrator, b, "meanwhile").await;
    let watch = async {
        tokio::time::sleep(ms(50)).await;
        log.lines()
    };
    let (reason, lines) = tokio::join!(run(&orchestrator), watch);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(lines, ["meanwhile"]);
}

/// Seen: a message that was stopped between two attempts had all its attempts again afterwards, so
/// `max_retries` was passed by as many stops as there were. A delivery now carries its failed
/// attempts with it wherever it goes.
#[tokio::test(start_paused = true)]
async fn attempts_that_failed_before_a_stop_count_after_it() {
    let orchestrator = orchestrator().with_connector("fail", Scripted::new().fail("busy").repeat());
    let a = orchestrator.spawn(config("a", "fail").with_max_retries(3)).await.unwrap();
    send(&orchestrator, a, "x").await;
    for n_stops in 1..=3 {
        // Long enough for one attempt, shorter than the backoff after it.
        let cut = tokio::time::timeout(ms(50), orchestrator.start()).await;
        assert!(cut.is_err(), "stop {n_stops}");
    }
    let error = "busy".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
    let letters = orchestrator.dead_letters();
    let attempts: Vec<u32> = letters[0].attempts.iter().map(|it| it.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
}
