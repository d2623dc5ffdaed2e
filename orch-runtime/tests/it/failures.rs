//! Agents that fail, and what becomes of their messages and of the others.

use std::sync::Arc;
use std::time::Duration;

use orch_runtime::*;

use crate::support::{
    Events, Log, config, ms, orchestrator, outside, queue_depth, run, send, spawn, status,
};

/// Fails for good on `poison`, and writes down the rest.
fn sensitive(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        let is_poison = ctx.content() == "poison";
        if !is_poison {
            log.push(ctx.content().as_str());
        }
        async move { if is_poison { Err(Failure::last("poisoned")) } else { Ok(()) } }
    })
}

/// A hundred messages for one agent; the positions of poison among them.
async fn hundred(orchestrator: &Orchestrator, restart: RestartPolicy, poison: &[usize]) -> AgentId {
    let agent = orchestrator.spawn(config("a", "sensitive").with_restart(restart)).await.unwrap();
    for n in 0..100 {
        let text = if poison.contains(&n) { "poison".to_owned() } else { n.to_string() };
        send(orchestrator, agent, &text).await;
    }
    agent
}

fn generous() -> LoopGuard {
    LoopGuard { max_messages_per_agent: 1_000, max_iterations: 1_000, ..LoopGuard::default() }
}

#[tokio::test(start_paused = true)]
async fn under_never_a_poison_message_fails_its_agent_and_the_rest_stays() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(generous()).with_connector("sensitive", sensitive(&log));
    let a = hundred(&orchestrator, RestartPolicy::Never, &[30]).await;
    let error = "poisoned".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: a, error });
    assert_eq!(log.lines().len(), 30);
    assert_eq!(queue_depth(&orchestrator).await, 69);
    let reason = "poisoned".to_owned();
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Failed { reason });
    // The next start gives it another chance.
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines().len(), 99);
    assert_eq!(status(&orchestrator, a).await, AgentStatus::Idle);
    assert_eq!(orchestrator.dead_letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn under_on_failure_and_always_a_poison_message_is_skipped() {
    for restart in [RestartPolicy::OnFailure, RestartPolicy::Always] {
        let log = Log::default();
        let orchestrator =
            orchestrator().with_loop_guard(generous()).with_connector("sensitive", sensitive(&log));
        let (orchestrator, events) = Events::watch(orchestrator);
        hundred(&orchestrator, restart, &[30, 31, 60]).await;
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(log.lines().len(), 97);
        assert_eq!(orchestrator.dead_letters().len(), 3);
        let restarts = events.all(|kind| match kind {
            EventKind::Restarted { restarts, .. } => Some(*restarts),
            _ => None,
        });
        assert_eq!(restarts, [1, 2, 3], "{restart:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_intensity_the_agent_is_failed() {
    for restart in [RestartPolicy::OnFailure, RestartPolicy::Always] {
        let log = Log::default();
        let orchestrator = orchestrator()
            .with_loop_guard(generous())
            .with_restart_intensity(RestartIntensity::new(2, Duration::from_secs(60)))
            .with_connector("sensitive", sensitive(&log));
        let a = hundred(&orchestrator, restart, &[10, 20, 30, 40]).await;
        let error = "poisoned (after 2 restarts within 60 s)".to_owned();
        let failed = StopReason::AgentError { agent_id: a, error };
        assert_eq!(run(&orchestrator).await, failed);
        assert_eq!((log.lines().len(), queue_depth(&orchestrator).await), (28, 69));
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(log.lines().len(), 96);
    }
}

/// A session that counts its messages.
#[derive(Default)]
struct Counter(u32);

impl Handler for Counter {
    type Output = Result<String, Failure>;

    async fn handle(&mut self, context: Context) -> Self::Output {
        self.0 += 1;
        match context.content().as_str() {
            "poison" => Err(Failure::last("poisoned")),
            "panic" if context.attempt() == 1 => panic!("once"),
            "flaky" if context.attempt() == 1 => Err(Failure::transient("once")),
            _ => Ok(self.0.to_string()),
        }
    }
}

/// A failure that may be tried again keeps the session; a dead letter and a panic end it.
#[tokio::test(start_paused = true)]
async fn a_restart_opens_a_new_session() {
    let orchestrator =
        orchestrator().with_connector("count", handler(|_: &SessionSpec| Counter::default()));
    let (orchestrator, events) = Events::watch(orchestrator);
    let restarted = config("a", "count").with_restart(RestartPolicy::OnFailure);
    let a = orchestrator.spawn(restarted).await.unwrap();
    for text in ["x", "flaky", "x", "poison", "x", "x", "panic", "x"] {
        send(&orchestrator, a, text).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let answers = events.all(|kind| match kind {
        EventKind::Settled { output, .. } => output.as_ref().map(|it| it.to_string()),
        _ => None,
    });
    assert_eq!(answers, ["1", "3", "4", "1", "2", "1", "2"]);
}

/// Ends its session after each answer.
struct Once;
struct OnceSession(bool);

impl Connector for Once {
    type Session = OnceSession;
    fn check(&self, _: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }
    async fn open(&self, _: SessionSpec) -> Result<OnceSession, ConnectError> {
        Ok(OnceSession(true))
    }
}

impl Session for OnceSession {
    async fn turn(&mut self, _: Context) -> Outcome {
        self.0 = false;
        Outcome::done()
    }
    fn is_open(&self) -> bool {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn under_always_a_session_that_ends_by_itself_counts_as_a_restart() {
    for (restart, handled) in [(RestartPolicy::OnFailure, 6), (RestartPolicy::Always, 4)] {
        let orchestrator = orchestrator().with_connector("once", Once);
        let a = orchestrator.spawn(config("a", "once").with_restart(restart)).await.unwrap();
        for _ in 0..6 {
            send(&orchestrator, a, "x").await;
        }
        let reason = run(&orchestrator).await;
        assert_eq!(orchestrator.metrics().await.total_messages, handled);
        assert_eq!(matches!(reason, StopReason::AgentError { .. }), handled < 6, "{reason:?}");
    }
}

/// SPEC: Agents can fail without crashing the orchestrator
/// SPEC: Failed agents transition to `Failed` status
/// SPEC: Other agents continue processing
#[tokio::test(start_paused = true)]
async fn the_others_go_on_when_agents_fail_and_the_first_is_named() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("log", log.after(ms(10)))
        .with_connector("panic", Scripted::new().panic("no!").repeat())
        .with_connector("fail", Scripted::new().fail_finally("broken"));
    let broken = spawn(&orchestrator, "broken", "fail").await;
    let panics = config("panics", "panic").with_max_retries(1);
    let panics = orchestrator.spawn(panics).await.unwrap();
    let well = spawn(&orchestrator, "well", "log").await;
    for agent in [broken, panics, broken] {
        send(&orchestrator, agent, "x").await;
    }
    for n in 0..50 {
        send(&orchestrator, well, &n.to_string()).await;
    }
    let error = "broken".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: broken, error });
    assert_eq!(log.lines().len(), 50);
    assert!(status(&orchestrator, broken).await.is_failed());
    let reason = "the handler panicked: no!".to_owned();
    assert_eq!(status(&orchestrator, panics).await, AgentStatus::Failed { reason });
    assert_eq!(status(&orchestrator, well).await, AgentStatus::Idle);
    assert_eq!(queue_depth(&orchestrator).await, 1, "a failed agent's messages wait");
}

#[tokio::test(start_paused = true)]
async fn stop_on_first_stops_at_once() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_failure_policy(FailurePolicy::StopOnFirst)
        .with_connector("log", log.after(ms(10)))
        .with_connector("fail", Scripted::new().delay(ms(15)).fail_finally("broken"));
    let broken = spawn(&orchestrator, "broken", "fail").await;
    let well = spawn(&orchestrator, "well", "log").await;
    send(&orchestrator, broken, "x").await;
    for n in 0..10 {
        send(&orchestrator, well, &n.to_string()).await;
    }
    let error = "broken".to_owned();
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: broken, error });
    assert_eq!(log.lines(), ["0", "1"], "what was in flight may end within the grace");
    assert_eq!(queue_depth(&orchestrator).await, 8);
}

/// Seen: an agent with two messages at once failed on the first, and the second then failed in a way
/// that may be tried again. It waited for an attempt that nobody was to make, and the run for it.
#[tokio::test(start_paused = true)]
async fn a_retry_of_an_agent_that_has_failed_meanwhile_goes_back_and_the_run_ends() {
    let connector = function(|ctx: Context| async move {
        match ctx.content().as_str() {
            "final" => Err::<(), _>(Failure::last("broken")),
            _ => {
                tokio::time::sleep(ms(10)).await;
                Err(Failure::transient("busy"))
            }
        }
    });
    let orchestrator = orchestrator().with_connector("fail", connector);
    let a = orchestrator.spawn(config("a", "fail").with_concurrency(2)).await.unwrap();
    send(&orchestrator, a, "transient").await;
    send(&orchestrator, a, "final").await;
    let started = tokio::time::Instant::now();
    let error = "broken".to_owned();
    let ended = tokio::time::timeout(ms(60_000), orchestrator.start()).await.expect("it ends");
    assert_eq!(ended.unwrap(), StopReason::AgentError { agent_id: a, error });
    assert_eq!(started.elapsed(), ms(10), "nobody waits for a backoff");
    assert_eq!(queue_depth(&orchestrator).await, 1);
}

/// The other way round: what waits for another attempt when its agent fails goes back.
#[tokio::test(start_paused = true)]
async fn what_is_in_its_backoff_when_its_agent_fails_goes_back() {
    let connector = function(|ctx: Context| async move {
        match ctx.content().as_str() {
            "final" => Err::<(), _>(Failure::last("broken")),
            _ => Err(Failure::transient("busy")),
        }
    });
    let orchestrator = orchestrator().with_connector("fail", connector);
    let a = spawn(&orchestrator, "a", "fail").await;
    send(&orchestrator, a, "transient").await;
    let later = async {
        tokio::time::sleep(ms(50)).await;
        let urgent = outside(a, "final").with_priority(MessagePriority::High);
        orchestrator.send(urgent).await.unwrap();
    };
    let started = tokio::time::Instant::now();
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert!(matches!(reason, StopReason::AgentError { .. }));
    assert_eq!(started.elapsed(), ms(50), "nobody waits for the backoff");
    assert_eq!(queue_depth(&orchestrator).await, 1);
}

/// Seen: an agent was unregistered while one of its messages was between two attempts. Nobody was to
/// make the next one, and the run waited for it for ever.
#[tokio::test(start_paused = true)]
async fn a_run_ends_although_an_agent_in_its_backoff_was_unregistered() {
    let orchestrator = orchestrator().with_connector("fail", Scripted::new().fail("busy").repeat());
    let a = spawn(&orchestrator, "a", "fail").await;
    send(&orchestrator, a, "x").await;
    let unregister = async {
        tokio::time::sleep(ms(50)).await;
        orchestrator.registry().unregister(a).await.unwrap();
    };
    let limited = tokio::time::timeout(ms(60_000), orchestrator.start());
    let (reason, ()) = tokio::join!(limited, unregister);
    assert_eq!(reason.expect("it ends").unwrap(), StopReason::Completed);
    assert_eq!(queue_depth(&orchestrator).await, 1, "its mailbox stays, with what waits in it");
}

/// An agent that failed and was unregistered is no failed agent at the end.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_gone_is_not_named_as_failed() {
    let orchestrator = orchestrator()
        .with_connector("fail", Scripted::new().fail_finally("broken"))
        .with_connector("slow", Scripted::new().delay(ms(100)).done());
    let a = spawn(&orchestrator, "a", "fail").await;
    let b = spawn(&orchestrator, "b", "slow").await;
    send(&orchestrator, a, "x").await;
    send(&orchestrator, b, "x").await;
    let unregister = async {
        tokio::time::sleep(ms(50)).await;
        orchestrator.registry().unregister(a).await.unwrap();
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), unregister);
    assert_eq!(reason, StopReason::Completed);
}

/// Another orchestrator over the same registry gives failed agents their chance, too.
#[tokio::test(start_paused = true)]
async fn a_failed_agent_gets_another_chance_from_the_next_orchestrator() {
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let script = Scripted::new().fail_finally("broken").done();
    let make =
        || Orchestrator::new(registry.clone(), bus.clone()).with_connector("fail", script.clone());
    let first = make();
    let a = spawn(&first, "a", "fail").await;
    send(&first, a, "x").await;
    send(&first, a, "y").await;
    assert!(matches!(run(&first).await, StopReason::AgentError { .. }));
    drop(first);
    let (second, events) = Events::watch(make());
    assert_eq!(run(&second).await, StopReason::Completed);
    use AgentStatus::{Idle, Processing};
    assert_eq!(events.statuses(a), [Idle, Processing, Idle]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_listed_inspected_sent_again_and_dropped() {
    let orchestrator = orchestrator()
        .with_connector("fail", Scripted::new().fail("one").fail_finally("two").done());
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "fail").await;
    let id = send(&orchestrator, a, "precious").await;
    assert!(matches!(run(&orchestrator).await, StopReason::AgentError { .. }));

    let letters = orchestrator.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.message.content(), "precious");
    assert_eq!(letter.reason, DeadLetterReason::FinalFailure);
    let attempts: Vec<_> = letter.attempts.iter().map(|it| (it.attempt, &*it.error)).collect();
    assert_eq!(attempts, [(1, "one"), (2, "two")]);

    orchestrator.resend(id).await.unwrap();
    assert!(orchestrator.dead_letters().is_empty());
    assert!(
        matches!(orchestrator.resend(id).await, Err(ResendError::Unknown(other)) if other == id)
    );
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(events.attempts(a), [1, 2, 1], "it has all its attempts again");

    let b = spawn(&orchestrator, "b", "fail").await;
    let id = send(&orchestrator, b, "worthless").await;
    assert!(matches!(run(&orchestrator).await, StopReason::AgentError { .. }));
    assert_eq!(orchestrator.drop_dead_letter(id).unwrap().message.content(), "worthless");
    assert!(orchestrator.drop_dead_letter(id).is_none());
    assert_eq!(orchestrator.metrics().await.dead_letter_count, 2, "it counts those that were made");
}

/// An observer that panics, once.
#[derive(Default)]
struct Brittle(std::sync::atomic::AtomicBool);

impl Observer for Brittle {
    fn on_event(&self, event: &Event) {
        let settled = matches!(event.kind, EventKind::Started { .. });
        if settled && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            panic!("a brittle observer");
        }
    }
}

/// Observers must not panic. If one does, it costs an agent and not the worker: seen was a run
/// without workers, which never ended. And whoever asks the agent hears that it has failed.
#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_costs_an_agent_and_not_the_run() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("log", log.connector())
        .with_observer(Arc::new(Brittle::default()));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "log").await;
    let b = spawn(&orchestrator, "b", "log").await;
    let urgent = outside(a, "a").with_priority(MessagePriority::High);
    orchestrator.send(urgent).await.unwrap();
    send(&orchestrator, b, "b").await;
    let bus = orchestrator.bus().clone();
    let question = bus.ask(outside(a, "and you?"), Duration::from_secs(60));
    let ended = tokio::time::timeout(ms(5_000), orchestrator.start());
    let (reason, answer) = tokio::join!(ended, question);
    let reason = reason.expect("the run ends").unwrap();
    assert!(matches!(reason, StopReason::AgentError { agent_id, .. } if agent_id == a));
    assert!(matches!(answer, Err(AskError::NotAnswered(QuestionFailure::AgentFailed { .. }))));
    assert_eq!(log.lines(), ["b"]);
    let failed = events.all(|kind| match kind {
        EventKind::AgentFailed { agent, .. } => Some(*agent),
        _ => None,
    });
    assert_eq!(failed, [a]);
    assert_eq!(queue_depth(&orchestrator).await, 2, "nothing is lost");
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
}
