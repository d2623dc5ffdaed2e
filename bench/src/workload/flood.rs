//! An external producer: a thread that is no runtime's worker sends as fast as it can.

use std::sync::Arc;

use orch_core::{AgentId, AgentMessage, MessagePriority};

use super::{EVERY, per_message};
use crate::clock::{Span, Stamp, stop_for_mint};
use crate::done::Done;
use crate::role::{Address, Count, Peer, Role, content};
use crate::scenario::Sample;
use crate::system::System;

const MESSAGES: usize = 200_000;

/// 4/16 Low, 8/16 Normal, 3/16 High, 1/16 Critical.
pub(crate) const MIX: [MessagePriority; 16] = {
    use MessagePriority::{Critical as C, High as H, Low as L, Normal as N};
    [N, L, N, H, N, L, N, C, N, H, N, L, N, H, N, L]
};

/// Which priorities a flood has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Priorities {
    Normal,
    Mixed,
}

pub(crate) fn one<S: System>() -> Sample {
    to_agents::<S>(1, Priorities::Normal)
}

pub(crate) fn many<S: System>() -> Sample {
    to_agents::<S>(1_000, Priorities::Normal)
}

pub(crate) fn mixed<S: System>() -> Sample {
    to_agents::<S>(1, Priorities::Mixed)
}

fn to_agents<S: System>(n_agents: usize, priorities: Priorities) -> Sample {
    // Each agent gets the same number, in the warm-up too.
    let every = EVERY.min((MESSAGES / 10 / n_agents) as u32);
    let flood = Flood { messages: MESSAGES, every, priorities };
    let system = S::new();
    system.block_on(async {
        let done = Done::new();
        let mut agents = Vec::new();
        for _ in 0..n_agents {
            agents.push(counter(&system, every, &done).await);
        }
        system.begin();
        flood.tenth().run(&agents, &done).await;
        per_message(flood.run(&agents, &done).await, MESSAGES)
    })
}

pub(super) async fn counter<S: System>(
    system: &S,
    every: u32,
    done: &Arc<Done>,
) -> Peer<S::Address> {
    Peer { id: AgentId::new(), address: system.spawn(Role::Count(Count::new(every, done))).await }
}

/// The messages come from this thread, some for each agent at once, and all are waited for.
pub(crate) async fn bursts<S: System>(system: &S, n_agents: usize, messages: usize) {
    const EACH: u32 = 10;
    let done = Done::new();
    let mut agents = Vec::new();
    for _ in 0..n_agents {
        agents.push(counter(system, EACH, &done).await);
    }
    system.begin();
    let a_burst = EACH as usize * n_agents;
    for _ in 0..messages / a_burst {
        done.expect(n_agents as u64);
        for agent in agents.iter().cycle().take(a_burst) {
            agent.send(AgentId::OUTSIDE, &content());
        }
        done.wait().await;
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) messages: usize,
    /// What the agents' counters were made with. Divides what each of them gets.
    pub(super) every: u32,
    pub(super) priorities: Priorities,
}

impl Flood {
    pub(super) fn tenth(self) -> Self {
        Self { messages: self.messages / 10, ..self }
    }

    /// Sends the messages round robin, and waits until all are handled. Counts from the first send
    /// to the end of the last handler.
    pub(super) async fn run<A: Address>(self, agents: &[Peer<A>], done: &Done) -> Span {
        done.expect(self.messages as u64 / u64::from(self.every));
        let agents = agents.to_vec();
        let producer = std::thread::Builder::new().name("producer".to_owned());
        let producer =
            producer.spawn(move || self.send_to(&agents)).expect("one more thread can be started");
        let finished = done.wait().await;
        let started = producer.join().expect("sending does not panic");
        started.until(finished)
    }

    fn send_to<A: Address>(self, agents: &[Peer<A>]) -> Stamp {
        stop_for_mint();
        let content = content();
        let started = Stamp::now();
        for (i, agent) in (0..self.messages).zip(agents.iter().cycle()) {
            let message = AgentMessage::new(AgentId::OUTSIDE, agent.id, content.clone());
            agent.address.send(match self.priorities {
                Priorities::Normal => message,
                Priorities::Mixed => message.with_priority(MIX[i % MIX.len()]),
            });
        }
        started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_the_one_that_is_promised() {
        let share = |priority| MIX.iter().filter(|it| **it == priority).count();
        let shares = MessagePriority::MOST_URGENT_FIRST.map(share);
        assert_eq!(shares, [1, 3, 8, 4]);
    }
}
