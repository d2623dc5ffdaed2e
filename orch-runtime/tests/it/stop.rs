//! Stopping, at any time and in any way, and starting again.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orch_runtime::*;

use crate::support::{
    Events, Gate, LIMIT, Log, config, eventually, ms, orchestrator, outside, queue_depth, run,
    send, spawn, status,
};

fn slow(log: &Log) -> impl Connector {
    log.after(Duration::from_secs(60))
}

/// Polls a future once.
async fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    let mut future = Some(future);
    std::future::poll_fn(move |cx| Poll::Ready(future.take().expect("polled once").poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_what_is_in_flight_end_within_the_grace_and_hands_out_nothing() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(3_000)));
    let a = spawn(&orchestrator, "a", "log").await;
    for n in 0..3 {
        send(&orchestrator, a, &n.to_string()).await;
    }
    let stop = async {
        tokio::time::sleep(ms(1_000)).await;
        orchestrator.stop().await.unwrap()
    };
    let started = tokio::time::Instant::now();
    let (reason, report) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
    assert_eq!((report.reason, report.still_running), (StopReason::ManualStop, vec![]));
    assert_eq!(started.elapsed(), ms(3_000));
    assert_eq!(log.lines(), ["0"]);
    assert_eq!(queue_depth(&orchestrator).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_puts_back_what_does_not_end_within_the_grace() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("slow", slow(&log));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "slow").await;
    send(&orchestrator, a, "x").await;
    let stop = async {
        tokio::time::sleep(ms(1_000)).await;
        orchestrator.stop().await.unwrap()
    };
    let started = tokio::time::Instant::now();
    let (reason, report) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
    assert_eq!(report.still_running, []);
    assert_eq!(started.elapsed(), ms(6_000), "5 s of grace");
    assert_eq!(queue_depth(&orchestrator).await, 1);
    assert_eq!(orchestrator.metrics().await.total_messages, 0);
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
    let put_back = events.all(|kind| matches!(kind, EventKind::PutBack { .. }).then_some(()));
    assert_eq!(put_back.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_keeps_the_order_in_which_it_was_handed_out() {
    let log = Log::default();
    let fast = log.clone();
    let orchestrator = orchestrator().with_connector("slow", slow(&log));
    let a = orchestrator.spawn(config("a", "slow").with_concurrency(3)).await.unwrap();
    for n in 0..6 {
        send(&orchestrator, a, &n.to_string()).await;
    }
    let stop = async {
        tokio::time::sleep(ms(1)).await;
        orchestrator.stop_now().await.unwrap()
    };
    let (reason, _) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
    assert_eq!(queue_depth(&orchestrator).await, 6);
    let orchestrator =
        Orchestrator::new(orchestrator.registry().clone(), orchestrator.bus().clone())
            .with_max_concurrency(1)
            .with_connector("slow", fast.connector());
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["0", "1", "2", "3", "4", "5"]);
}

/// Messages in their backoff, above the limit of iterations and in flight all go back.
#[tokio::test(start_paused = true)]
async fn a_stop_puts_back_what_is_between_two_attempts() {
    let log = Log::default();
    let said = log.clone();
    let flaky = function(move |ctx: Context| {
        said.push(format!("{} {}", ctx.content(), ctx.attempt()));
        async move {
            match ctx.content() == "flaky" && ctx.attempt() == 1 {
                true => Err(Failure::transient("busy").with_retry_after(ms(60_000))),
                false => Ok(()),
            }
        }
    });
    let orchestrator = orchestrator().with_connector("flaky", flaky);
    let a = spawn(&orchestrator, "a", "flaky").await;
    send(&orchestrator, a, "flaky").await;
    send(&orchestrator, a, "next").await;
    let stop = async {
        tokio::time::sleep(ms(1)).await;
        orchestrator.stop().await.unwrap()
    };
    let started = tokio::time::Instant::now();
    let (reason, _) = tokio::join!(run(&orchestrator), stop);
    assert_eq!((reason, started.elapsed()), (StopReason::ManualStop, ms(1)));
    assert_eq!(queue_depth(&orchestrator).await, 2);
    // No wait is left over from the run before.
    let later = async {
        tokio::time::sleep(ms(90_000)).await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(log.lines(), ["flaky 1", "flaky 2", "next 1"]);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_cut_off_do_not_count() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("slow", slow(&log));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = orchestrator.spawn(config("a", "slow").with_max_retries(0)).await.unwrap();
    send(&orchestrator, a, "x").await;
    for _ in 0..5 {
        let cut = tokio::time::timeout(ms(1_000), orchestrator.start()).await;
        assert!(cut.is_err());
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(events.attempts(a), [1; 6]);
    assert_eq!(log.lines(), ["x"]);
    assert_eq!(orchestrator.metrics().await.error_count, 0);
}

/// At whichever of its awaits `start` is dropped, nothing is lost and the next one resumes.
#[tokio::test(start_paused = true)]
async fn a_dropped_start_loses_nothing_and_the_next_resumes() {
    for n_polls in 0..12 {
        let log = Log::default();
        let orchestrator = orchestrator().with_connector("log", log.after(ms(10)));
        let a = spawn(&orchestrator, "a", "log").await;
        for i in 0..3 {
            send(&orchestrator, a, &i.to_string()).await;
        }
        {
            let mut start = pin!(orchestrator.start());
            for _ in 0..n_polls {
                assert!(poll_once(start.as_mut()).await.is_pending());
                tokio::task::yield_now().await;
                if n_polls > 6 {
                    tokio::time::sleep(ms(2)).await;
                }
            }
        }
        assert_eq!(run(&orchestrator).await, StopReason::Completed, "after {n_polls} polls");
        let mut lines = log.lines();
        lines.dedup();
        assert_eq!(lines, ["0", "1", "2"], "after {n_polls} polls");
        assert_eq!(orchestrator.metrics().await.total_messages, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_a_run_stops_nothing() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(orchestrator.stop().await, None);
    let start = orchestrator.start();
    assert_eq!(orchestrator.stop().await, None, "it has not begun before its first poll");
    assert_eq!(start.await.unwrap(), StopReason::Completed);
    assert_eq!(orchestrator.stop_now().await, None);
    assert!(!orchestrator.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_future_is_dropped_goes_on() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("slow", slow(&log));
    let a = spawn(&orchestrator, "a", "slow").await;
    send(&orchestrator, a, "x").await;
    let stop = async {
        tokio::time::sleep(ms(1)).await;
        assert!(poll_once(pin!(orchestrator.stop())).await.is_pending());
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_stop_its_own_run() {
    let orchestrator = Arc::new(std::sync::OnceLock::<std::sync::Weak<Orchestrator>>::new());
    let known = orchestrator.clone();
    let stops = function(move |_: Context| {
        let orchestrator = known.get().unwrap().upgrade().unwrap();
        async move {
            orchestrator.stop().await;
        }
    });
    let strong = Arc::new(crate::support::orchestrator().with_connector("stop", stops));
    orchestrator.set(Arc::downgrade(&strong)).unwrap();
    let a = spawn(&strong, "a", "stop").await;
    send(&strong, a, "x").await;
    assert_eq!(run(&strong).await, StopReason::ManualStop);
    assert_eq!(queue_depth(&strong).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_hears_that_the_run_stops() {
    let log = Log::default();
    let said = log.clone();
    let listens = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            log.push(format!("stopping: {}", ctx.is_stopping()));
            ctx.stopping().await;
            log.push(format!("stopping: {}", ctx.is_stopping()));
        }
    });
    let orchestrator = orchestrator().with_connector("listen", listens);
    let a = spawn(&orchestrator, "a", "listen").await;
    send(&orchestrator, a, "x").await;
    let stop = async {
        tokio::time::sleep(ms(1_000)).await;
        orchestrator.stop().await
    };
    let started = tokio::time::Instant::now();
    let (reason, _) = tokio::join!(run(&orchestrator), stop);
    assert_eq!((reason, started.elapsed()), (StopReason::ManualStop, ms(1_000)));
    assert_eq!(log.lines(), ["stopping: false", "stopping: true"]);
    assert_eq!(queue_depth(&orchestrator).await, 0);
}

/// Seen: `stop` had returned, and `start` said that a run was under way, because whoever waited for
/// the former one's answer had not been polled yet.
#[tokio::test(start_paused = true)]
async fn a_start_right_after_a_stop_is_not_too_early() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let mut served = pin!(orchestrator.serve());
    assert!(poll_once(served.as_mut()).await.is_pending());
    orchestrator.stop().await.unwrap();
    send(&orchestrator, a, "x").await;
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(served.await.unwrap(), StopReason::ManualStop);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_serves_waits_for_messages() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let later = async {
        for n in 0..3 {
            tokio::time::sleep(ms(1_000)).await;
            send(&orchestrator, a, &n.to_string()).await;
        }
        tokio::time::sleep(ms(1_000)).await;
        assert!(orchestrator.is_running());
        orchestrator.stop().await.unwrap();
    };
    let (reason, ()) = tokio::join!(orchestrator.serve(), later);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(log.lines(), ["0", "1", "2"]);
}

/// How a handler ends, by the number of lines in its log.
type End = fn(usize) -> Outcome;

/// A connector whose handler blocks its thread, without a yield, until the gate opens; then it ends
/// as it is told.
fn stubborn(entered: &Gate, gate: &Gate, log: &Log, end: End) -> impl Connector {
    let (entered, gate, log) = (entered.clone(), gate.clone(), log.clone());
    function(move |ctx: Context| {
        let (entered, gate, log) = (entered.clone(), gate.clone(), log.clone());
        async move {
            if ctx.content() == "block" {
                entered.open();
                gate.pass();
                let end = end(log.lines().len());
                log.push(format!("unblocked {}", ctx.attempt()));
                return end;
            }
            log.push(ctx.content().as_str());
            Outcome::done()
        }
    })
}

/// Starts a run whose only agent blocks, stops it, and checks what is answered meanwhile.
async fn stop_a_stubborn_one(end: End) -> (Orchestrator, AgentId, Log) {
    let (entered, gate, log) = (Gate::default(), Gate::default(), Log::default());
    let orchestrator = orchestrator()
        .with_stop_limits(StopLimits::new(ms(20), ms(20)))
        .with_connector("stubborn", stubborn(&entered, &gate, &log, end));
    let a = spawn(&orchestrator, "a", "stubborn").await;
    send(&orchestrator, a, "block").await;
    send(&orchestrator, a, "after").await;
    let stop = async {
        tokio::task::spawn_blocking(move || entered.pass()).await.unwrap();
        orchestrator.stop().await.unwrap()
    };
    let (reason, report) = tokio::join!(orchestrator.start(), stop);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(report.still_running, [a], "it is named");
    assert_eq!(queue_depth(&orchestrator).await, 1, "it keeps its message");
    match orchestrator.start().await {
        Err(StartError::StillRunning { agents }) => assert_eq!(agents, [a]),
        other => panic!("{other:?}"),
    }
    gate.open();
    let returned = log.clone();
    eventually("the handler returns", || !returned.lines().is_empty()).await;
    (orchestrator, a, log)
}

/// The next start, as soon as the former handler has returned.
async fn start_when_it_can(orchestrator: &Orchestrator) -> StopReason {
    let started = async {
        loop {
            match orchestrator.start().await {
                Err(StartError::StillRunning { .. }) => {}
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(LIMIT, started).await.expect("it can start")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_yields_keeps_its_message_until_it_returns() {
    let (orchestrator, a, log) = stop_a_stubborn_one(|_| Outcome::done()).await;
    assert_eq!(start_when_it_can(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["unblocked 1", "after"], "what it has handled is handled");
    assert_eq!(orchestrator.metrics().await.total_messages, 2);
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
}

/// Seen: the message of a handler that returned after its run had ended, with a failure that may be
/// tried again, waited for that attempt in the run that was over: it was in no mailbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_after_the_end_of_its_run_puts_the_message_back() {
    let end = |n| match n {
        0 | 1 => Failure::transient("too late").into(),
        _ => Outcome::done(),
    };
    let (orchestrator, a, log) = stop_a_stubborn_one(end).await;
    let bus = orchestrator.bus().clone();
    eventually("the message is back", || bus.mailbox(a).unwrap().len() == 2).await;
    assert_eq!(start_when_it_can(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["unblocked 1", "unblocked 2", "unblocked 3", "after"]);
}

/// Seen: the tokio runtime was dropped in the middle of a run. The run never ended, so no other
/// could begin.
#[test]
fn a_tokio_runtime_that_is_dropped_in_the_middle_of_a_run_loses_nothing() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(1)));
    let new_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let runtime = new_runtime();
    let a = runtime.block_on(async {
        let a = spawn(&orchestrator, "a", "log").await;
        for n in 0..3 {
            send(&orchestrator, a, &n.to_string()).await;
        }
        let mut start = pin!(orchestrator.start());
        // One message is in flight.
        while orchestrator.metrics().await.in_flight == 0 {
            assert!(poll_once(start.as_mut()).await.is_pending());
            tokio::task::yield_now().await;
        }
        a
    });
    drop(runtime);
    assert!(!orchestrator.is_running());
    new_runtime().block_on(async {
        assert_eq!(queue_depth(&orchestrator).await, 3);
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(log.lines(), ["0", "1", "2"]);
        assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
    });
}

/// Sessions are closed when the run ends, also those of handlers that were cut off.
#[tokio::test(start_paused = true)]
async fn every_session_is_closed_at_the_end() {
    struct Counted(Log);
    struct CountedSession(Log);
    impl Connector for Counted {
        type Session = CountedSession;
        fn check(&self, _: &AgentConfig) -> Result<(), ConnectError> {
            Ok(())
        }
        async fn open(&self, spec: SessionSpec) -> Result<CountedSession, ConnectError> {
            self.0.push(format!("open {}", spec.config.name));
            Ok(CountedSession(self.0.clone()))
        }
    }
    impl Session for CountedSession {
        async fn turn(&mut self, context: Context) -> Outcome {
            if context.content() == "hang" {
                std::future::pending::<()>().await;
            }
            Outcome::done()
        }
        async fn close(self) {
            tokio::time::sleep(ms(1)).await;
            self.0.push("closed");
        }
    }
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("counted", Counted(log.clone()));
    let a = spawn(&orchestrator, "a", "counted").await;
    let b = spawn(&orchestrator, "b", "counted").await;
    for _ in 0..3 {
        orchestrator.send(outside(a, "x")).await.unwrap();
    }
    orchestrator.send(outside(b, "hang")).await.unwrap();
    let stop = async {
        tokio::time::sleep(ms(1)).await;
        orchestrator.stop_now().await.unwrap()
    };
    let (reason, _) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["closed", "closed", "open a", "open b"]);
}
