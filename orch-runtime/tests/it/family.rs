//! Agents that come and go while others work.

use orch_runtime::*;

use crate::support::{
    Events, Log, config, ms, orchestrator, outside, queue_depth, run, send, spawn,
};

/// Spawns a child with the configuration that its message holds in JSON, and says what came of it.
fn parent(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        let log = log.clone();
        async move {
            let config: AgentConfig = serde_json::from_str(ctx.content()).expect("a configuration");
            let name = config.name.clone();
            match ctx.spawn(config).await {
                Ok(child) => {
                    log.push(format!("{name} lives"));
                    // A child hands its own message on to a grandchild.
                    if name != "last" {
                        let next = serde_json::json!({
                            "name": format!("{name}'"), "role": "Worker", "connector_type": "parent",
                        });
                        ctx.send(child, next.to_string()).await.expect("it has a mailbox");
                    }
                }
                Err(error) => log.push(error.to_string()),
            }
        }
    })
}

fn child(name: &str) -> AgentConfig {
    config(name, "parent")
}

fn json(config: &AgentConfig) -> String {
    serde_json::to_string(config).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_handler_spawns_agents_down_to_the_limit_of_depth() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_spawn_limits(SpawnLimits::new(2, 100))
        .with_connector("parent", parent(&log));
    let a = spawn(&orchestrator, "a", "parent").await;
    send(&orchestrator, a, &json(&child("b"))).await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let lines = log.lines();
    assert_eq!(lines[..2], ["b lives", "b' lives"]);
    assert!(lines[2].contains("3 levels") && lines[2].contains("the limit is 2"), "{lines:?}");
    let agents = orchestrator.registry().list().await;
    let depths: Vec<(u32, bool)> =
        agents.iter().map(|it| (it.depth, it.parent.is_some())).collect();
    assert_eq!(depths, [(0, false), (1, true), (2, true)]);
}

#[tokio::test(start_paused = true)]
async fn handlers_spawn_no_more_agents_than_the_limit() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_spawn_limits(SpawnLimits::new(3, 2))
        .with_connector("parent", parent(&log));
    let a = spawn(&orchestrator, "a", "parent").await;
    for _ in 0..3 {
        send(&orchestrator, a, &json(&child("last"))).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let lines = log.lines();
    assert_eq!(lines[..2], ["last lives", "last lives"]);
    assert!(lines[2].starts_with("there are 2 spawned agents"), "{lines:?}");
    // Agents from outside do not count.
    spawn(&orchestrator, "outside", "parent").await;
    assert_eq!(orchestrator.registry().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_childs_rights_never_exceed_its_parents() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("parent", parent(&log));
    let policy = |level| ToolPolicy::new("fs".into(), level);
    let may_read = config("a", "parent").with_tool_policy(policy(PermissionLevel::ReadOnly));
    let a = orchestrator.spawn(may_read).await.unwrap();
    for level in [PermissionLevel::ReadOnly, PermissionLevel::ReadWrite] {
        let child = child("last").with_tool_policy(policy(level));
        send(&orchestrator, a, &json(&child)).await;
    }
    let other = ToolPolicy::new("shell".into(), PermissionLevel::ReadOnly);
    send(&orchestrator, a, &json(&child("last").with_tool_policy(other))).await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let lines = log.lines();
    assert_eq!(lines[0], "last lives");
    for line in &lines[1..] {
        assert!(line.starts_with("a child's rights never exceed its parent's"), "{line}");
    }
    assert_eq!(orchestrator.registry().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_run_is_refused_and_leaves_nothing() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("parent", parent(&log));
    let a = spawn(&orchestrator, "a", "parent").await;
    send(&orchestrator, a, &json(&config("last", "telepathy"))).await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert!(log.lines()[0].contains("`telepathy` is unknown"), "{:?}", log.lines());
    assert_eq!(orchestrator.registry().len(), 1);
}

/// Retires the agent that its message names.
fn retirer(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        let log = log.clone();
        async move {
            if let Some(name) = ctx.content().strip_prefix("spawn ") {
                ctx.spawn(config(name, "retire")).await.expect("within the limits");
            } else {
                let named = ctx.find(ctx.content()).expect("it is there");
                match ctx.retire(named).await {
                    Ok(()) => log.push(format!("{} retired", ctx.content())),
                    Err(error) => log.push(error.to_string()),
                }
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_agent_retires_itself_and_its_descendants_and_nobody_else() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("retire", retirer(&log));
    let a = spawn(&orchestrator, "a", "retire").await;
    let b = spawn(&orchestrator, "b", "retire").await;
    for text in ["spawn child", "b", "child"] {
        send(&orchestrator, a, text).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let refused = format!("{b} is no descendant of {a}, so it is not its to retire");
    assert_eq!(log.lines(), [refused.as_str(), "child retired"]);
    assert_eq!(orchestrator.registry().find("child"), None);

    // With the last of it go its children.
    send(&orchestrator, a, "spawn child").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let child = orchestrator.registry().find("child").unwrap();
    send(&orchestrator, child, "spawn grandchild").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    send(&orchestrator, a, "a").await;
    send(&orchestrator, a, "left behind").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines()[2], "a retired");
    let left: Vec<AgentId> = orchestrator.registry().list().await.iter().map(|it| it.id).collect();
    assert_eq!(left, [b]);
    let letters = orchestrator.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].message.content(), "left behind");
    assert_eq!(letters[0].reason, DeadLetterReason::Retired);
    assert!(matches!(orchestrator.retire(a).await, Err(RetireError::Unknown(id)) if id == a));
}

#[tokio::test(start_paused = true)]
async fn removal_in_the_middle_of_a_message_lets_it_finish_and_gives_up_the_rest() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.after(ms(100)));
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "in flight").await;
    let critical = outside(a, "urgent").with_priority(MessagePriority::Critical);
    let retire = async {
        tokio::time::sleep(ms(50)).await;
        send(&orchestrator, a, "waits").await;
        orchestrator.send(critical).await.unwrap();
        orchestrator.retire(a).await.unwrap();
        let refused = orchestrator.send(outside(a, "too late")).await;
        assert!(matches!(refused, Err(SendError::UnknownAgent(_))), "{refused:?}");
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), retire);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(log.lines(), ["in flight"]);
    let letters = orchestrator.dead_letters();
    let left: Vec<&str> = letters.iter().map(|letter| letter.message.content().as_str()).collect();
    assert_eq!(left, ["urgent", "waits"]);
    assert_eq!(orchestrator.metrics().await.dead_letter_count, 2);
    let settled = events.all(|kind| matches!(kind, EventKind::Settled { .. }).then_some(()));
    assert_eq!(settled.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_or_is_cut_off_after_its_agent_was_retired_is_a_dead_letter() {
    for (script, error) in [
        (Scripted::new().delay(ms(100)).fail("busy"), Some("busy")),
        (Scripted::new().hang(), None),
    ] {
        let orchestrator = orchestrator().with_connector("script", script);
        let a = spawn(&orchestrator, "a", "script").await;
        send(&orchestrator, a, "x").await;
        let later = async {
            tokio::time::sleep(ms(50)).await;
            orchestrator.retire(a).await.unwrap();
            tokio::time::sleep(ms(500)).await;
            orchestrator.stop_now().await;
        };
        let (_, ()) = tokio::join!(run(&orchestrator), later);
        let letters = orchestrator.dead_letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].reason, DeadLetterReason::Retired);
        assert_eq!(letters[0].attempts.first().map(|it| it.error.as_str()), error);
        assert_eq!(orchestrator.metrics().await.dead_letter_count, 1);
    }
}

/// Seen: the dead letter of a message that was between two attempts when its agent was retired had
/// forgotten those that were made.
#[tokio::test(start_paused = true)]
async fn retiring_during_a_backoff_keeps_the_attempts_that_were_made() {
    let orchestrator = orchestrator().with_connector("fail", Scripted::new().fail("busy").repeat());
    let a = spawn(&orchestrator, "a", "fail").await;
    send(&orchestrator, a, "x").await;
    let retire = async {
        tokio::time::sleep(ms(150)).await;
        orchestrator.retire(a).await.unwrap();
    };
    let started = tokio::time::Instant::now();
    let (reason, ()) = tokio::join!(run(&orchestrator), retire);
    assert_eq!((reason, started.elapsed()), (StopReason::Completed, ms(150)));
    let letters = orchestrator.dead_letters();
    assert_eq!((letters.len(), letters[0].attempts.len()), (1, 2));
    assert_eq!(letters[0].reason, DeadLetterReason::Retired);
}

#[tokio::test(start_paused = true)]
async fn retiring_the_only_busy_agent_does_not_keep_the_run_from_ending() {
    let orchestrator = orchestrator()
        .with_loop_guard(LoopGuard { max_iterations: 1, ..LoopGuard::default() })
        .with_connector("slow", Scripted::new().delay(ms(100)).done());
    let a = spawn(&orchestrator, "a", "slow").await;
    let b = spawn(&orchestrator, "b", "slow").await;
    for agent in [a, b, b] {
        send(&orchestrator, agent, "x").await;
    }
    let retire = async {
        tokio::time::sleep(ms(50)).await;
        orchestrator.retire(a).await.unwrap();
        orchestrator.retire(b).await.unwrap();
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), retire);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(orchestrator.dead_letters().len(), 1, "what was above the limit");
    assert_eq!(queue_depth(&orchestrator).await, 0);
}

/// Seen: what a retired agent had used was no longer part of the sum.
#[tokio::test(start_paused = true)]
async fn usage_is_counted_by_agent_and_in_all_also_of_those_that_are_gone() {
    let usage = |n| Usage { input_tokens: n, output_tokens: 1, ..Usage::default() };
    let orchestrator = orchestrator()
        .with_connector("model", Scripted::new().usage(usage(10)).usage(usage(5)).done());
    let (orchestrator, events) = Events::watch(orchestrator);
    let a = spawn(&orchestrator, "a", "model").await;
    let b = spawn(&orchestrator, "b", "model").await;
    send(&orchestrator, a, "x").await;
    send(&orchestrator, b, "x").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let each = Usage { input_tokens: 15, output_tokens: 2, ..Usage::default() };
    let both = Usage { input_tokens: 30, output_tokens: 4, ..Usage::default() };
    let metrics = orchestrator.metrics().await;
    assert_eq!(metrics.usage_per_agent, [(a, each), (b, each)].into());
    assert_eq!(metrics.usage, both);
    let settled = events.all(|kind| match kind {
        EventKind::Settled { usage, .. } => Some(*usage),
        _ => None,
    });
    assert_eq!(settled, [each, each]);
    orchestrator.retire(a).await.unwrap();
    let metrics = orchestrator.metrics().await;
    assert_eq!((metrics.usage, metrics.usage_per_agent), (both, [(b, each)].into()));
}
