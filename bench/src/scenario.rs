//! The scenarios: what each is, and what is measured in it.

use clap::ValueEnum;

/// One row of the goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    One,
    Many,
    Ping,
    Ring,
    Broadcast,
    Spawn,
    Critical,
    Mixed,
    Idle,
    Sleep,
    Growth,
}

/// A figure that each cell of a scenario reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) key: &'static str,
    pub(crate) heading: &'static str,
}

const fn metric(key: &'static str, heading: &'static str) -> Metric {
    Metric { key, heading }
}

const A_MESSAGE: &[Metric] = &[metric("wall", "wall ns"), metric("cpu", "CPU ns")];

/// All that wait for the same nap take the same time; what they use meanwhile differs.
const A_NAP: &[Metric] = &[metric("cpu", "CPU ns"), metric("wall", "wall ns")];

const SPAWN: &[Metric] = &[
    metric("wall", "wall ns"),
    metric("cpu", "CPU ns"),
    metric("idle_bytes", "idle bytes"),
    metric("used_bytes", "used bytes"),
    metric("message", "1st message ns"),
];

const CRITICAL: &[Metric] = &[
    metric("first", "first ns"),
    metric("later", "later ns"),
    metric("low", "first Low ns"),
    metric("drain", "a Low ns"),
];

const IDLE: &[Metric] = &[
    metric("wall", "wall ns"),
    metric("cpu", "CPU ns"),
    metric("alone", "without idle ns"),
    metric("ratio", "with ÷ without"),
];

/// Agents at each point of the growth curve, with the key of its metric.
pub(crate) const GROWTH: [(usize, Metric); 6] = [
    (10, metric("n10", "10")),
    (100, metric("n100", "100")),
    (1_000, metric("n1000", "1,000")),
    (10_000, metric("n10000", "10,000")),
    (100_000, metric("n100000", "100,000")),
    (1_000_000, metric("n1000000", "1,000,000")),
];

const GROWING: &[Metric] =
    &[GROWTH[0].1, GROWTH[1].1, GROWTH[2].1, GROWTH[3].1, GROWTH[4].1, GROWTH[5].1];

impl Scenario {
    pub(crate) const ALL: &[Self] = &[
        Self::Ping,
        Self::Ring,
        Self::Many,
        Self::One,
        Self::Broadcast,
        Self::Spawn,
        Self::Critical,
        Self::Mixed,
        Self::Idle,
        Self::Sleep,
        Self::Growth,
    ];

    /// As one types it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
            Self::Ping => "ping",
            Self::Ring => "ring",
            Self::Broadcast => "broadcast",
            Self::Spawn => "spawn",
            Self::Critical => "critical",
            Self::Mixed => "mixed",
            Self::Idle => "idle",
            Self::Sleep => "sleep",
            Self::Growth => "growth",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::One => "One hot agent, external producer, a message",
            Self::Many => "1,000 agents, external producer, a message",
            Self::Ping => "Ping-pong between two agents, a hop",
            Self::Ring => "Ring of 1,000 agents, a hop",
            Self::Broadcast => "Broadcast from one to 10,000, a delivery",
            Self::Spawn => "Spawn 100,000 agents, an agent",
            Self::Critical => "Critical behind 1,000,000 Low, a receive",
            Self::Mixed => "One hot agent, mixed priorities, a message",
            Self::Idle => "1,000 active agents beside 1,000,000 idle, a message",
            Self::Sleep => "Handlers that sleep 1 ms, 100 agents, a message",
            Self::Growth => "From 10 to 1,000,000 agents, at most 1,000 active, wall ns a message",
        }
    }

    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Spawn => SPAWN,
            Self::Critical => CRITICAL,
            Self::Idle => IDLE,
            Self::Sleep => A_NAP,
            Self::Growth => GROWING,
            _ => A_MESSAGE,
        }
    }

    /// The metric that contenders are compared by.
    pub(crate) fn primary(self) -> Metric {
        match self {
            Self::Growth => GROWING[GROWING.len() - 1],
            _ => self.metrics()[0],
        }
    }
}

/// What one cell measured: a value for each metric of its scenario.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Sample(pub(crate) std::collections::BTreeMap<String, f64>);

impl Sample {
    pub(crate) fn with(mut self, key: &str, value: f64) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_is_listed_once_and_typed_by_its_name() {
        for scenario in Scenario::value_variants() {
            assert_eq!(Scenario::ALL.iter().filter(|it| *it == scenario).count(), 1);
            let typed = scenario.to_possible_value().expect("no scenario is hidden");
            assert_eq!(typed.get_name(), scenario.name());
        }
    }
}
