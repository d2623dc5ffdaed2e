//! The three guards, and rounds.

use orch_runtime::*;

use crate::support::{
    Events, Log, config, ms, orchestrator, outside, queue_depth, run, send, spawn,
};

fn guard(max_iterations: u32, max_messages_per_agent: u32) -> LoopGuard {
    LoopGuard { max_iterations, max_messages_per_agent, max_execution_time_ms: 600_000 }
}

/// Which guards tripped, with their figures.
fn trips(events: &Events) -> Vec<(String, u64, u64, Option<AgentId>)> {
    events.all(|kind| match kind {
        EventKind::GuardTripped { guard, figure, limit, agent } => {
            Some((guard.clone(), *figure, *limit, *agent))
        }
        _ => None,
    })
}

/// SPEC: Loop guard enforcement
/// SPEC: Max Iterations: Total dispatch loop cycles
#[tokio::test(start_paused = true)]
async fn ten_messages_and_five_iterations_are_five_and_five() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(guard(5, 50)).with_connector("log", log.connector());
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "log").await;
    for i in 0..10 {
        send(&orchestrator, a, &i.to_string()).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::MaxIterations);
    assert_eq!(queue_depth(&orchestrator).await, 5);
    assert_eq!(orchestrator.metrics().await.total_iterations, 5);
    assert_eq!(trips(&events), [("max_iterations".to_owned(), 6, 5, None)]);
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(orchestrator.metrics().await.total_messages, 10);
    let expected: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    assert_eq!(log.lines(), expected, "what was left keeps its order");
}

/// A backlog is put back from its end, or each message would look for its place among all the
/// others: 65,000 of them took minutes.
#[tokio::test(start_paused = true)]
async fn a_long_backlog_above_the_limit_goes_back_in_order() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(guard(1, 50)).with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    for i in 0..65_000 {
        send(&orchestrator, a, &i.to_string()).await;
    }
    for n in 1..=2 {
        assert_eq!(run(&orchestrator).await, StopReason::MaxIterations);
        assert_eq!(queue_depth(&orchestrator).await, 65_000 - n);
    }
    assert_eq!(log.lines(), ["0", "1"]);
}

/// SPEC: Prevent runaway execution:
#[tokio::test(start_paused = true)]
async fn two_agents_that_answer_each_other_for_ever_stop_after_max_iterations_hops() {
    let orchestrator = orchestrator().with_loop_guard(guard(7, 50)).with_connector(
        "ping",
        function(|ctx: Context| async move {
            let other = if ctx.agent() == ctx.find("a").unwrap() { "b" } else { "a" };
            ctx.send(ctx.find(other).unwrap(), "your turn").await.map(|_| ())
        }),
    );
    let a = spawn(&orchestrator, "a", "ping").await;
    spawn(&orchestrator, "b", "ping").await;
    send(&orchestrator, a, "go").await;
    for n in 1..=2 {
        assert_eq!(run(&orchestrator).await, StopReason::MaxIterations);
        let metrics = orchestrator.metrics().await;
        assert_eq!((metrics.total_messages, metrics.total_iterations), (7 * n, 7));
        assert_eq!(metrics.queue_depth, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_through_many_agents_counts_a_round_a_hop() {
    let orchestrator = orchestrator().with_connector(
        "next",
        function(|ctx: Context| async move {
            let n: u32 = ctx.content().parse().unwrap();
            if let Some(next) = ctx.find(&format!("agent {n}")) {
                ctx.send(next, (n + 1).to_string()).await?;
            }
            Ok::<_, HostError>(())
        }),
    );
    let (orchestrator, events) = Events::watch(orchestrator);
    let mut agents = Vec::new();
    for n in 0..4 {
        agents.push(spawn(&orchestrator, &format!("agent {n}"), "next").await);
    }
    send(&orchestrator, agents[0], "1").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let rounds = events.all(|kind| match kind {
        EventKind::Started { agent, round, .. } => Some((*agent, *round)),
        _ => None,
    });
    let expected: Vec<(AgentId, u64)> = agents.iter().copied().zip(1..).collect();
    assert_eq!(rounds, expected);
}

/// Only the chain that is too long stops; what is below the limit is still handled.
#[tokio::test(start_paused = true)]
async fn others_go_on_below_the_limit_of_iterations() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(guard(2, 50)).with_connector("log", log.after(ms(1)));
    let a = spawn(&orchestrator, "a", "log").await;
    for i in 0..3 {
        send(&orchestrator, a, &format!("a{i}")).await;
    }
    for name in ["b", "c"] {
        let agent = spawn(&orchestrator, name, "log").await;
        send(&orchestrator, agent, name).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::MaxIterations);
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["a0", "a1", "b", "c"]);
}

/// SPEC: Max Messages Per Agent: Prevent single agent monopoly
#[tokio::test(start_paused = true)]
async fn an_agent_handles_exactly_as_many_messages_as_its_limit() {
    for (n, limit) in [(3, 3), (4, 3), (1, 0)] {
        let log = Log::default();
        let orchestrator = orchestrator()
            .with_loop_guard(guard(100, limit))
            .with_connector("log", log.connector());
        let (orchestrator, events) = Events::watch(orchestrator);
        let a = spawn(&orchestrator, "a", "log").await;
        for i in 0..n {
            send(&orchestrator, a, &i.to_string()).await;
        }
        let reason = run(&orchestrator).await;
        if n <= limit {
            assert_eq!(reason, StopReason::Completed);
            assert_eq!(trips(&events), []);
            continue;
        }
        assert_eq!(reason, StopReason::MaxMessagesPerAgent { agent_id: a, count: limit });
        assert_eq!(log.lines().len(), limit as usize);
        assert_eq!(queue_depth(&orchestrator).await, 1);
        let figures = (u64::from(limit) + 1, u64::from(limit));
        let name = "max_messages_per_agent".to_owned();
        assert_eq!(trips(&events), [(name, figures.0, figures.1, Some(a))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_not_another_message() {
    let orchestrator = orchestrator()
        .with_loop_guard(guard(2, 2))
        .with_connector("flaky", Scripted::new().fail("1").fail("2").done().fail("3").done());
    let a = spawn(&orchestrator, "a", "flaky").await;
    send(&orchestrator, a, "first").await;
    send(&orchestrator, a, "second").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let metrics = orchestrator.metrics().await;
    assert_eq!((metrics.total_messages, metrics.retry_count), (2, 3));
    assert_eq!(metrics.total_iterations, 2);
}

/// SPEC: Max Execution Time: Overall timeout
#[tokio::test(start_paused = true)]
async fn the_time_guard_cuts_handlers_off_and_puts_their_messages_back() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard { max_execution_time_ms: 1_000, ..LoopGuard::default() })
        .with_connector("log", log.after(ms(400)));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "log").await;
    for i in 0..4 {
        send(&orchestrator, a, &i.to_string()).await;
    }
    let started = tokio::time::Instant::now();
    assert_eq!(run(&orchestrator).await, StopReason::MaxExecutionTime);
    assert_eq!(started.elapsed(), ms(1_000));
    assert_eq!(log.lines(), ["0", "1"]);
    assert_eq!(queue_depth(&orchestrator).await, 2);
    let name = "max_execution_time_ms".to_owned();
    assert_eq!(trips(&events), [(name, 1_000, 1_000, None)]);
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn guards_count_from_each_start_and_metrics_as_long_as_the_orchestrator() {
    let orchestrator = orchestrator()
        .with_loop_guard(guard(2, 2))
        .with_connector("ok", function(|_: Context| async {}));
    let a = spawn(&orchestrator, "a", "ok").await;
    for n in 1..=3 {
        send(&orchestrator, a, "x").await;
        send(&orchestrator, a, "y").await;
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(orchestrator.metrics().await.total_messages, 2 * n);
    }
    orchestrator.reset_metrics();
    assert_eq!(orchestrator.metrics().await, OrchestratorMetrics::default());
}

#[tokio::test(start_paused = true)]
async fn the_round_is_seen_while_the_run_is_under_way() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(10)));
    let a = spawn(&orchestrator, "a", "log").await;
    for i in 0..3 {
        send(&orchestrator, a, &i.to_string()).await;
    }
    let look = async {
        tokio::time::sleep(ms(15)).await;
        orchestrator.metrics().await
    };
    let (reason, seen) = tokio::join!(run(&orchestrator), look);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!((seen.total_iterations, seen.in_flight, seen.total_messages), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_an_explicit_choice() {
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard::unlimited())
        .with_connector("ok", function(|_: Context| async {}));
    let a = spawn(&orchestrator, "a", "ok").await;
    for _ in 0..1_000 {
        send(&orchestrator, a, "x").await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(orchestrator.metrics().await.total_iterations, 1_000);
}

/// Seen: a run that serves went silent when an agent had come to the limit of iterations: it neither
/// handed anything out nor ended.
#[tokio::test(start_paused = true)]
async fn a_run_that_serves_ends_when_what_is_left_is_above_the_limit() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(guard(3, 50)).with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let feed = async {
        for i in 0..5 {
            tokio::time::sleep(ms(10)).await;
            if orchestrator.is_running() {
                send(&orchestrator, a, &i.to_string()).await;
            }
        }
    };
    let served = tokio::time::timeout(ms(60_000), orchestrator.serve());
    let (reason, ()) = tokio::join!(served, feed);
    assert_eq!(reason.expect("it ends").unwrap(), StopReason::MaxIterations);
    assert_eq!(log.lines(), ["0", "1", "2"]);
}

/// What an agent has left that is gone keeps no run from being complete.
#[tokio::test(start_paused = true)]
async fn the_limit_of_iterations_is_not_that_of_an_agent_that_is_gone() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(guard(1, 50)).with_connector("log", log.after(ms(50)));
    let a = spawn(&orchestrator, "a", "log").await;
    let b = orchestrator.spawn(config("b", "log")).await.unwrap();
    for agent in [a, b, b] {
        orchestrator.send(outside(agent, "x")).await.unwrap();
    }
    let later = async {
        tokio::time::sleep(ms(20)).await;
        orchestrator.registry().unregister(b).await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(queue_depth(&orchestrator).await, 1, "its mailbox stays");
}
