//! `[budget]`: limits on the run, on agents, on their families, and on chains.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SettingsProblem, Usd};
use crate::budget::{Limits, OwnLimits, Unit};

/// Limits as a section of a team file gives them. What is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetLimits {
    /// Money in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money_usd: Option<Usd>,
    /// Tokens, read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Milliseconds from the moment when the account is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Milliseconds of processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Bytes of memory at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Children that live at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u64>,
    /// How many parents may lie above a child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// How many messages of a chain may lie before a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u64>,
    /// Messages of a chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

/// All of `[budget]`. By default nothing is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSettings {
    /// On the whole run.
    pub run: BudgetLimits,
    /// On each agent, without what it spawned.
    pub agent: BudgetLimits,
    /// On each agent with all that it spawned.
    pub subtree: BudgetLimits,
    /// On each chain.
    pub chain: BudgetLimits,
    /// On single agents by name, in place of `agent`, key by key.
    pub agents: BTreeMap<String, BudgetLimits>,
}

impl BudgetLimits {
    /// The limit on one unit.
    #[must_use]
    pub fn get(&self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::MicroUsd => self.money_usd.map(|usd| usd.micros),
            Unit::Tokens => self.tokens,
            Unit::WallMs => self.wall_ms,
            Unit::CpuMs => self.cpu_ms,
            Unit::MemoryBytes => self.memory_bytes,
            Unit::Children => self.children,
            Unit::Depth => self.depth,
            Unit::Hops => self.hops,
            Unit::Messages => self.messages,
        }
    }

    /// As an account takes them.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.with_default(&Self::default())
    }

    /// These, and for what is left out here, those.
    #[must_use]
    pub fn with_default(&self, default: &Self) -> Limits {
        let limit = |unit| Some((unit, self.get(unit).or_else(|| default.get(unit))?));
        let all = Unit::ALL.into_iter().filter_map(limit);
        all.fold(Limits::none(), |limits, (unit, limit)| limits.with(unit, limit))
    }

    fn problems(&self, section: &str, takes: &[Unit]) -> Vec<SettingsProblem> {
        let given = Unit::ALL.into_iter().filter_map(|unit| Some((unit, self.get(unit)?)));
        let problem = |(unit, limit): (Unit, u64)| {
            let message = match limit {
                _ if !takes.contains(&unit) => {
                    format!("is not counted there; put it in [{}]", home(unit))
                }
                0 => "allows nothing; leave it out for no limit".to_owned(),
                u64::MAX => "is no limit; leave it out".to_owned(),
                _ => return None,
            };
            Some(SettingsProblem::new(section, unit.key(), message))
        };
        given.filter_map(problem).collect()
    }
}

/// What is charged to accounts of runs, agents and families.
const OF_AGENTS: [Unit; 7] = [
    Unit::MicroUsd,
    Unit::Tokens,
    Unit::WallMs,
    Unit::CpuMs,
    Unit::MemoryBytes,
    Unit::Children,
    Unit::Depth,
];

/// What is charged to chains.
const OF_CHAINS: [Unit; 4] = [Unit::MicroUsd, Unit::Tokens, Unit::Hops, Unit::Messages];

fn home(unit: Unit) -> &'static str {
    if OF_AGENTS.contains(&unit) { "budget.run" } else { "budget.chain" }
}

impl BudgetSettings {
    /// The limits of one agent, by its name in the team file.
    #[must_use]
    pub fn of_agent(&self, name: &str) -> OwnLimits {
        let agent = match self.agents.get(name) {
            Some(own) => own.with_default(&self.agent),
            None => self.agent.limits(),
        };
        OwnLimits { agent, subtree: self.subtree.limits() }
    }

    /// All that is wrong, section by section.
    #[must_use]
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = self.run.problems("budget.run", &OF_AGENTS);
        problems.extend(self.agent.problems("budget.agent", &OF_AGENTS));
        problems.extend(self.subtree.problems("budget.subtree", &OF_AGENTS));
        problems.extend(self.chain.problems("budget.chain", &OF_CHAINS));
        for (name, limits) in &self.agents {
            problems.extend(limits.problems(&format!("budget.agents.{name}"), &OF_AGENTS));
        }
        problems
    }

    /// Limits that are never reached, because the run has less: not wrong, and worth a warning.
    #[must_use]
    pub fn warnings(&self) -> Vec<SettingsProblem> {
        let sections = [
            ("budget.agent", &self.agent),
            ("budget.subtree", &self.subtree),
            ("budget.chain", &self.chain),
        ];
        let idle = |(section, limits): (&'static str, &BudgetLimits)| {
            let above = |unit: &Unit| self.run.get(*unit) < limits.get(*unit);
            let idle =
                Unit::ALL.into_iter().filter(|unit| self.run.get(*unit).is_some() && above(unit));
            let warning = |unit: Unit| {
                let message = "is never reached: [budget.run] has less";
                SettingsProblem::new(section, unit.key(), message)
            };
            idle.map(warning).collect::<Vec<_>>()
        };
        sections.into_iter().flat_map(idle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> BudgetSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_agent_has_its_own_limits_key_by_key() {
        let settings = read(
            r#"{"agent": {"tokens": 5, "money_usd": 1}, "subtree": {"children": 3},
                "agents": {"coder": {"tokens": 9}}}"#,
        );
        let coder = settings.of_agent("coder");
        let limits = |unit| (coder.agent.get(unit), settings.of_agent("other").agent.get(unit));
        assert_eq!(limits(Unit::Tokens), (Some(9), Some(5)));
        assert_eq!(limits(Unit::MicroUsd), (Some(1_000_000), Some(1_000_000)));
        assert_eq!(coder.subtree.get(Unit::Children), Some(3));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_the_way_out() {
        let settings = read(
            r#"{"run": {"hops": 3, "tokens": 0}, "chain": {"cpu_ms": 5},
                "agents": {"coder": {"messages": 9}}}"#,
        );
        let said: Vec<String> = settings.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "`tokens` in [budget.run] allows nothing; leave it out for no limit",
                "`hops` in [budget.run] is not counted there; put it in [budget.chain]",
                "`cpu_ms` in [budget.chain] is not counted there; put it in [budget.run]",
                "`messages` in [budget.agents.coder] is not counted there; put it in [budget.chain]",
            ]
        );
        assert!(serde_json::from_str::<BudgetSettings>(r#"{"run": {"token": 3}}"#).is_err());
    }

    #[test]
    fn a_limit_above_the_runs_is_told() {
        let settings = read(r#"{"run": {"tokens": 5}, "chain": {"tokens": 6, "hops": 9}}"#);
        let said: Vec<String> = settings.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(said, ["`tokens` in [budget.chain] is never reached: [budget.run] has less"]);
        assert_eq!(settings.problems(), []);
    }

    #[test]
    fn settings_read_back_equal() {
        let settings = read(r#"{"run": {"money_usd": "2.5"}, "agents": {"a": {"depth": 2}}}"#);
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(read(&json), settings);
    }
}
