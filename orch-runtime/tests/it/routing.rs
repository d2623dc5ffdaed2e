//! The seam for flows: what the router hears, and what becomes of what it sends.

use std::sync::Arc;

use orch_runtime::*;

use crate::support::{Log, config, ms, orchestrator, queue_depth, run, send, spawn};

/// A router made of two closures.
struct Route<S, G>(S, G);

impl<S, G> Router for Route<S, G>
where
    S: Fn(AgentId, &AgentMessage, Option<&Content>) -> Vec<AgentMessage> + Send + Sync,
    G: Fn(&DeadLetter) -> Vec<AgentMessage> + Send + Sync,
{
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        output: Option<&Content>,
    ) -> Vec<AgentMessage> {
        self.0(agent, message, output)
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        self.1(letter)
    }
}

fn nothing(_: AgentId, _: &AgentMessage, _: Option<&Content>) -> Vec<AgentMessage> {
    Vec::new()
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_where_the_router_says_one_hop_and_one_round_further() {
    let log = Log::default();
    let said = log.clone();
    let look = function(move |ctx: Context| {
        let message = ctx.message();
        said.push(format!("{} hop {}", message.content(), message.hop()));
        async {}
    });
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let next = registry.clone();
    let settled = move |agent: AgentId, _: &AgentMessage, output: Option<&Content>| {
        let to = next.find("b").unwrap();
        output.map(|output| AgentMessage::new(agent, to, output)).into_iter().collect()
    };
    let orchestrator = Orchestrator::new(registry, bus)
        .with_router(Arc::new(Route(settled, |_: &DeadLetter| Vec::new())))
        .with_connector(
            "shout",
            function(|ctx: Context| async move { ctx.content().to_uppercase() }),
        )
        .with_connector("look", look);
    let a = spawn(&orchestrator, "a", "shout").await;
    spawn(&orchestrator, "b", "look").await;
    send(&orchestrator, a, "hello").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["HELLO hop 1"]);
    assert_eq!(orchestrator.metrics().await.total_iterations, 2);
}

#[tokio::test(start_paused = true)]
async fn the_router_hears_of_what_was_given_up_and_of_what_it_could_not_send() {
    let log = Log::default();
    let heard = log.clone();
    let given_up = move |letter: &DeadLetter| {
        heard.push(format!("{}: {}", letter.message.content(), letter.reason));
        match letter.message.content().as_str() {
            // To nobody: it is refused, and becomes a letter of its own.
            "poison" => vec![AgentMessage::new(letter.message.to(), AgentId::new(), "apology")],
            _ => Vec::new(),
        }
    };
    let orchestrator = orchestrator()
        .with_router(Arc::new(Route(nothing, given_up)))
        .with_connector("fail", Scripted::new().fail_finally("broken"));
    let restarted = config("a", "fail").with_restart(RestartPolicy::OnFailure);
    let a = orchestrator.spawn(restarted).await.unwrap();
    send(&orchestrator, a, "poison").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let lines = log.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("poison: it failed in a way"), "{lines:?}");
    assert!(lines[1].starts_with("apology: it was refused"), "{lines:?}");
    assert_eq!(orchestrator.dead_letters().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_router_hears_of_what_was_left_to_a_retired_agent() {
    let log = Log::default();
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let known = registry.clone();
    let given_up = move |letter: &DeadLetter| {
        let heir = known.find("heir").unwrap();
        vec![AgentMessage::new(AgentId::OUTSIDE, heir, letter.message.content())]
    };
    let orchestrator = Orchestrator::new(registry, bus)
        .with_router(Arc::new(Route(nothing, given_up)))
        .with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    spawn(&orchestrator, "heir", "log").await;
    for text in ["one", "two"] {
        send(&orchestrator, a, text).await;
    }
    orchestrator.retire(a).await.unwrap();
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["one", "two"]);
    assert_eq!(orchestrator.dead_letters().len(), 2);
}

/// Seen: a router that answered each refusal with another message that was refused kept its thread
/// for ever.
#[tokio::test(start_paused = true)]
async fn a_router_that_never_gives_up_is_not_asked_for_ever() {
    let again =
        |letter: &DeadLetter| vec![AgentMessage::new(letter.message.to(), AgentId::new(), "again")];
    let orchestrator = orchestrator()
        .with_router(Arc::new(Route(nothing, again)))
        .with_connector("fail", Scripted::new().fail_finally("broken"));
    let a = spawn(&orchestrator, "a", "fail").await;
    send(&orchestrator, a, "x").await;
    assert!(matches!(run(&orchestrator).await, StopReason::AgentError { .. }));
    let n_letters = orchestrator.dead_letters().len();
    assert!(n_letters <= 1_100, "{n_letters}");
    send(&orchestrator, a, "y").await;
    orchestrator.retire(a).await.unwrap();
    assert!(orchestrator.dead_letters().len() <= 2_200);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_panics_loses_its_messages_and_nothing_else() {
    let panics = |_: AgentId, _: &AgentMessage, _: Option<&Content>| -> Vec<AgentMessage> {
        panic!("a router")
    };
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_router(Arc::new(Route(panics, |_: &DeadLetter| Vec::new())))
        .with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    send(&orchestrator, a, "y").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["x", "y"]);
}

/// A router's message waits for room without the slot; at a stop it is refused, once: it is a dead
/// letter and in no mailbox.
#[tokio::test(start_paused = true)]
async fn what_the_router_sends_waits_for_room_and_is_refused_at_a_cut() {
    for stops in [false, true] {
        let log = Log::default();
        let small = MessageBus::with_limits(BusLimits::default().with_lane_capacity(1));
        let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(small));
        let known = registry.clone();
        let settled = move |agent: AgentId, message: &AgentMessage, _: Option<&Content>| {
            let b = known.find("b").unwrap();
            if agent == b {
                Vec::new()
            } else {
                vec![AgentMessage::new(agent, b, message.content())]
            }
        };
        let orchestrator = Orchestrator::new(registry, bus)
            .with_max_concurrency(1)
            .with_router(Arc::new(Route(settled, |_: &DeadLetter| Vec::new())))
            .with_connector("ok", function(|_: Context| async {}))
            .with_connector("log", log.after(ms(1_000)));
        let a = spawn(&orchestrator, "a", "ok").await;
        let b = spawn(&orchestrator, "b", "log").await;
        send(&orchestrator, b, "first").await;
        let urgent = AgentMessage::new(AgentId::OUTSIDE, a, "routed");
        orchestrator.send(urgent.with_priority(MessagePriority::High)).await.unwrap();
        let stop = async {
            if stops {
                tokio::time::sleep(ms(500)).await;
                orchestrator.stop_now().await.unwrap();
            }
        };
        let (reason, ()) = tokio::join!(run(&orchestrator), stop);
        let letters: Vec<String> =
            orchestrator.dead_letters().iter().map(|it| it.message.content().to_string()).collect();
        if stops {
            assert_eq!((reason, letters), (StopReason::ManualStop, vec!["routed".to_owned()]));
            assert_eq!(queue_depth(&orchestrator).await, 1);
        } else {
            assert_eq!((reason, letters), (StopReason::Completed, vec![]));
            assert_eq!(log.lines(), ["first", "routed"]);
        }
    }
}
