//! What handlers send: full mailboxes, own mailboxes, broadcasts and topics.

use orch_runtime::*;

use crate::support::{Log, config, ms, orchestrator, over, run, send, spawn};

fn small(lane_capacity: u32) -> MessageBus {
    MessageBus::with_limits(BusLimits::default().with_lane_capacity(lane_capacity))
}

/// With one slot the receiver can make room only if the sender does not keep the slot while it
/// waits.
#[tokio::test(start_paused = true)]
async fn a_send_to_a_full_mailbox_frees_the_only_slot() {
    let log = Log::default();
    let orchestrator = over(small(1))
        .with_max_concurrency(1)
        .with_connector("log", log.after(ms(10)))
        .with_connector(
            "flood",
            function(|ctx: Context| async move {
                for n in 0..5 {
                    ctx.send(ctx.find("b").unwrap(), n.to_string()).await?;
                }
                Ok::<_, HostError>(())
            }),
        );
    let a = spawn(&orchestrator, "a", "flood").await;
    spawn(&orchestrator, "b", "log").await;
    send(&orchestrator, a, "go").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_send_into_ones_own_full_lane_is_refused_at_once() {
    let log = Log::default();
    let said = log.clone();
    let orchestrator = over(small(2)).with_connector(
        "self",
        function(move |ctx: Context| {
            let log = said.clone();
            async move {
                if ctx.content() != "go" {
                    return;
                }
                // The message that is handled holds one of the two places.
                ctx.send(ctx.agent(), "one").await.expect("there is a place");
                match ctx.send(ctx.agent(), "two").await {
                    Err(HostError::NotAccepted { message, transient, .. }) => {
                        log.push(format!("{} {transient}", message.content()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }),
    );
    let a = spawn(&orchestrator, "a", "self").await;
    send(&orchestrator, a, "go").await;
    let started = tokio::time::Instant::now();
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(started.elapsed(), ms(0));
    assert_eq!(log.lines(), ["two true"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_is_in_its_name_and_its_chain() {
    let log = Log::default();
    let said = log.clone();
    let orchestrator = orchestrator()
        .with_connector(
            "forge",
            function(|ctx: Context| async move {
                let b = ctx.find("b").unwrap();
                let forged = AgentMessage::new(AgentId::new(), b, "hello");
                ctx.send_message(forged).await.map(|_| ())
            }),
        )
        .with_connector(
            "look",
            function(move |ctx: Context| {
                let message = ctx.message();
                let from_a = ctx.find("a") == Some(message.from());
                said.push(format!("{from_a} hop {}", message.hop()));
                async {}
            }),
        );
    let a = spawn(&orchestrator, "a", "forge").await;
    spawn(&orchestrator, "b", "look").await;
    send(&orchestrator, a, "go").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["true hop 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_broadcasts_to_all_but_itself_and_publishes_to_a_topic() {
    let log = Log::default();
    let (said, heard) = (log.clone(), log.clone());
    let orchestrator = orchestrator()
        .with_connector(
            "tell",
            function(move |ctx: Context| {
                let log = said.clone();
                async move {
                    if ctx.content() != "go" {
                        return log.push("heard myself");
                    }
                    log.push(format!("told {}", ctx.broadcast("all").await));
                    log.push(format!("published to {}", ctx.publish("news", "some").await));
                }
            }),
        )
        .with_connector(
            "hear",
            function(move |ctx: Context| {
                heard.push(format!("{} round {}", ctx.content(), ctx.message().origin().round));
                async {}
            }),
        );
    let a = spawn(&orchestrator, "a", "tell").await;
    let b = spawn(&orchestrator, "b", "hear").await;
    spawn(&orchestrator, "c", "hear").await;
    orchestrator.bus().subscribe(a, "news");
    orchestrator.bus().subscribe(b, "news");
    send(&orchestrator, a, "go").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let mut lines = log.lines();
    lines.sort();
    let expected = ["all round 1", "all round 1", "published to 1", "some round 1", "told 2"];
    assert_eq!(lines, expected);
}

/// Copies that no mailbox takes are dead letters, and counted as such.
#[tokio::test(start_paused = true)]
async fn a_broadcast_frees_the_slot_and_makes_dead_letters_of_what_is_refused() {
    let log = Log::default();
    let orchestrator = over(small(1))
        .with_max_concurrency(1)
        .with_connector("hang", Scripted::new().hang())
        .with_connector("log", log.after(ms(10)))
        .with_connector(
            "tell",
            function(|ctx: Context| async move {
                ctx.say(&ctx.broadcast("to all").await.to_string());
            }),
        );
    let a = spawn(&orchestrator, "a", "tell").await;
    let b = spawn(&orchestrator, "b", "log").await;
    let stuck = config("c", "hang").with_timeout_ms(40_000).with_max_retries(0);
    let c = orchestrator.spawn(stuck).await.unwrap();
    // All lanes are full: `b` makes room, `c` does not within 30 s.
    send(&orchestrator, b, "first").await;
    send(&orchestrator, c, "first").await;
    let urgent = AgentMessage::new(AgentId::OUTSIDE, a, "go").with_priority(MessagePriority::High);
    orchestrator.send(urgent).await.unwrap();
    let error = "timed out after 40000 ms".to_owned();
    // One slot: `c` keeps it while it hangs, so `b` goes first.
    assert_eq!(run(&orchestrator).await, StopReason::AgentError { agent_id: c, error });
    assert_eq!(log.lines(), ["first", "to all"]);
    let refused: Vec<AgentId> = orchestrator
        .dead_letters()
        .iter()
        .filter(|letter| matches!(letter.reason, DeadLetterReason::Refused { .. }))
        .map(|letter| letter.message.to())
        .collect();
    assert_eq!(refused, [c]);
    assert_eq!(orchestrator.metrics().await.dead_letter_count, 2);
}

#[tokio::test(start_paused = true)]
async fn the_priority_that_an_agent_sends_with_is_that_of_its_configuration() {
    let log = Log::default();
    let said = log.clone();
    let orchestrator = orchestrator()
        .with_connector(
            "send",
            function(|ctx: Context| async move {
                ctx.send(ctx.find("b").unwrap(), "x").await.map(|_| ())
            }),
        )
        .with_connector(
            "look",
            function(move |ctx: Context| {
                said.push(ctx.message().priority().to_string());
                async {}
            }),
        );
    let urgent = config("a", "send").with_send_priority(MessagePriority::Critical);
    let a = orchestrator.spawn(urgent).await.unwrap();
    spawn(&orchestrator, "b", "look").await;
    send(&orchestrator, a, "go").await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["Critical"]);
}
