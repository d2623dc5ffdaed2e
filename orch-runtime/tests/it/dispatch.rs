//! Hand-outs: who, when, how many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orch_runtime::*;

use crate::support::{Events, Log, config, ms, orchestrator, outside, run, send, spawn, status};

/// Counts how many of its handlers run at once.
#[derive(Clone, Default)]
struct Meter {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Meter {
    fn connector(&self) -> impl Connector {
        let meter = self.clone();
        function(move |_: Context| {
            let meter = meter.clone();
            async move {
                let now = meter.now.fetch_add(1, Ordering::SeqCst) + 1;
                meter.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(ms(10)).await;
                meter.now.fetch_sub(1, Ordering::SeqCst);
            }
        })
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_handles_one_message_at_a_time() {
    let meter = Meter::default();
    let orchestrator = orchestrator().with_connector("meter", meter.connector());
    let a = spawn(&orchestrator, "a", "meter").await;
    for _ in 0..5 {
        send(&orchestrator, a, "x").await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(meter.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_handles_as_many_messages_at_a_time_as_its_concurrency_says() {
    let meter = Meter::default();
    let orchestrator = orchestrator().with_connector("meter", meter.connector());
    let a = orchestrator.spawn(config("a", "meter").with_concurrency(3)).await.unwrap();
    for _ in 0..7 {
        send(&orchestrator, a, "x").await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(meter.most(), 3);
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_than_max_concurrency_allows() {
    for (limit, expected) in [(0, 1), (1, 1), (4, 4), (64, 9)] {
        let meter = Meter::default();
        let orchestrator =
            orchestrator().with_max_concurrency(limit).with_connector("meter", meter.connector());
        for name in 0..9 {
            let agent = spawn(&orchestrator, &format!("agent {name}"), "meter").await;
            send(&orchestrator, agent, "x").await;
        }
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(meter.most(), expected, "limit {limit}");
    }
}

/// SPEC: Message routing and priority
#[tokio::test(start_paused = true)]
async fn a_slot_that_frees_goes_to_the_most_urgent() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_max_concurrency(1).with_connector("log", log.after(ms(10)));
    use MessagePriority::{Critical, High, Low, Normal};
    for (name, priority) in [("a", Low), ("b", High), ("c", Normal), ("d", Critical), ("e", High)] {
        let agent = spawn(&orchestrator, name, "log").await;
        let message = outside(agent, &format!("{priority} to {name}")).with_priority(priority);
        orchestrator.send(message).await.unwrap();
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let expected = ["Critical to d", "High to b", "High to e", "Normal to c", "Low to a"];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_agent_go_by_priority_and_then_in_the_order_of_sending() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    for n in 0..3 {
        for priority in MessagePriority::MOST_URGENT_FIRST.into_iter().rev() {
            let message = outside(a, &format!("{priority} {n}")).with_priority(priority);
            orchestrator.send(message).await.unwrap();
        }
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let expected =
        MessagePriority::MOST_URGENT_FIRST.map(|p| [0, 1, 2].map(|n| format!("{p} {n}")));
    assert_eq!(log.lines(), expected.concat());
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_many_messages_yields_to_a_more_urgent_one_between_two() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_max_concurrency(1).with_connector("log", log.after(ms(10)));
    let busy = spawn(&orchestrator, "busy", "log").await;
    let urgent = spawn(&orchestrator, "urgent", "log").await;
    for n in 0..4 {
        send(&orchestrator, busy, &n.to_string()).await;
    }
    let late = async {
        tokio::time::sleep(ms(15)).await;
        let message = outside(urgent, "now").with_priority(MessagePriority::High);
        orchestrator.send(message).await.unwrap();
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), late);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(log.lines(), ["0", "1", "now", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_waits_delays_no_other() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("slow", log.after(ms(60_000)))
        .with_connector("fast", log.connector());
    let slow = spawn(&orchestrator, "slow", "slow").await;
    let fast = spawn(&orchestrator, "fast", "fast").await;
    send(&orchestrator, slow, "slow").await;
    for _ in 0..3 {
        send(&orchestrator, fast, "fast").await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["fast", "fast", "fast", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_returns_after_a_plain_send_is_kept_in_the_event_and_sent_to_nobody() {
    let shout = function(|ctx: Context| async move { ctx.content().to_uppercase() });
    let (orchestrator, events) = Events::watch(orchestrator().with_connector("shout", shout));
    let a = spawn(&orchestrator, "a", "shout").await;
    let b = spawn(&orchestrator, "b", "shout").await;
    orchestrator.send(AgentMessage::new(b, a, "hello")).await.unwrap();
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let outputs = events.all(|kind| match kind {
        EventKind::Settled { output, .. } => output.clone(),
        _ => None,
    });
    assert_eq!(outputs, ["HELLO"]);
    assert_eq!(orchestrator.metrics().await.messages_per_agent, [(a, 1)].into());
}

/// SPEC: Agent registration and lifecycle
#[tokio::test(start_paused = true)]
async fn an_agent_goes_from_idle_over_processing_back_to_idle() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(1)));
    let (orchestrator, events) = Events::watch(orchestrator);
    let registry = orchestrator.registry().clone();
    let a = registry.register(config("a", "log")).await;
    orchestrator.bus().create_mailbox(a).await;
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(events.statuses(a), [AgentStatus::Processing, AgentStatus::Idle]);

    let left = registry.unregister(a).await.unwrap();
    assert_eq!((left.id, left.status), (a, AgentStatus::Idle));
    assert!(registry.get(a).await.is_none() && registry.is_empty());
    let told = events.all(|kind| match kind {
        EventKind::Registered { agent, .. } => Some((*agent, true)),
        EventKind::Unregistered { agent } => Some((*agent, false)),
        _ => None,
    });
    assert_eq!(told, [(a, true), (a, false)]);
}

#[tokio::test]
async fn blocking_code_runs_elsewhere_and_delays_nobody() {
    // On one thread: the blocking handler goes on only when the other agent has been heard.
    let gate = crate::support::Gate::default();
    let (waits, opens) = (gate.clone(), gate);
    let orchestrator = orchestrator()
        .with_connector("block", blocking_function(move |_: Context| waits.pass()))
        .with_connector(
            "open",
            function(move |_: Context| {
                opens.open();
                async {}
            }),
        );
    let blocking = spawn(&orchestrator, "blocking", "block").await;
    let opening = spawn(&orchestrator, "opening", "open").await;
    send(&orchestrator, blocking, "x").await;
    send(&orchestrator, opening, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_among_many_agents_on_two_threads_are_handled_once_each() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let orchestrator = orchestrator().with_loop_guard(LoopGuard::unlimited()).with_connector(
        "pass on",
        function(move |ctx: Context| {
            let count = counted.clone();
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let (hops, next): (u32, usize) = {
                    let (hops, next) = ctx.content().split_once(' ').unwrap();
                    (hops.parse().unwrap(), next.parse().unwrap())
                };
                if hops % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                if hops > 0 {
                    let to = ctx.find(&format!("agent {next}")).unwrap();
                    let text = format!("{} {}", hops - 1, (next * 7 + 1) % 20);
                    ctx.send(to, text).await?;
                }
                Ok::<_, HostError>(())
            }
        }),
    );
    let mut agents = Vec::new();
    for n in 0..20 {
        agents.push(spawn(&orchestrator, &format!("agent {n}"), "pass on").await);
    }
    for round in 0..5 {
        for (n, agent) in agents.iter().enumerate() {
            send(&orchestrator, *agent, &format!("{} {n}", 20 + round)).await;
        }
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(crate::support::queue_depth(&orchestrator).await, 0);
    }
    let expected = (0..5).map(|round| 20 * (20 + round + 1)).sum::<usize>();
    assert_eq!(count.load(Ordering::SeqCst), expected);
    assert_eq!(orchestrator.metrics().await.total_messages as usize, expected);
}
