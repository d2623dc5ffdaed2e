//! A coordinator gives two workers their tasks, and puts their answers together.
//!
//! One worker is flaky, so a retry can be seen; an urgent message overtakes what waits. Run it with
//! `cargo run -p orch-runtime --example coordination`.

use std::sync::Arc;
use std::time::Duration;

use orch_runtime::*;

/// How long the coordinator waits for an answer, retries included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks both workers at once. While it waits, its slot is free for them.
async fn coordinate(ctx: Context) -> Result<String, Failure> {
    let worker = |name| ctx.find(name).ok_or(Failure::last(format!("there is no {name}")));
    let (researcher, writer) = (worker("researcher")?, worker("writer")?);
    let topic = ctx.content();
    let (facts, title) = tokio::join!(
        ctx.ask(researcher, format!("facts about {topic}"), PATIENCE),
        ctx.ask(writer, format!("a title for {topic}"), PATIENCE),
    );
    // A `HostError` becomes a failure of this attempt: tried again if that can help.
    Ok(format!("{}: {}", title?, facts?))
}

/// Fails the first attempt at each message, as a busy provider does.
async fn research(ctx: Context) -> Result<String, Failure> {
    if ctx.attempt() == 1 {
        return Err(Failure::transient("the search engine is busy"));
    }
    ctx.report_usage(Usage { input_tokens: 120, output_tokens: 30, ..Usage::default() });
    Ok(format!("three {}", ctx.content()))
}

/// Takes a moment, so that messages wait for it.
async fn write(ctx: Context) -> String {
    tokio::time::sleep(Duration::from_millis(50)).await;
    ctx.content().replace("a title for", "On")
}

/// Prints what happens; everything observable comes through here.
struct Print;

impl Observer for Print {
    fn on_event(&self, event: &Event) {
        match &event.kind {
            EventKind::RetryScheduled { attempt, error, .. } => {
                println!("attempt {attempt} failed: {error}");
            }
            EventKind::Settled { output: Some(output), .. } => println!("answer: {output}"),
            EventKind::Stopped { reason, .. } => println!("the run has ended: {reason}"),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Arc::new(AgentRegistry::new());
    let bus = Arc::new(MessageBus::new());
    let orchestrator = Orchestrator::new(registry, bus)
        // At most ten hops from a message to its last consequence, and two minutes in all.
        .with_loop_guard(LoopGuard {
            max_iterations: 10,
            max_messages_per_agent: 50,
            max_execution_time_ms: 120_000,
        })
        .with_observer(Arc::new(Print))
        .with_connector("coordinate", function(coordinate))
        .with_connector("research", function(research))
        .with_connector("write", function(write));

    // `spawn` registers an agent and creates its mailbox, if the agent can run.
    let agent = |name: &str, role, connector: &str| {
        AgentConfig::new(name.to_owned(), role, connector.to_owned())
    };
    let coordinator = agent("coordinator", AgentRole::Coordinator, "coordinate");
    let coordinator = orchestrator.spawn(coordinator).await?;
    let flaky = agent("researcher", AgentRole::Worker, "research").with_max_retries(2);
    orchestrator.spawn(flaky).await?;
    let writer = orchestrator.spawn(agent("writer", AgentRole::Worker, "write")).await?;

    // Two titles wait for the writer; the urgent one, sent last, is written first.
    let from_outside = |to, text: &str| AgentMessage::new(AgentId::OUTSIDE, to, text);
    orchestrator.send(from_outside(writer, "a title for slow trains")).await?;
    let urgent = from_outside(writer, "a title for breaking news");
    orchestrator.send(urgent.with_priority(MessagePriority::Critical)).await?;
    orchestrator.send(from_outside(coordinator, "mailboxes")).await?;

    // Returns when every message is handled, or a guard trips.
    let reason = orchestrator.start().await?;

    let metrics = orchestrator.metrics().await;
    println!("\nstopped because: {reason}");
    println!("messages handled: {}", metrics.total_messages);
    println!("longest chain: {} rounds", metrics.total_iterations);
    println!("retries: {}, errors: {}", metrics.retry_count, metrics.error_count);
    println!("tokens: {}", metrics.usage.total_tokens());
    for letter in orchestrator.dead_letters() {
        println!("given up: {} ({})", letter.message.content(), letter.reason);
    }
    Ok(())
}
