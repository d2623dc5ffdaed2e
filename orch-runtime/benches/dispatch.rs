//! How fast the whole orchestrator hands out messages to `function` agents: registry, policy,
//! guards, metrics and retries on.
//!
//! `cargo xtask bench [ROUNDS]`. The contenders of a comparison are interleaved in each round, and
//! the ratio is taken within a round, because the machine is shared and noisy; medians are printed.

#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use orch_runtime::*;
use tokio::time::Instant;

/// Messages of each measurement.
const MESSAGES: usize = 100_000;

type Bad = Box<dyn Error>;

fn main() -> Result<(), Bad> {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(9);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    runtime.block_on(async {
        report_many(rounds).await?;
        report_neighbours(rounds).await?;
        report_ping(rounds).await
    })
}

/// 100,000 messages through 1,000 agents, from the first send to the end of the run.
async fn report_many(rounds: usize) -> Result<(), Bad> {
    let mut totals = Vec::new();
    for _ in 0..rounds {
        let (orchestrator, agents) = team(1_000).await?;
        let started = Instant::now();
        queue(&orchestrator, &agents).await?;
        run(&orchestrator).await?;
        totals.push(started.elapsed());
    }
    let total = median(totals);
    println!(
        "1,000 agents, {MESSAGES} messages sent and handled: {total:?} ({} ns a message)",
        per_message(total)
    );
    Ok(())
}

/// One busy agent alone, and the same with 100,000 idle ones beside it. What a start costs where
/// nothing waits is told apart: it is paid once a run, not once a message.
async fn report_neighbours(rounds: usize) -> Result<(), Bad> {
    let (alone, one) = team(1).await?;
    let (crowded, many) = team(100_001).await?;
    let (mut alones, mut crowdeds, mut starts, mut ratios) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        queue(&alone, &one).await?;
        let by_itself = run(&alone).await?;
        let start = run(&crowded).await?;
        queue(&crowded, &many[..1]).await?;
        let in_a_crowd = run(&crowded).await?.saturating_sub(start);
        ratios.push(in_a_crowd.as_secs_f64() / by_itself.as_secs_f64());
        alones.push(by_itself);
        crowdeds.push(in_a_crowd);
        starts.push(start);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "one agent alone: {} ns a message; with 100,000 idle neighbours: {} ns; ratio {:.2} (quartiles {:.2} to {:.2})",
        per_message(median(alones)),
        per_message(median(crowdeds)),
        ratios[rounds / 2],
        ratios[rounds / 4],
        ratios[rounds * 3 / 4],
    );
    println!("a start beside 100,000 idle agents, nothing waiting: {:?}", median(starts));
    Ok(())
}

/// Two agents that answer each other.
async fn report_ping(rounds: usize) -> Result<(), Bad> {
    let mut totals = Vec::new();
    for _ in 0..rounds {
        let orchestrator = orchestrator().with_connector("ping", function(ping));
        let config = |name: &str| AgentConfig::new(name.into(), AgentRole::Worker, "ping".into());
        let a = orchestrator.spawn(config("a")).await?;
        orchestrator.spawn(config("b")).await?;
        let first = AgentMessage::new(AgentId::OUTSIDE, a, "0").with_metadata("hops", "0");
        orchestrator.send(first).await?;
        totals.push(run(&orchestrator).await?);
    }
    println!("ping-pong: {} ns a hop", per_message(median(totals)));
    Ok(())
}

async fn ping(ctx: Context) -> Result<(), HostError> {
    if (ctx.message().hop() as usize) < MESSAGES {
        let other = if ctx.message().hop().is_multiple_of(2) { "b" } else { "a" };
        let other = ctx.find(other).expect("both were spawned");
        ctx.send(other, ctx.content()).await?;
    }
    Ok(())
}

fn orchestrator() -> Orchestrator {
    Orchestrator::new(
        Arc::new(AgentRegistry::new()),
        Arc::new(MessageBus::with_limits(BusLimits::default().with_lane_capacity(u32::MAX))),
    )
    .with_loop_guard(LoopGuard::unlimited())
}

async fn team(n: usize) -> Result<(Orchestrator, Vec<AgentId>), Bad> {
    let orchestrator = orchestrator().with_connector("nothing", function(|_: Context| async {}));
    let mut agents = Vec::with_capacity(n);
    for i in 0..n {
        let config =
            AgentConfig::new(format!("agent-{i}"), AgentRole::Worker, "nothing".to_owned());
        agents.push(orchestrator.spawn(config).await?);
    }
    Ok((orchestrator, agents))
}

async fn queue(orchestrator: &Orchestrator, agents: &[AgentId]) -> Result<(), Bad> {
    for i in 0..MESSAGES {
        let to = agents[i % agents.len()];
        orchestrator.send(AgentMessage::new(AgentId::OUTSIDE, to, "a message")).await?;
    }
    Ok(())
}

async fn run(orchestrator: &Orchestrator) -> Result<Duration, Bad> {
    let started = Instant::now();
    let reason = orchestrator.start().await?;
    assert_eq!(reason, StopReason::Completed);
    Ok(started.elapsed())
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

fn per_message(total: Duration) -> u128 {
    total.as_nanos() / MESSAGES as u128
}
