//! Which events the live part refers to, and which runs are over: what pruning may take.

use std::collections::HashSet;

use orch_core::Timestamp;

use super::State;
use crate::record::Seq;

impl State {
    /// The events that something live is read from. They are never pruned.
    pub(crate) fn referred(&self) -> HashSet<Seq> {
        let mut all: HashSet<Seq> = HashSet::from([self.last]);
        all.extend(self.deliveries.values().map(|it| it.seq));
        all.extend(self.agents.values().map(|it| it.seq));
        all.extend(self.conversations.values().map(|it| it.seq));
        for letter in self.letters.values() {
            all.insert(letter.seq);
            all.extend(letter.accepted);
        }
        for step in self.steps.values() {
            all.insert(step.seq);
            all.extend(step.answered);
            all.extend(step.tool.as_ref().map(|it| it.decided));
        }
        all
    }

    /// The first and the last event of each run that ended before then.
    pub(crate) fn finished_before(&self, before: Timestamp) -> Vec<(Seq, Seq)> {
        let ended = |run: &super::Run| {
            let (last, at) = run.ended?;
            (at < before).then_some((run.first, last))
        };
        self.runs.values().filter_map(ended).collect()
    }
}
