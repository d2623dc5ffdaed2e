//! Times that are shared, and times that must be exact.

use std::sync::{Arc, OnceLock};

use orch_runtime::*;

use crate::support::{Events, Log, eventually, ms, orchestrator, outside, run, send, spawn};

/// Seen: a worker that had read the clock before a long message looked with that time at an agent
/// whose backoff had ended meanwhile, found it not due, and let go of it for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_is_due_is_seen_by_a_worker_whose_clock_is_behind() {
    for n_fast in 0..8 {
        let log = Log::default();
        let tries = log.clone();
        let orchestrator = orchestrator()
            .with_max_concurrency(1)
            .with_retry_policy(RetryPolicy::default().with_base(ms(30)))
            .with_connector(
                "twice",
                function(move |ctx: Context| {
                    let log = tries.clone();
                    async move {
                        log.push(format!("attempt {}", ctx.attempt()));
                        match ctx.attempt() {
                            1 => Failure::transient("once more").into(),
                            _ => Outcome::done(),
                        }
                    }
                }),
            )
            .with_connector(
                "fast or slow",
                function(|ctx: Context| async move {
                    if ctx.content() == "slow" {
                        // Longer than any backoff here, without a yield.
                        std::thread::sleep(ms(100));
                    }
                }),
            );
        let twice = spawn(&orchestrator, "twice", "twice").await;
        let fast = spawn(&orchestrator, "fast", "fast or slow").await;
        send(&orchestrator, twice, "x").await;
        let orchestrator = &orchestrator;
        let meanwhile = async {
            eventually("its first attempt is over", || log.lines().len() == 1).await;
            tokio::time::sleep(ms(5)).await; // Its timer is armed.
            for _ in 0..n_fast {
                send(orchestrator, fast, "fast").await;
            }
            send(orchestrator, fast, "slow").await;
        };
        let (reason, ()) = tokio::join!(run(orchestrator), meanwhile);
        assert_eq!(reason, StopReason::Completed);
        assert_eq!(log.lines(), ["attempt 1", "attempt 2"], "{n_fast} fast ones before");
    }
}

/// Seen: a backoff that counted from a reading of the clock before the attempt, because fast messages
/// share one: it was over before the attempt was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backoff_begins_when_the_attempt_ends() {
    for n_fast in 0..8 {
        let ended = Arc::new(OnceLock::new());
        let ends = ended.clone();
        let orchestrator = orchestrator()
            .with_retry_policy(RetryPolicy::default().with_base(ms(1)))
            .with_connector(
                "fast or slow",
                function(move |ctx: Context| {
                    let ended = ends.clone();
                    async move {
                        if ctx.content() == "fast" || ctx.attempt() > 1 {
                            return Outcome::done();
                        }
                        // It does not yield.
                        std::thread::sleep(ms(50));
                        ended.set(Timestamp::now()).unwrap();
                        Failure::transient("once more").into()
                    }
                }),
            );
        let (orchestrator, events) = Events::watch(orchestrator);
        let a = spawn(&orchestrator, "a", "fast or slow").await;
        for _ in 0..n_fast {
            send(&orchestrator, a, "fast").await;
        }
        send(&orchestrator, a, "slow").await;
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        let retried = events.all(|kind| match kind {
            EventKind::RetryScheduled { retry_at, .. } => Some(*retry_at),
            _ => None,
        });
        assert!(retried[0] >= *ended.get().unwrap(), "{n_fast} fast ones before");
    }
}

/// Seen: a message was handled after its deadline, as the clock was not read after the long one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_comes_during_the_message_before_is_seen() {
    for n_fast in 0..8 {
        let log = Log::default();
        let heard = log.clone();
        let orchestrator = orchestrator().with_connector(
            "fast or slow",
            function(move |ctx: Context| {
                let log = heard.clone();
                async move {
                    if ctx.content() == "slow" {
                        std::thread::sleep(ms(100)); // It does not yield.
                    }
                    log.push(ctx.content().as_str());
                }
            }),
        );
        let a = spawn(&orchestrator, "a", "fast or slow").await;
        for _ in 0..n_fast {
            send(&orchestrator, a, "fast").await;
        }
        send(&orchestrator, a, "slow").await;
        let deadline = Timestamp::now().after(ms(50));
        orchestrator.send(outside(a, "too late").with_deadline(deadline)).await.unwrap();
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(log.lines().last().unwrap(), "slow", "{n_fast} fast ones before");
        assert_eq!(orchestrator.dead_letters().len(), 1);
    }
}
