//! `[guards]` beyond the three counts: loops, rings, and what a limit leads to.

use serde::{Deserialize, Serialize};

use super::{BudgetLimits, BudgetSettings, SettingsProblem};
use crate::budget::{Amounts, Kind, Limits, Unit};
use crate::chain::ProgressLimits;

/// What happens when a guard trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The run stops.
    #[default]
    Stop,
    /// The flow gets one last turn without tools, within the reserve; its answer is partial.
    Finalise,
}

/// What `[guards]` says beside the three counts of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardSettings {
    /// Loops without a change. On by default.
    pub no_progress: ProgressLimits,
    /// Whether an ask that closes a ring fails at once. On by default.
    pub rings: bool,
    /// What happens when a guard trips.
    pub on_limit: OnLimit,
    /// What is kept back from the budget of the run for the last turn: tokens, money.
    pub reserve: BudgetLimits,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            no_progress: ProgressLimits::default(),
            rings: true,
            on_limit: OnLimit::default(),
            reserve: BudgetLimits::default(),
        }
    }
}

impl GuardSettings {
    /// What the run may spend before its last turn, and what is kept for that. The two together are
    /// what `[budget.run]` says.
    #[must_use]
    pub fn set_aside(&self, budget: &BudgetSettings) -> (Limits, Amounts) {
        let limits = budget.run.limits();
        if self.on_limit == OnLimit::Stop {
            return (limits, Amounts::ZERO);
        }
        let kept =
            sums().filter_map(|unit| Some((unit, limits.get(unit)?, self.reserve.get(unit)?)));
        kept.fold((limits, Amounts::ZERO), |(limits, kept), (unit, limit, reserve)| {
            let reserve = reserve.min(limit);
            (limits.with(unit, limit - reserve), kept.with(unit, reserve))
        })
    }

    /// All that is wrong, given the budget that they stand beside.
    #[must_use]
    pub fn problems(&self, budget: &BudgetSettings) -> Vec<SettingsProblem> {
        let mut problems = self.progress_problems();
        let given = Unit::ALL.into_iter().filter(|unit| self.reserve.get(*unit).is_some());
        problems.extend(given.filter_map(|unit| self.reserve_problem(unit, budget)));
        let keeps_nothing = self.reserve == BudgetLimits::default();
        let is_limited = sums().any(|unit| budget.run.get(unit).is_some());
        if self.on_limit == OnLimit::Finalise && keeps_nothing && is_limited {
            let message = "is \"finalise\", and nothing is kept for it; say how much in `reserve`";
            problems.push(SettingsProblem::new("guards", "on_limit", message));
        }
        problems
    }

    fn progress_problems(&self) -> Vec<SettingsProblem> {
        let ProgressLimits { warn, stop } = self.no_progress;
        let wrong = |key: &str, message: &str| {
            SettingsProblem::new("guards", format!("no_progress.{key}"), message)
        };
        let mut problems = Vec::new();
        for (key, laps) in [("warn", warn), ("stop", stop)] {
            if laps < 2 {
                problems.push(wrong(key, "is less than 2; a single lap repeats nothing"));
            }
        }
        if stop < warn && warn != u32::MAX {
            problems.push(wrong("warn", "is more than `stop`, so nothing would ever warn"));
        }
        problems
    }

    fn reserve_problem(&self, unit: Unit, budget: &BudgetSettings) -> Option<SettingsProblem> {
        let key = format!("reserve.{}", unit.key());
        let wrong = |message: &str| Some(SettingsProblem::new("guards", key, message));
        match (budget.run.get(unit), self.reserve.get(unit)) {
            _ if !sums().any(|it| it == unit) => {
                wrong("is not kept back; there are `tokens` and `money_usd`")
            }
            (None, _) => wrong("is kept back from nothing; [budget.run] has no such limit"),
            (Some(limit), Some(reserve)) if limit <= reserve => {
                wrong("is all that [budget.run] allows; keep less")
            }
            _ if self.on_limit == OnLimit::Stop => {
                wrong("is never used; say `on_limit = \"finalise\"`")
            }
            _ => None,
        }
    }
}

/// What a turn spends that can be kept back for it.
fn sums() -> impl Iterator<Item = Unit> {
    let of_turns = |unit: &Unit| matches!(unit, Unit::Tokens | Unit::MicroUsd);
    Unit::ALL.into_iter().filter(|unit| unit.kind() == Kind::Sum).filter(of_turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(json: &str) -> BudgetSettings {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(guards: &str, of: &str, expected: &[&str]) {
        let guards: GuardSettings = serde_json::from_str(guards).unwrap();
        let said: Vec<String> =
            guards.problems(&budget(of)).iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn the_defaults_warn_and_then_stop_and_find_rings() {
        let guards = GuardSettings::default();
        assert_eq!((guards.no_progress.warn, guards.no_progress.stop), (3, 5));
        assert!(guards.rings);
        check("{}", "{}", &[]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(
            r#"{"no_progress": {"warn": 6, "stop": 1}}"#,
            "{}",
            &[
                "`no_progress.stop` in [guards] is less than 2; a single lap repeats nothing",
                "`no_progress.warn` in [guards] is more than `stop`, so nothing would ever warn",
            ],
        );
        check(
            r#"{"reserve": {"tokens": 5, "hops": 2, "money_usd": 1}, "on_limit": "finalise"}"#,
            r#"{"run": {"tokens": 5}}"#,
            &[
                "`reserve.tokens` in [guards] is all that [budget.run] allows; keep less",
                "`reserve.money_usd` in [guards] is kept back from nothing; [budget.run] has no such \
                 limit",
                "`reserve.hops` in [guards] is not kept back; there are `tokens` and `money_usd`",
            ],
        );
        check(
            r#"{"reserve": {"tokens": 4}}"#,
            r#"{"run": {"tokens": 5}}"#,
            &["`reserve.tokens` in [guards] is never used; say `on_limit = \"finalise\"`"],
        );
        check(
            r#"{"on_limit": "finalise"}"#,
            r#"{"run": {"tokens": 5}}"#,
            &[
                "`on_limit` in [guards] is \"finalise\", and nothing is kept for it; say how much in \
               `reserve`",
            ],
        );
    }

    #[test]
    fn the_reserve_and_the_rest_are_the_limit() {
        let guards: GuardSettings =
            serde_json::from_str(r#"{"on_limit": "finalise", "reserve": {"tokens": 2}}"#).unwrap();
        let (limits, kept) = guards.set_aside(&budget(r#"{"run": {"tokens": 5, "cpu_ms": 9}}"#));
        assert_eq!((limits.get(Unit::Tokens), kept.get(Unit::Tokens)), (Some(3), 2));
        assert_eq!(limits.get(Unit::CpuMs), Some(9));
    }
}
