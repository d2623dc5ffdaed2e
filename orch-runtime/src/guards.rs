//! The three counts that stop a run. Pure: the time guard is a deadline that the driver keeps.
//!
//! A hand-out has a round: 1 + the larger of the agent's last round and the round in which the
//! handler ran that sent the message. The highest round is the length of the longest chain of work;
//! there is no barrier and no clock in it. A retry is another attempt at the same hand-out: it keeps
//! its round, and is not another message.
//!
//! A run that follows one that was cut off goes on with its counts, or a limit would be passed by
//! crashing: rounds of all runs since the first of them are its own.

use orch_core::{LoopGuard, Origin};

/// Counts against the limits of one run.
#[derive(Debug)]
pub(crate) struct Guards {
    limit: LoopGuard,
    /// The first run whose rounds count; this one, unless it goes on where others were cut off.
    since: u64,
    run: u64,
}

/// What the guards count of one agent, in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentCounts {
    pub(crate) last_round: u64,
    /// Messages that were handed out to it.
    pub(crate) messages: u64,
}

/// What the guards say to a hand-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// It may be handed out, in this round, and is counted.
    HandOut { round: u64 },
    /// It would be above `max_iterations`. Others may not be.
    AboveIterations { round: u64 },
    /// It would be one message more than `max_messages_per_agent`: the run stops.
    TooManyMessages { count: u64 },
}

impl Guards {
    pub(crate) fn new(limit: LoopGuard, run: u64) -> Self {
        Self { limit, since: run, run }
    }

    /// Counts the rounds of all runs from `since` on as this one's.
    pub(crate) fn going_on_since(mut self, since: u64) -> Self {
        self.since = since.min(self.run);
        self
    }

    pub(crate) fn limit(&self) -> &LoopGuard {
        &self.limit
    }

    /// Decides on a message from `origin` for the agent with `counts`.
    pub(crate) fn admit(&self, counts: &mut AgentCounts, origin: Origin) -> Admit {
        let counts_here = (self.since..=self.run).contains(&origin.run);
        let sent_in = if counts_here { origin.round } else { 0 };
        let round = counts.last_round.max(sent_in).saturating_add(1);
        if above(round, self.limit.max_iterations) {
            return Admit::AboveIterations { round };
        }
        if above(counts.messages.saturating_add(1), self.limit.max_messages_per_agent) {
            return Admit::TooManyMessages { count: counts.messages };
        }
        counts.last_round = round;
        counts.messages = counts.messages.saturating_add(1);
        Admit::HandOut { round }
    }
}

impl Guards {
    /// Decides on a message that a cut-off run had handed out in this round: it was counted then.
    pub(crate) fn admit_again(&self, round: u64) -> Admit {
        // The limit may be another one now.
        if above(round, self.limit.max_iterations) {
            return Admit::AboveIterations { round };
        }
        Admit::HandOut { round }
    }
}

/// The maximum of the type means no limit.
fn above(figure: u64, limit: u32) -> bool {
    limit != u32::MAX && figure > u64::from(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_guard_is_passed_by_one(
            max_iterations in 0_u32..12,
            max_messages in 0_u32..12,
            messages in prop::collection::vec((0_usize..3, 0_u64..14, any::<bool>()), 0..60),
        ) {
            let limit = LoopGuard {
                max_iterations,
                max_messages_per_agent: max_messages,
                max_execution_time_ms: u64::MAX,
            };
            let guards = Guards::new(limit, 7);
            let mut counts = [AgentCounts::default(); 3];
            // The model: for each agent, the rounds that it was handed out in.
            let mut rounds: [Vec<u64>; 3] = Default::default();
            for (agent, round, of_this_run) in messages {
                let origin = Origin { run: if of_this_run { 7 } else { 6 }, round };
                let sent_in = if of_this_run { round } else { 0 };
                let expected = 1 + sent_in.max(rounds[agent].last().copied().unwrap_or(0));
                match guards.admit(&mut counts[agent], origin) {
                    Admit::HandOut { round } => {
                        prop_assert_eq!(round, expected);
                        rounds[agent].push(round);
                        prop_assert!(round <= u64::from(max_iterations));
                        prop_assert!(rounds[agent].len() <= max_messages as usize);
                    }
                    Admit::AboveIterations { round } => {
                        prop_assert_eq!(round, expected);
                        prop_assert!(round > u64::from(max_iterations));
                    }
                    Admit::TooManyMessages { count } => {
                        prop_assert_eq!(count as usize, rounds[agent].len());
                        prop_assert_eq!(count, u64::from(max_messages));
                    }
                }
            }
        }
    }

    #[test]
    fn rounds_of_runs_that_were_cut_off_count_in_the_one_that_goes_on() {
        let guards = Guards::new(LoopGuard::default(), 7).going_on_since(5);
        for (run, expected) in [(4, 1), (5, 9), (6, 9), (7, 9), (8, 1)] {
            let mut counts = AgentCounts::default();
            let admitted = guards.admit(&mut counts, Origin { run, round: 8 });
            assert_eq!(admitted, Admit::HandOut { round: expected }, "sent in run {run}");
        }
    }

    #[test]
    fn the_maximum_of_a_type_is_no_limit() {
        let guards = Guards::new(LoopGuard::unlimited(), 1);
        let mut counts = AgentCounts { last_round: u64::from(u32::MAX), messages: u64::MAX };
        let admitted = guards.admit(&mut counts, Origin::default());
        assert_eq!(admitted, Admit::HandOut { round: u64::from(u32::MAX) + 1 });
    }
}
