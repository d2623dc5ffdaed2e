//! Hand-outs: who, when, how many at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_runtime::*;

/// An orchestrator over a fresh registry and bus.
fn orchestrator() -> Orchestrator {
    Orchestrator::new(Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()))
}

fn config(name: &str, connector: &str) -> AgentConfig {
    AgentConfig::new(name.to_owned(), AgentRole::Worker, connector.to_owned())
}

fn outside(to: AgentId, content: &str) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, content)
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_frees_goes_to_the_most_urgent() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let orchestrator = orchestrator().with_max_concurrency(1).with_connector(
        "log",
        function(move |ctx: Context| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                log.lock().unwrap().push(ctx.content().to_string());
            }
        }),
    );
    let mut agents = Vec::new();
    for name in ["a", "b", "c", "d"] {
        agents.push(orchestrator.spawn(config(name, "log")).await.unwrap());
    }
    use MessagePriority::{Critical, High, Low, Normal};
    for (agent, priority) in agents.iter().zip([Low, High, Normal, Critical]) {
        let text = format!("{priority}");
        orchestrator.send(outside(*agent, &text).with_priority(priority)).await.unwrap();
    }
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(*seen.lock().unwrap(), ["Critical", "High", "Normal", "Low"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_frees_the_slot_of_the_one_who_asks() {
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("answer", function(|ctx: Context| async move { ctx.content().to_uppercase() }))
        .with_connector(
            "ask",
            function(|ctx: Context| async move {
                let other = ctx.find("b").expect("spawned below");
                let answer = ctx.ask(other, "hello", Duration::from_secs(5)).await?;
                ctx.say(&answer);
                Ok::<_, HostError>(answer)
            }),
        );
    let a = orchestrator.spawn(config("a", "ask")).await.unwrap();
    orchestrator.spawn(config("b", "answer")).await.unwrap();
    orchestrator.send(outside(a, "go")).await.unwrap();
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(orchestrator.metrics().await.total_messages, 2);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_four_times_and_then_is_a_dead_letter() {
    let orchestrator = orchestrator().with_connector(
        "fail",
        function(|_: Context| async { Err::<(), _>(Failure::transient("busy")) }),
    );
    let a = orchestrator.spawn(config("a", "fail")).await.unwrap();
    orchestrator.send(outside(a, "go")).await.unwrap();
    let reason = orchestrator.start().await.unwrap();
    assert_eq!(reason, StopReason::AgentError { agent_id: a, error: "busy".into() });
    let letters = orchestrator.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].attempts.len(), 4);
    assert_eq!(orchestrator.metrics().await.retry_count, 3);
}

#[tokio::test(start_paused = true)]
async fn ten_messages_and_five_iterations_are_five_and_five() {
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard { max_iterations: 5, ..LoopGuard::default() })
        .with_connector("ok", function(|_: Context| async {}));
    let a = orchestrator.spawn(config("a", "ok")).await.unwrap();
    for i in 0..10 {
        orchestrator.send(outside(a, &i.to_string())).await.unwrap();
    }
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::MaxIterations);
    assert_eq!(orchestrator.metrics().await.queue_depth, 5);
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(orchestrator.metrics().await.total_messages, 10);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_start_loses_nothing_and_the_next_resumes() {
    let orchestrator = orchestrator().with_connector(
        "slow",
        function(|_: Context| async { tokio::time::sleep(Duration::from_secs(60)).await }),
    );
    let a = orchestrator.spawn(config("a", "slow")).await.unwrap();
    for i in 0..3 {
        orchestrator.send(outside(a, &i.to_string())).await.unwrap();
    }
    let cut = tokio::time::timeout(Duration::from_secs(1), orchestrator.start()).await;
    assert!(cut.is_err());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(orchestrator.metrics().await.total_messages, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stop_puts_back_what_does_not_end_within_the_grace() {
    let orchestrator = Arc::new(orchestrator().with_connector(
        "slow",
        function(|_: Context| async { tokio::time::sleep(Duration::from_secs(60)).await }),
    ));
    let a = orchestrator.spawn(config("a", "slow")).await.unwrap();
    orchestrator.send(outside(a, "x")).await.unwrap();
    let stopper = orchestrator.clone();
    let (reason, report) = tokio::join!(orchestrator.start(), async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stopper.stop().await.unwrap()
    });
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    assert_eq!(report.still_running, []);
    assert_eq!(orchestrator.metrics().await.queue_depth, 1);
    assert_eq!(orchestrator.metrics().await.total_messages, 0);
}
