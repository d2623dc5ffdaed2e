//! What all cells of a run measured, and how to compare it.

use serde::{Serialize, Serializer};

use super::machine::Machine;
use super::stats::Spread;
use crate::contenders::{self, Contender};
use crate::scenario::{Sample, Scenario};

#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) rounds: Vec<Round>,
    pub(super) cells: Vec<Cell>,
    /// Who is compared with the others, if it was chosen.
    #[serde(skip)]
    pub(super) ours: Option<String>,
}

/// One round of one scenario.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    #[serde(serialize_with = "name")]
    pub(super) scenario: Scenario,
    pub(super) round: u32,
    /// Cores that others kept busy before it.
    pub(super) others: f64,
    pub(super) is_noisy: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Cell {
    #[serde(serialize_with = "name")]
    pub(super) scenario: Scenario,
    pub(super) contender: &'static str,
    pub(super) round: u32,
    pub(super) outcome: Result<Sample, String>,
}

fn name<S: Serializer>(scenario: &Scenario, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scenario.name())
}

impl Results {
    pub(super) fn scenarios(&self) -> Vec<Scenario> {
        let has = |scenario: &Scenario| self.cells.iter().any(|cell| cell.scenario == *scenario);
        Scenario::ALL.iter().copied().filter(has).collect()
    }

    /// Who took part, ours first.
    pub(super) fn contenders(&self, scenario: Scenario) -> Vec<Contender> {
        let took_part = |it: &Contender| self.cells_of(scenario, it.name).next().is_some();
        contenders::all().filter(took_part).collect()
    }

    /// The one that the others are compared with.
    pub(super) fn ours(&self, scenario: Scenario) -> Option<&'static str> {
        let contenders = self.contenders(scenario);
        let is_chosen = |it: &&Contender| match &self.ours {
            Some(name) => it.name == name,
            None => it.is_ours,
        };
        contenders.iter().find(is_chosen).map(|it| it.name)
    }

    pub(super) fn cells_of(
        &self,
        scenario: Scenario,
        contender: &str,
    ) -> impl Iterator<Item = &Cell> {
        let all = self.cells.iter();
        all.filter(move |cell| cell.scenario == scenario && cell.contender == contender)
    }

    /// A metric over all rounds.
    pub(super) fn spread(&self, scenario: Scenario, contender: &str, key: &str) -> Option<Spread> {
        let cells = self.cells_of(scenario, contender);
        Spread::of(cells.filter_map(|cell| cell.value(key)).collect())
    }

    /// How many times the figure of `other` that of `one` is: the ratios of each round in which
    /// both have one.
    pub(super) fn ratio(
        &self,
        scenario: Scenario,
        key: &str,
        one: &str,
        other: &str,
    ) -> Option<Spread> {
        let of_round = |cell: &Cell| {
            let others = self.cells_of(scenario, other);
            let same_round =
                others.filter(|it| it.round == cell.round).find_map(|it| it.value(key));
            Some(cell.value(key)? / same_round?)
        };
        Spread::of(self.cells_of(scenario, one).filter_map(of_round).collect())
    }
}

impl Cell {
    pub(super) fn value(&self, key: &str) -> Option<f64> {
        self.outcome.as_ref().ok()?.get(key)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::harness::machine;

    /// Wall times of `orchestrator` and of `mailbox`, a pair for each round; `None` failed.
    pub(in crate::harness) fn results(rounds: &[(f64, Option<f64>)]) -> Results {
        let mut results = Results {
            machine: machine::describe("none"),
            rounds: Vec::new(),
            cells: Vec::new(),
            ours: None,
        };
        for (round, (ours, other)) in (1..).zip(rounds) {
            let scenario = Scenario::One;
            results.rounds.push(Round { scenario, round, others: 0.0, is_noisy: round == 2 });
            let sample = |wall| Sample::default().with("wall", wall).with("cpu", 2.0 * wall);
            let other = other.map(sample).ok_or_else(|| "exit status: 101: lost".to_owned());
            for (contender, outcome) in [("orchestrator", Ok(sample(*ours))), ("mailbox", other)] {
                results.cells.push(Cell { scenario, contender, round, outcome });
            }
        }
        results
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // Every figure of the second round is ten times that of the first.
        let results = results(&[(50.0, Some(100.0)), (500.0, Some(1_000.0)), (1.0, None)]);
        let ratio = results.ratio(Scenario::One, "wall", "orchestrator", "mailbox");
        assert_eq!(ratio, Some(Spread { low: 0.5, median: 0.5, high: 0.5 }));
    }

    #[test]
    fn the_first_of_ours_is_compared_unless_another_is_chosen() {
        let mut results = results(&[(1.0, Some(1.0))]);
        assert_eq!(results.ours(Scenario::One), Some("orchestrator"));
        results.ours = Some("mailbox".to_owned());
        assert_eq!(results.ours(Scenario::One), Some("mailbox"));
    }
}
