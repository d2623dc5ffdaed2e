//! Many agents, most of them idle: what one costs, and whether the others feel it.

use std::time::Duration;

use super::flood::{Flood, Priorities, counter};
use super::{EVERY, per_message};
use crate::clock::Stamp;
use crate::done::Done;
use crate::memory;
use crate::role::Peer;
use crate::scenario::{GROWTH, Sample};
use crate::system::System;

const ACTIVE_MAX: usize = 1_000;
const MESSAGES: usize = 200_000;

/// To agents that count to [`EVERY`]: 200,000 messages are 200 for each of 1,000.
const FLOOD: Flood = Flood { messages: MESSAGES, every: EVERY, priorities: Priorities::Normal };

pub(crate) fn spawn<S: System>() -> Sample {
    const AGENTS: usize = 100_000;
    const WARM_UP: usize = 1_000;
    let system = S::new();
    system.block_on(async {
        let done = Done::new();
        let mut agents = Vec::new();
        for _ in 0..WARM_UP {
            agents.push(counter(&system, 1, &done).await);
        }
        system.begin();
        let each_once = Flood { messages: WARM_UP, every: 1, ..FLOOD };
        each_once.run(&agents, &done).await;

        // The list of addresses is the sender's; it is in memory before anything is counted.
        let mut crowd: Vec<Option<Peer<S::Address>>> = vec![None; AGENTS];
        let memory_before = memory::resident();
        let started = Stamp::now();
        for place in &mut crowd {
            *place = Some(counter(&system, 1, &done).await);
        }
        let spawned = started.until(Stamp::now());
        settle().await;
        let settled = started.until(Stamp::now());
        let memory_idle = memory::resident();

        let crowd: Vec<_> = crowd.into_iter().flatten().collect();
        let each_once = Flood { messages: AGENTS, every: 1, ..FLOOD };
        let messages = each_once.run(&crowd, &done).await;
        let memory_used = memory::resident();
        let an_agent = |bytes: u64| bytes.saturating_sub(memory_before) as f64 / AGENTS as f64;
        // The CPU time includes what the agents do before they are idle, which may be after this
        // thread has spawned them.
        Sample::default()
            .with("wall", spawned.wall.as_nanos() as f64 / AGENTS as f64)
            .with("cpu", settled.cpu.as_nanos() as f64 / AGENTS as f64)
            .with("idle_bytes", an_agent(memory_idle))
            .with("used_bytes", an_agent(memory_used))
            .with("message", messages.wall.as_nanos() as f64 / AGENTS as f64)
    })
}

pub(crate) fn idle<S: System>() -> Sample {
    const IDLE: usize = 1_000_000;
    let system = S::new();
    system.block_on(async {
        let done = Done::new();
        let mut agents = Vec::new();
        add_agents(&system, &mut agents, ACTIVE_MAX, &done).await;
        system.begin();
        FLOOD.run(&agents, &done).await;
        let alone = FLOOD.run(&agents, &done).await;
        add_agents(&system, &mut agents, ACTIVE_MAX + IDLE, &done).await;
        settle().await;
        let crowded = FLOOD.run(&agents[..ACTIVE_MAX], &done).await;
        per_message(crowded, MESSAGES)
            .with("alone", alone.wall.as_nanos() as f64 / MESSAGES as f64)
            .with("ratio", crowded.wall.as_secs_f64() / alone.wall.as_secs_f64())
    })
}

pub(crate) fn growth<S: System>() -> Sample {
    let system = S::new();
    system.block_on(async {
        let done = Done::new();
        let mut agents = Vec::new();
        let mut sample = Sample::default();
        for (n_agents, metric) in GROWTH {
            add_agents(&system, &mut agents, n_agents, &done).await;
            if sample == Sample::default() {
                system.begin();
                FLOOD.tenth().run(&agents, &done).await;
            }
            settle().await;
            let active = &agents[..n_agents.min(ACTIVE_MAX)];
            let span = FLOOD.run(active, &done).await;
            sample = sample.with(metric.key, span.wall.as_nanos() as f64 / MESSAGES as f64);
        }
        sample
    })
}

async fn add_agents<S: System>(
    system: &S,
    agents: &mut Vec<Peer<S::Address>>,
    until: usize,
    done: &std::sync::Arc<Done>,
) {
    while agents.len() < until {
        agents.push(counter(system, EVERY, done).await);
    }
}

/// New agents do what they do before they are idle. A condition to wait for is not one that all
/// contenders have.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
