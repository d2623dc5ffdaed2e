//! What a run that has ended leaves behind, and who finds it.

use std::sync::Arc;

use orch_runtime::*;

use crate::support::{
    Gate, LIMIT, Log, eventually, ms, orchestrator, queue_depth, run, send, spawn,
};

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

/// Ends a run while the handler of its first message blocks its thread; then opens `gate`.
async fn end_before_it_returns(orchestrator: &Orchestrator, entered: Gate, gate: &Gate) {
    let stop = async {
        tokio::task::spawn_blocking(move || entered.pass()).await.unwrap();
        orchestrator.stop().await.unwrap()
    };
    let (reason, report) = tokio::join!(orchestrator.start(), stop);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(report.still_running.len(), 1);
    gate.open();
}

/// Seen: a handler that outlived its run was still polled in place, so what it put back was announced
/// at the desk of its worker, who went home without a look at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_puts_back_after_the_end_of_its_run_is_found_by_the_next() {
    let (entered, gate, log) = (Gate::default(), Gate::default(), Log::default());
    let (enters, passes, returns) = (entered.clone(), gate.clone(), log.clone());
    let orchestrator =
        orchestrator().with_stop_limits(StopLimits::new(ms(20), ms(20))).with_connector(
            "stubborn",
            function(move |_: Context| {
                let (entered, gate, log) = (enters.clone(), passes.clone(), returns.clone());
                async move {
                    entered.open();
                    gate.pass();
                    log.push("returned");
                    match log.lines().len() {
                        1 => Failure::transient("too late").into(),
                        _ => Outcome::done(),
                    }
                }
            }),
        );
    let a = spawn(&orchestrator, "a", "stubborn").await;
    send(&orchestrator, a, "x").await;
    end_before_it_returns(&orchestrator, entered, &gate).await;
    eventually("the handler returns", || !log.lines().is_empty()).await;
    assert_eq!(start_when_it_can(&orchestrator).await, StopReason::Completed);
    assert_eq!(queue_depth(&orchestrator).await, 0);
    assert_eq!(log.lines().len(), 2);
}

/// As above, with a message that the handler sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_sends_after_the_end_of_its_run_is_found_by_the_next() {
    let (entered, gate, log) = (Gate::default(), Gate::default(), Log::default());
    let (enters, passes) = (entered.clone(), gate.clone());
    let orchestrator = orchestrator()
        .with_stop_limits(StopLimits::new(ms(20), ms(20)))
        .with_connector("log", log.connector())
        .with_connector(
            "stubborn",
            function(move |ctx: Context| {
                let (entered, gate) = (enters.clone(), passes.clone());
                async move {
                    entered.open();
                    gate.pass();
                    ctx.send(ctx.find("b").unwrap(), "late").await.map(drop)
                }
            }),
        );
    let a = spawn(&orchestrator, "a", "stubborn").await;
    let b = spawn(&orchestrator, "b", "log").await;
    send(&orchestrator, a, "x").await;
    end_before_it_returns(&orchestrator, entered, &gate).await;
    let bus = orchestrator.bus().clone();
    eventually("the message is there", || bus.mailbox(b).unwrap().len() == 1).await;
    assert_eq!(start_when_it_can(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["late"]);
}

/// Seen: a tokio runtime that was dropped right after a `start` had been polled once dropped the
/// run's driver before its first poll, so nothing put the run away, and no other could begin.
#[test]
fn a_run_whose_driver_was_never_polled_is_put_away() {
    let log = Log::default();
    let orchestrator = Arc::new(orchestrator().with_connector("log", log.connector()));
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    runtime().block_on(async {
        let a = spawn(&orchestrator, "a", "log").await;
        send(&orchestrator, a, "x").await;
        tokio::select! {
            biased; // Polled once.
            _ = orchestrator.start() => panic!("nothing was handled yet"),
            () = std::future::ready(()) => {}
        }
    });
    assert!(!orchestrator.is_running());
    runtime().block_on(async {
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
    });
    assert_eq!(log.lines(), ["x"]);
}

/// Seen: the announcement of a mailbox that was removed and made anew in the middle of a run was taken
/// for that of the former one, and no later run heard of it.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_was_made_anew_is_found_by_the_next_run() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "to the first").await;
    let meanwhile = async {
        tokio::time::sleep(ms(10)).await;
        assert!(orchestrator.bus().remove_mailbox(a).is_empty());
        orchestrator.bus().create_mailbox(a).await;
        send(&orchestrator, a, "to the second").await;
        tokio::time::sleep(ms(10)).await;
        orchestrator.stop().await.unwrap();
    };
    let (reason, ()) = tokio::join!(orchestrator.serve(), meanwhile);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["to the first", "to the second"]);
}
