//! Agents that talk to each other, and agents that sleep.

use std::sync::{Arc, OnceLock};

use orch_core::AgentId;

use super::flood::{Flood, Priorities, counter};
use super::per_message;
use crate::clock::{Span, Stamp};
use crate::done::Done;
use crate::role::{Address, Cast, Circle, Count, Forward, Peer, Role, content};
use crate::scenario::Sample;
use crate::system::{Sleeps, System};

const HOPS: usize = 300_000;

pub(crate) fn ping<S: System>() -> Sample {
    circle::<S>(2)
}

pub(crate) fn ring<S: System>() -> Sample {
    circle::<S>(1_000)
}

fn circle<S: System>(n_agents: usize) -> Sample {
    let system = S::new();
    system.block_on(async {
        go_round(&system, n_agents, HOPS / 10).await;
        per_message(go_round(&system, n_agents, HOPS).await, HOPS)
    })
}

/// One message that is passed round a ring of new agents. Counts from its sending.
pub(crate) async fn go_round<S: System>(system: &S, n_agents: usize, hops: usize) -> Span {
    let (ring, done): (Circle<S::Address>, _) = (Circle::default(), Done::new());
    let laps = (hops / n_agents) as u32;
    let mut agents = Vec::new();
    for at in 0..n_agents {
        let role = Role::Forward(Box::new(Forward::new(laps, &done, &ring, at)));
        agents.push(Peer { id: AgentId::new(), address: system.spawn(role).await });
    }
    let first = agents[0].clone();
    set(&ring, agents);
    system.begin();
    done.expect(n_agents as u64);
    let started = Stamp::now();
    first.send(AgentId::OUTSIDE, &content());
    started.until(done.wait().await)
}

const RECIPIENTS: usize = 10_000;
/// Messages to each recipient.
const CASTS: u32 = 30;
const WARM_UP_CASTS: u32 = 3;

pub(crate) fn broadcast<S: System>() -> Sample {
    let system = S::new();
    system.block_on(async {
        let (circle, done): (Circle<S::Address>, _) = (Circle::default(), Done::new());
        let mut recipients = Vec::new();
        for _ in 0..RECIPIENTS {
            recipients.push(counter(&system, WARM_UP_CASTS, &done).await);
        }
        set(&circle, recipients);
        let caster = Role::Cast(Box::new(Cast::new(&circle)));
        let caster = Peer { id: AgentId::new(), address: system.spawn(caster).await };
        system.begin();
        cast(&caster, WARM_UP_CASTS, &done).await;
        let span = cast(&caster, CASTS, &done).await;
        per_message(span, RECIPIENTS * CASTS as usize)
    })
}

async fn cast<A: Address>(caster: &Peer<A>, casts: u32, done: &Done) -> Span {
    done.expect(RECIPIENTS as u64 * u64::from(casts / WARM_UP_CASTS));
    let started = Stamp::now();
    for _ in 0..casts {
        caster.send(AgentId::OUTSIDE, &content());
    }
    started.until(done.wait().await)
}

/// Handlers that wait: what is measured is how little their waiting costs.
pub(crate) fn sleep<S: Sleeps>() -> Sample {
    const SLEEPERS: usize = 100;
    const NAPS: u32 = 100;
    let system = S::new();
    system.block_on(async {
        let done = Done::new();
        let mut agents = Vec::new();
        for _ in 0..SLEEPERS {
            let address = system.spawn_sleeper(Count::new(NAPS, &done)).await;
            agents.push(Peer { id: AgentId::new(), address });
        }
        system.begin();
        let messages = SLEEPERS * NAPS as usize;
        let flood = Flood { messages, every: NAPS, priorities: Priorities::Normal };
        per_message(flood.run(&agents, &done).await, messages)
    })
}

fn set<A>(circle: &Arc<OnceLock<Vec<Peer<A>>>>, agents: Vec<Peer<A>>) {
    assert!(circle.set(agents).is_ok(), "peers are told once");
}
