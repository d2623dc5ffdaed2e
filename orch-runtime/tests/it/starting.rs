//! What cannot run, and what is refused before anything is handed out.

use std::sync::Arc;

use orch_runtime::*;

use crate::support::{Log, config, ms, orchestrator, over, queue_depth, run, send, spawn, status};

fn program(command: &str) -> AgentConfig {
    config("a", "subprocess").with_setting("command", vec![command])
}

fn refusal(error: SpawnError) -> ConnectError {
    match error {
        SpawnError::CannotRun(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_by_spawn_and_leaves_nothing() {
    let orchestrator = orchestrator();
    let unknown = orchestrator.spawn(config("a", "telepathy")).await.unwrap_err();
    assert!(
        matches!(refusal(unknown), ConnectError::UnknownConnector { name, .. } if name == "telepathy")
    );

    let missing = orchestrator.spawn(program("no-such-program-anywhere")).await.unwrap_err();
    match refusal(missing) {
        ConnectError::MissingProgram { program, searched } => {
            assert_eq!(program, "no-such-program-anywhere");
            assert!(!searched.is_empty());
        }
        other => panic!("{other}"),
    }

    let policy = ToolPolicy::new("file_system".into(), PermissionLevel::ReadOnly);
    let unenforceable = orchestrator.spawn(program("cat").with_tool_policy(policy)).await;
    let unenforceable = refusal(unenforceable.unwrap_err());
    assert!(
        matches!(unenforceable, ConnectError::PolicyNotEnforceable { tool, .. } if tool == "file_system")
    );

    let needs_code = orchestrator.spawn(config("a", "function")).await.unwrap_err();
    assert!(matches!(refusal(needs_code), ConnectError::NeedsCode { .. }));

    assert!(orchestrator.registry().is_empty());
    assert_eq!(orchestrator.bus().agents(), []);
}

#[tokio::test]
async fn a_policy_that_cannot_be_kept_is_refused_by_spawn_and_leaves_nothing() {
    let orchestrator = orchestrator().with_connector("ok", function(|_: Context| async {}));
    let policy = |tool: &str| ToolPolicy::new(tool.into(), PermissionLevel::ReadOnly);
    for bad in [policy(""), policy("file*"), policy("fs").with_allowed_path("not/absolute")] {
        let refused = orchestrator.spawn(config("a", "ok").with_tool_policy(bad)).await;
        assert!(matches!(refused, Err(SpawnError::Policy(_))), "{refused:?}");
    }
    assert!(orchestrator.registry().is_empty());
    assert_eq!(orchestrator.bus().agents(), []);
}

/// Registers an agent as SPEC.md does: nothing is checked before the start.
async fn register(orchestrator: &Orchestrator, config: AgentConfig) -> AgentId {
    let agent = orchestrator.registry().register(config).await;
    orchestrator.bus().create_mailbox(agent).await;
    agent
}

#[tokio::test(start_paused = true)]
async fn start_refuses_an_agent_that_cannot_run_and_has_messages_before_anything_is_handed_out() {
    let policy = ToolPolicy::new("fs".into(), PermissionLevel::ReadOnly);
    let relative = policy.clone().with_allowed_path("relative");
    let cases = [
        (config("a", "telepathy"), "is unknown"),
        (program("no-such-program-anywhere"), "was not found"),
        (program("cat").with_tool_policy(policy), "cannot be enforced"),
        (config("a", "log").with_tool_policy(relative), "is not absolute"),
    ];
    for (bad, words) in cases {
        let log = Log::default();
        let orchestrator = orchestrator().with_connector("log", log.connector());
        let well = spawn(&orchestrator, "well", "log").await;
        send(&orchestrator, well, "x").await;
        let bad = register(&orchestrator, bad).await;
        // Without messages nobody asks.
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        send(&orchestrator, well, "y").await;
        send(&orchestrator, bad, "z").await;
        match orchestrator.start().await {
            Err(StartError::CannotRun { agent_id, name, error }) => {
                assert_eq!((agent_id, name.as_str()), (bad, "a"));
                assert!(error.contains(words), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(log.lines(), ["x"]);
        assert_eq!(queue_depth(&orchestrator).await, 2);
        // The bus is free again, and without the bad agent the run goes on.
        orchestrator.retire(bad).await.unwrap();
        assert_eq!(run(&orchestrator).await, StopReason::Completed);
        assert_eq!(log.lines(), ["x", "y"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_in_the_middle_of_a_run_is_a_dead_letter_and_a_failed_agent() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(100)));
    let well = spawn(&orchestrator, "well", "log").await;
    let bad = config("bad", "telepathy").with_restart(RestartPolicy::OnFailure);
    let bad = register(&orchestrator, bad).await;
    send(&orchestrator, well, "x").await;
    let later = async {
        tokio::time::sleep(ms(50)).await;
        send(&orchestrator, bad, "first").await;
        send(&orchestrator, bad, "second").await;
        send(&orchestrator, well, "y").await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert!(matches!(reason, StopReason::AgentError { agent_id, .. } if agent_id == bad));
    assert_eq!(log.lines(), ["x", "y"]);
    let letters = orchestrator.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(matches!(letters[0].reason, DeadLetterReason::CannotRun { .. }));
    assert!(status(&orchestrator, bad).await.is_failed());
    assert_eq!(queue_depth(&orchestrator).await, 1);
}

/// A connector whose check panics, or calls what a check should not.
struct Rude(Arc<std::sync::OnceLock<std::sync::Weak<Orchestrator>>>);

impl Connector for Rude {
    type Session = FunctionSession<fn(Context) -> std::future::Ready<()>>;

    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError> {
        if let Some(orchestrator) = self.0.get().and_then(std::sync::Weak::upgrade) {
            // Takes the scheduler's lock.
            let mut stop = std::pin::pin!(orchestrator.stop_now());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = stop.as_mut().poll(&mut context);
        }
        assert!(config.name != "panic", "a rude check");
        Ok(())
    }

    async fn open(&self, _: SessionSpec) -> Result<Self::Session, ConnectError> {
        Err(ConnectError::OpenFailed { error: "never".into(), transient: false })
    }
}

/// Seen: the check was called under the scheduler's lock. One that panicked took the worker with it,
/// and the run never ended; one that called back blocked its thread for ever.
#[tokio::test(start_paused = true)]
async fn a_check_that_panics_or_calls_back_is_survived() {
    let back = Arc::new(std::sync::OnceLock::new());
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_connector("rude", Rude(back.clone()))
        .with_connector("log", log.after(ms(100)));
    let orchestrator = Arc::new(orchestrator);
    let well = spawn(&orchestrator, "well", "log").await;
    let rude = register(&orchestrator, config("panic", "rude")).await;
    send(&orchestrator, well, "x").await;
    let later = async {
        tokio::time::sleep(ms(50)).await;
        send(&orchestrator, rude, "first").await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    let expected = "the session could not be opened: its check panicked: a rude check";
    assert_eq!(reason, StopReason::AgentError { agent_id: rude, error: expected.into() });
    assert_eq!(log.lines(), ["x"]);

    back.set(Arc::downgrade(&orchestrator)).unwrap();
    send(&orchestrator, well, "y").await;
    let later = async {
        tokio::time::sleep(ms(50)).await;
        send(&orchestrator, rude, "second").await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), later);
    assert_eq!(reason, StopReason::ManualStop);
}

#[tokio::test(start_paused = true)]
async fn a_second_start_on_one_orchestrator_is_refused() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(10)));
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    let second = async {
        tokio::time::sleep(ms(5)).await;
        orchestrator.start().await
    };
    let (first, second) = tokio::join!(run(&orchestrator), second);
    assert_eq!(first, StopReason::Completed);
    assert!(matches!(second, Err(StartError::AlreadyRunning)));
    let (one, other) = tokio::join!(orchestrator.start(), orchestrator.start());
    assert!(one.is_ok() && matches!(other, Err(StartError::AlreadyRunning)));
}

#[tokio::test(start_paused = true)]
async fn two_orchestrators_on_one_bus_do_not_run_at_once() {
    let log = Log::default();
    let first = over(MessageBus::new()).with_connector("log", log.after(ms(10)));
    let second = Orchestrator::new(first.registry().clone(), first.bus().clone())
        .with_connector("log", log.connector());
    let a = spawn(&first, "a", "log").await;
    send(&first, a, "x").await;
    let refused = async {
        tokio::time::sleep(ms(5)).await;
        second.start().await
    };
    let (ran, refused) = tokio::join!(run(&first), refused);
    assert_eq!(ran, StopReason::Completed);
    assert!(matches!(refused, Err(StartError::AlreadyRunning)));
    send(&first, a, "y").await;
    assert_eq!(run(&second).await, StopReason::Completed);
    assert_eq!(log.lines(), ["x", "y"]);
}

/// Seen: a run and its orchestrator kept each other, and the registry and the bus with them.
#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_is_dropped_after_a_run_keeps_nothing() {
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let log = Log::default();
    let orchestrator =
        Orchestrator::new(registry.clone(), bus.clone()).with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    drop(orchestrator);
    tokio::task::yield_now().await;
    assert_eq!((Arc::strong_count(&registry), Arc::strong_count(&bus)), (1, 1));
}
