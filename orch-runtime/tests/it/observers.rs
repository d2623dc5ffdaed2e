//! Observers that panic: it costs an agent at most, and never the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orch_runtime::*;

use crate::support::{Log, config, orchestrator, queue_depth, run, send, spawn};

/// Panics at the first event that it is to panic at.
struct Panics(fn(&EventKind) -> bool, AtomicBool);

impl Panics {
    fn at(which: fn(&EventKind) -> bool) -> Arc<Self> {
        Arc::new(Self(which, AtomicBool::new(false)))
    }
}

impl Observer for Panics {
    fn on_event(&self, event: &Event) {
        if (self.0)(&event.kind) && !self.1.swap(true, Ordering::SeqCst) {
            panic!("a brittle observer");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_a_restart_loses_no_message() {
    let log = Log::default();
    let heard = log.clone();
    let orchestrator = orchestrator()
        .with_connector(
            "picky",
            function(move |ctx: Context| {
                let log = heard.clone();
                async move {
                    log.push(ctx.content().as_str());
                    match ctx.content().as_str() {
                        "bad" => Failure::last("bad").into(),
                        _ => Outcome::done(),
                    }
                }
            }),
        )
        .with_observer(Panics::at(|kind| matches!(kind, EventKind::Restarted { .. })));
    let config = config("a", "picky").with_restart(RestartPolicy::OnFailure);
    let a = orchestrator.spawn(config).await.unwrap();
    send(&orchestrator, a, "bad").await;
    send(&orchestrator, a, "good").await;
    let _ = run(&orchestrator).await;
    assert_eq!(orchestrator.last_report().unwrap().still_running, []);
    let _ = run(&orchestrator).await;
    assert_eq!(
        (log.lines(), queue_depth(&orchestrator).await),
        (vec!["bad".into(), "good".into()], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_a_guard_loses_no_message() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard { max_iterations: 1, ..LoopGuard::unlimited() })
        .with_connector("log", log.connector())
        .with_observer(Panics::at(|kind| matches!(kind, EventKind::GuardTripped { .. })));
    let a = spawn(&orchestrator, "a", "log").await;
    for n in 0..3 {
        send(&orchestrator, a, &n.to_string()).await;
    }
    for _ in 0..4 {
        let _ = run(&orchestrator).await;
        assert_eq!(orchestrator.last_report().unwrap().still_running, []);
    }
    assert_eq!((log.lines().join(" "), queue_depth(&orchestrator).await), ("0 1 2".into(), 0));
}

/// Seen: what an agent was to do next was lost with the panic.
#[tokio::test(start_paused = true)]
async fn a_panic_at_a_change_of_status_loses_no_message() {
    let log = Log::default();
    let is_idle = |kind: &EventKind| {
        matches!(kind, EventKind::StatusChanged { status: AgentStatus::Idle, .. })
    };
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_connector("log", log.connector())
        .with_observer(Panics::at(is_idle));
    let a = spawn(&orchestrator, "a", "log").await;
    for n in 0..3 {
        send(&orchestrator, a, &n.to_string()).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!((log.lines().join(" "), queue_depth(&orchestrator).await), ("0 1 2".into(), 0));
}

/// What somebody panics with that is not done with it.
struct Payload(u32);

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(next) = self.0.checked_sub(1) {
            std::panic::panic_any(Self(next));
        }
    }
}

/// Seen: the panic of what was panicked with ended the worker, and so the run never ended.
#[tokio::test(start_paused = true)]
async fn a_panic_that_panics_when_it_is_dropped_costs_an_agent_and_not_the_run() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector()).with_connector(
        "panics",
        function(|ctx: Context| async move {
            if ctx.content() == "x" {
                std::panic::panic_any(Payload(8));
            }
        }),
    );
    let a = spawn(&orchestrator, "a", "panics").await;
    let b = spawn(&orchestrator, "b", "log").await;
    send(&orchestrator, a, "x").await;
    send(&orchestrator, b, "y").await;
    let reason = run(&orchestrator).await;
    assert!(
        matches!(reason, StopReason::AgentError { agent_id, .. } if agent_id == a),
        "{reason:?}"
    );
    assert_eq!(log.lines(), ["y"]);
}
