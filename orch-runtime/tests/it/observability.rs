//! What is logged, and at which level.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock};

use orch_runtime::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::support::{Events, config, ms, orchestrator, run, send, spawn};

/// Keeps the lines that are logged on this thread: the level, the message, the fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // In front, whatever else a line calls its message.
            self.0 = format!("{value:?} {}", self.0);
        } else {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "orch"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Lines {
    /// Everything that is logged while `work` runs.
    async fn of(work: impl Future<Output = ()>) -> Vec<(Level, String)> {
        // One for all threads and one for this: with a single one, tracing asks only the thread that
        // meets a line first whether anybody wants it, and that may be another test's.
        static ELSEWHERE: OnceLock<tracing::Dispatch> = OnceLock::new();
        ELSEWHERE.get_or_init(|| tracing::Dispatch::new(Self::default()));
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        work.await;
        drop(guard);
        let lines = std::mem::take(&mut *lines.0.lock().unwrap());
        assert!(!lines.is_empty(), "nothing was logged");
        lines
    }
}

/// The levels at which lines with this message were logged.
#[track_caller]
fn check(lines: &[(Level, String)], message: &str, level: Level, n: usize) {
    let found: Vec<Level> =
        lines.iter().filter(|(_, line)| line.contains(message)).map(|(level, _)| *level).collect();
    assert_eq!(found, vec![level; n], "{message}: {lines:#?}");
}

/// A run in which everything happens: a retry, a failed agent, a guard.
async fn eventful() {
    let guard = LoopGuard { max_iterations: 1, ..LoopGuard::default() };
    let orchestrator = orchestrator()
        .with_loop_guard(guard)
        .with_connector("flaky", Scripted::new().fail("busy").done())
        .with_connector("fail", Scripted::new().fail_finally("broken"));
    let a = spawn(&orchestrator, "a", "flaky").await;
    let b = spawn(&orchestrator, "b", "fail").await;
    send(&orchestrator, a, "one").await;
    send(&orchestrator, a, "two").await;
    send(&orchestrator, b, "three").await;
    assert_eq!(run(&orchestrator).await, StopReason::MaxIterations);
    orchestrator.registry().unregister(b).await.unwrap();
}

/// SPEC: All operations emit structured logs:
/// SPEC: Agent registration/unregistration
/// SPEC: Orchestrator start/stop
/// SPEC: `info`: Orchestrator lifecycle events
#[tokio::test(start_paused = true)]
async fn the_lifecycle_is_logged_at_info() {
    let lines = Lines::of(eventful()).await;
    check(&lines, "agent registered", Level::INFO, 2);
    check(&lines, "agent unregistered", Level::INFO, 1);
    check(&lines, "orchestrator started", Level::INFO, 1);
    check(&lines, "orchestrator stopped", Level::INFO, 1);
    let registered = &lines.iter().find(|(_, line)| line.contains("agent registered")).unwrap().1;
    assert!(registered.contains(" name=a") && registered.contains(" connector_type=flaky"));
    let stopped = lines.iter().rfind(|(_, line)| line.contains("orchestrator stopped")).unwrap();
    assert!(stopped.1.contains("the limit of iterations was reached"), "{stopped:?}");
}

/// SPEC: Loop guard triggers
/// SPEC: Retry attempts
/// SPEC: Logged for observability
/// SPEC: `warn`: Loop guards triggered, retries
#[tokio::test(start_paused = true)]
async fn guards_and_retries_are_logged_at_warn() {
    let lines = Lines::of(eventful()).await;
    check(&lines, "loop guard triggered", Level::WARN, 1);
    check(&lines, "attempt failed, retry scheduled", Level::WARN, 1);
    let retry = lines.iter().find(|(_, line)| line.contains("attempt failed")).unwrap();
    assert!(retry.1.contains(" attempt=1") && retry.1.contains(" error=busy"), "{retry:?}");
}

/// SPEC: Error conditions
/// SPEC: `error`: Agent failures, critical errors
#[tokio::test(start_paused = true)]
async fn failures_of_agents_are_logged_at_error() {
    let lines = Lines::of(eventful()).await;
    check(&lines, "agent failed", Level::ERROR, 1);
    check(&lines, "message is a dead letter", Level::ERROR, 1);
}

/// SPEC: Message send/receive
/// SPEC: `debug`: Message processing, queue operations
#[tokio::test(start_paused = true)]
async fn messages_are_logged_at_debug() {
    let lines = Lines::of(eventful()).await;
    check(&lines, "message accepted", Level::DEBUG, 3);
    check(&lines, "message received", Level::DEBUG, 3);
    check(&lines, "message settled", Level::DEBUG, 1);
    let content = lines.iter().find(|(_, line)| line.contains("three"));
    assert!(content.is_none(), "contents are not logged: {content:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_put_back_is_logged_at_debug_and_a_restart_at_warn() {
    let lines = Lines::of(async {
        let orchestrator = orchestrator()
            .with_connector("hang", Scripted::new().hang())
            .with_connector("fail", Scripted::new().fail_finally("broken"));
        let a = spawn(&orchestrator, "a", "hang").await;
        let restarted = config("b", "fail").with_restart(RestartPolicy::OnFailure);
        let b = orchestrator.spawn(restarted).await.unwrap();
        send(&orchestrator, a, "x").await;
        send(&orchestrator, b, "x").await;
        let stop = async {
            tokio::time::sleep(ms(10)).await;
            orchestrator.stop_now().await
        };
        let (reason, _) = tokio::join!(run(&orchestrator), stop);
        assert_eq!(reason, StopReason::ManualStop);
    })
    .await;
    check(&lines, "message put back", Level::DEBUG, 1);
    check(&lines, "agent restarted", Level::WARN, 1);
    check(&lines, "agent failed", Level::ERROR, 0);
}

/// Observers are told the same as the log, in the order in which it happens.
#[tokio::test(start_paused = true)]
async fn an_observer_hears_a_run_from_its_start_to_its_end() {
    let (orchestrator, events) =
        Events::watch(orchestrator().with_connector("ok", Scripted::new().say("hm").done()));
    let a = spawn(&orchestrator, "a", "ok").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let names = events.all(|kind| {
        let json = serde_json::to_value(kind).unwrap();
        Some(json["event"].as_str().unwrap().to_owned())
    });
    let expected = [
        "registered",
        "accepted",
        "run_started",
        "status_changed",
        "started",
        "said",
        "settled",
        "status_changed",
        "stopped",
    ];
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn metrics_have_the_depth_by_priority_and_the_times() {
    let orchestrator =
        orchestrator().with_connector("slow", Scripted::new().delay(ms(100)).done().repeat());
    let a = spawn(&orchestrator, "a", "slow").await;
    for priority in MessagePriority::MOST_URGENT_FIRST {
        let message = crate::support::outside(a, "x").with_priority(priority);
        orchestrator.send(message).await.unwrap();
    }
    let waiting = orchestrator.metrics().await;
    assert_eq!(waiting.queue_depth, 4);
    let depth = waiting.queue_depth_by_priority;
    assert_eq!([depth.critical, depth.high, depth.normal, depth.low], [1; 4]);
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let metrics = orchestrator.metrics().await;
    assert_eq!((metrics.queue_depth, metrics.in_flight), (0, 0));
    assert_eq!((metrics.wait_time.count(), metrics.handling_time.count()), (4, 4));
    assert!(metrics.handling_time.mean() >= ms(100), "{:?}", metrics.handling_time.mean());
}
