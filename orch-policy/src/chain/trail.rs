//! The agents that a chain went through, in bounded memory.

use std::fmt;

use orch_core::AgentId;
use serde::{Deserialize, Serialize};

/// How many of the last agents are kept.
const RECENT: usize = 8;

/// The agents that a message's path went through: the first, and the last eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    first: AgentId,
    /// The agent at hop `h` stands at `h % RECENT`, unless a later one does.
    recent: [AgentId; RECENT],
    hops: u64,
}

impl Trail {
    pub(super) const fn new(first: AgentId) -> Self {
        Self { first, recent: [first; RECENT], hops: 0 }
    }

    #[inline]
    pub(super) const fn push(&mut self, agent: AgentId) {
        self.hops = self.hops.saturating_add(1);
        self.recent[place(self.hops)] = agent;
    }

    /// One hop further.
    pub(super) const fn then(&self, agent: AgentId) -> Self {
        let mut next = *self;
        next.push(agent);
        next
    }

    /// How many messages lie before the last one.
    #[must_use]
    pub const fn hops(&self) -> u64 {
        self.hops
    }

    /// The agent that the last message is for.
    #[must_use]
    pub const fn last(&self) -> AgentId {
        self.recent[place(self.hops)]
    }

    /// The agent that the first message was for.
    #[must_use]
    pub const fn first(&self) -> AgentId {
        self.first
    }

    /// The last agents, eight at most, the last one last.
    pub fn recent(&self) -> impl Iterator<Item = AgentId> {
        let oldest = (self.hops + 1).saturating_sub(RECENT as u64);
        (oldest..=self.hops).map(|hop| self.recent[place(hop)])
    }
}

const fn place(hop: u64) -> usize {
    (hop % RECENT as u64) as usize
}

/// `a → b → c`, or `a → … → b → c` if some are not kept.
impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = (self.hops + 1).saturating_sub(RECENT as u64);
        if left_out > 0 {
            write!(f, "{} → ", self.first)?;
        }
        if left_out > 1 {
            f.write_str("… → ")?;
        }
        self.recent().enumerate().try_for_each(|(index, agent)| {
            let arrow = if index == 0 { "" } else { " → " };
            write!(f, "{arrow}{agent}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_eight_are_shown() {
        let agents: Vec<AgentId> = (0..12).map(|_| AgentId::new()).collect();
        let show = |agents: &[AgentId]| {
            agents.iter().map(AgentId::to_string).collect::<Vec<_>>().join(" → ")
        };
        let mut trail = Trail::new(agents[0]);
        for n in 1..12 {
            trail = trail.then(agents[n]);
            assert_eq!((trail.hops(), trail.last()), (n as u64, agents[n]));
            let expected = match n + 1 {
                0..=8 => show(&agents[..=n]),
                9 => format!("{} → {}", agents[0], show(&agents[1..=n])),
                _ => format!("{} → … → {}", agents[0], show(&agents[n - 7..=n])),
            };
            assert_eq!(trail.to_string(), expected);
        }
    }
}
