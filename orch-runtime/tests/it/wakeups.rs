//! Who is woken, and who is next: nothing that is ready waits while a slot and a worker are free.

use orch_runtime::*;

use crate::support::{Log, orchestrator, run, send, spawn};

/// Equals go in the order in which they became ready: an agent that has handled a message becomes
/// ready again after those that became so meanwhile.
///
/// Seen: an agent that had more to do was queued before those that were announced before.
#[tokio::test(start_paused = true)]
async fn an_agent_with_more_to_do_goes_behind_those_that_became_ready_meanwhile() {
    let log = Log::default();
    let heard = log.clone();
    let orchestrator = orchestrator().with_max_concurrency(1).with_connector(
        "log",
        function(move |ctx: Context| {
            let log = heard.clone();
            async move {
                log.push(ctx.content().as_str());
                if ctx.content() == "a1" {
                    ctx.send(ctx.find("b").unwrap(), "b1").await.unwrap();
                }
            }
        }),
    );
    let a = spawn(&orchestrator, "a", "log").await;
    spawn(&orchestrator, "b", "log").await;
    send(&orchestrator, a, "a1").await;
    send(&orchestrator, a, "a2").await;
    send(&orchestrator, a, "a3").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["a1", "b1", "a2", "a3"]);
}

/// What one handler sends to many is handled by all threads, although each handler is polled in place.
///
/// Seen: a worker that was woken by another stood in the place of that one's thread from which tokio
/// lets nobody steal, and was not polled before the other had done its 128 activations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_handler_sends_to_many_is_handled_by_all_threads() {
    let threads = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashMap::new()));
    let noted = threads.clone();
    let orchestrator = orchestrator()
        .with_connector(
            "source",
            function(|ctx: Context| async move {
                ctx.broadcast("work").await;
            }),
        )
        .with_connector(
            "works",
            function(move |_: Context| {
                std::thread::sleep(crate::support::ms(10));
                *noted.lock().unwrap().entry(std::thread::current().id()).or_insert(0) += 1;
                async {}
            }),
        );
    let source = spawn(&orchestrator, "source", "source").await;
    for n in 0..40 {
        spawn(&orchestrator, &n.to_string(), "works").await;
    }
    let orchestrator = std::sync::Arc::new(orchestrator);
    let served = orchestrator.clone();
    let mut serves = tokio::task::JoinSet::new();
    serves.spawn(async move { served.serve().await });
    tokio::time::sleep(crate::support::ms(50)).await;
    send(&orchestrator, source, "go").await;
    let done = || threads.lock().unwrap().values().sum::<u32>() == 40;
    crate::support::eventually("all is done", done).await;
    orchestrator.stop().await;
    serves.join_next().await.unwrap().unwrap().unwrap();
    let threads = threads.lock().unwrap();
    assert_eq!(threads.len(), 2, "{threads:?}");
}
