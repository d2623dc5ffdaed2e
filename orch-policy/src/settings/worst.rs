//! What a team can spend at most, before anything is spent.

use std::fmt;

use orch_core::LoopGuard;

use super::BudgetSettings;
use crate::budget::{Spend, Unit};

/// What is known of a team before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamFacts {
    /// The three counts.
    pub guard: LoopGuard,
    /// Messages from outside, each of which begins a chain; `None` if nobody knows.
    pub n_chains: Option<u64>,
    /// The agents.
    pub agents: Vec<AgentFacts>,
}

/// What is known of an agent before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFacts {
    /// Its name in the team file.
    pub name: String,
    /// The most that one attempt at a message can spend, where anybody knows.
    pub attempt: Spend,
    /// Attempts at one message: the first one and the retries; `u64::MAX` for no limit.
    pub attempts_max: u64,
    /// Whether it can spawn agents, of which nothing is known.
    pub may_spawn: bool,
}

/// The most that a run can spend of one unit, as long as no worst case is passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worst {
    /// No more than this.
    AtMost {
        /// How much.
        amount: u64,
        /// In what.
        unit: Unit,
        /// What holds it: the lowest of all that do.
        because: String,
    },
    /// Nothing limits it.
    Unbounded {
        /// What is missing; any one of these would do.
        because: Vec<String>,
    },
}

/// The most that a run of this team can spend of `unit`: tokens, money, or processor time.
///
/// The budgets of the run and of all chains together hold it, and so do those of the agents, or else
/// how often they can be called at all; the lowest of these counts.
#[must_use]
pub fn worst_case(budget: &BudgetSettings, team: &TeamFacts, unit: Unit) -> Worst {
    let bounds =
        [of_run(budget, unit), of_chains(budget, team, unit), of_agents(budget, team, unit)];
    let mut because = Vec::new();
    let mut lowest: Option<(u64, String)> = None;
    for bound in bounds {
        match bound {
            Ok(bound) if lowest.as_ref().is_none_or(|lowest| bound.0 < lowest.0) => {
                lowest = Some(bound);
            }
            Ok(_) => {}
            Err(reasons) => because.extend(reasons),
        }
    }
    match lowest {
        Some((amount, because)) => Worst::AtMost { amount, unit, because },
        None => Worst::Unbounded { because },
    }
}

/// An amount and what holds it, or what is missing.
type Bound = Result<(u64, String), Vec<String>>;

fn of_run(budget: &BudgetSettings, unit: Unit) -> Bound {
    let limit = budget.run.get(unit);
    let missing = || vec![format!("[budget.run] has no `{}`", unit.key())];
    limit.map(|limit| (limit, "[budget.run]".to_owned())).ok_or_else(missing)
}

fn of_chains(budget: &BudgetSettings, team: &TeamFacts, unit: Unit) -> Bound {
    match (budget.chain.get(unit), team.n_chains) {
        (Some(limit), Some(n)) => {
            let because = format!("[budget.chain], {n} times {}", unit.show(limit));
            Ok((limit.saturating_mul(n), because))
        }
        (Some(_), None) => Err(vec!["nobody knows how many chains will begin".to_owned()]),
        (None, _) => Err(vec![format!("[budget.chain] has no `{}`", unit.key())]),
    }
}

fn of_agents(budget: &BudgetSettings, team: &TeamFacts, unit: Unit) -> Bound {
    let mut sum = 0_u64;
    let mut missing = Vec::new();
    for agent in &team.agents {
        match of_agent(budget, team, agent, unit) {
            Ok(amount) => sum = sum.saturating_add(amount),
            Err(reason) => missing.push(reason),
        }
    }
    match missing.is_empty() {
        true => Ok((sum, "what all agents together can spend".to_owned())),
        false => Err(missing),
    }
}

/// An agent with all that it spawns.
fn of_agent(
    budget: &BudgetSettings,
    team: &TeamFacts,
    agent: &AgentFacts,
    unit: Unit,
) -> Result<u64, String> {
    let limits = budget.of_agent(&agent.name);
    let (family, own) = (limits.subtree.get(unit), limits.agent.get(unit));
    if agent.may_spawn {
        return family.ok_or_else(|| {
            let key = unit.key();
            format!("`{}` may spawn agents, and [budget.subtree] has no `{key}`", agent.name)
        });
    }
    let called = by_calls(team, agent, unit);
    let lowest = [family, own, called.as_ref().ok().copied()].into_iter().flatten().min();
    lowest.map_or(called, Ok)
}

/// Every message that it may handle, at every attempt, at its dearest.
fn by_calls(team: &TeamFacts, agent: &AgentFacts, unit: Unit) -> Result<u64, String> {
    let name = &agent.name;
    if agent.attempt.unknown.has(unit) {
        return Err(match unit {
            Unit::MicroUsd => {
                format!("the price of `{name}` is not known, and it has no `money_usd`")
            }
            _ => format!(
                "nobody knows how many {unit} `{name}` takes, and it has no `{}`",
                unit.key()
            ),
        });
    }
    let each = agent.attempt.amounts.get(unit);
    let messages = team.guard.max_messages_per_agent;
    if each == 0 {
        return Ok(0);
    }
    if messages == u32::MAX || agent.attempts_max == u64::MAX {
        return Err(format!("`{name}` may handle any number of messages, or try one for ever"));
    }
    Ok(each.saturating_mul(messages.into()).saturating_mul(agent.attempts_max))
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost { amount, unit, because } => {
                write!(f, "at most {} ({because})", unit.show(*amount))
            }
            Self::Unbounded { because } => write!(f, "unbounded: {}", because.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Amounts;

    fn agent(name: &str, micros: u64) -> AgentFacts {
        AgentFacts {
            name: name.to_owned(),
            attempt: Amounts::of(Unit::MicroUsd, micros).into(),
            attempts_max: 4,
            may_spawn: false,
        }
    }

    #[track_caller]
    fn check(budget: &str, agents: Vec<AgentFacts>, expected: &str) {
        let budget = serde_json::from_str(budget).unwrap();
        let team = TeamFacts { n_chains: Some(3), agents, guard: LoopGuard::default() };
        assert_eq!(worst_case(&budget, &team, Unit::MicroUsd).to_string(), expected);
    }

    #[test]
    fn the_lowest_of_run_chains_and_agents_counts() {
        let agents = || vec![agent("a", 1_000), agent("b", 2_000)];
        check("{}", agents(), "at most 0.60 USD (what all agents together can spend)");
        check(r#"{"run": {"money_usd": 0.5}}"#, agents(), "at most 0.50 USD ([budget.run])");
        check(
            r#"{"run": {"money_usd": 0.5}, "chain": {"money_usd": 0.1}}"#,
            agents(),
            "at most 0.30 USD ([budget.chain], 3 times 0.10 USD)",
        );
        check(
            r#"{"agents": {"b": {"money_usd": 0.15}}}"#,
            agents(),
            "at most 0.35 USD (what all agents together can spend)",
        );
    }

    #[test]
    fn what_nothing_limits_is_said_with_what_is_missing() {
        let opaque = AgentFacts {
            attempt: Spend::default().with_unknown(Unit::MicroUsd),
            ..agent("claude", 0)
        };
        let planner = AgentFacts { may_spawn: true, ..agent("planner", 1) };
        check(
            "{}",
            vec![opaque.clone(), planner.clone()],
            "unbounded: [budget.run] has no `money_usd`; [budget.chain] has no `money_usd`; the price \
             of `claude` is not known, and it has no `money_usd`; `planner` may spawn agents, and \
             [budget.subtree] has no `money_usd`",
        );
        check(
            r#"{"subtree": {"money_usd": 1}}"#,
            vec![opaque, planner],
            "at most 2.00 USD (what all agents together can spend)",
        );
    }

    #[test]
    fn no_limit_on_messages_or_attempts_is_no_limit_on_money() {
        let budget = BudgetSettings::default();
        let team = |guard, attempts_max| TeamFacts {
            guard,
            n_chains: None,
            agents: vec![AgentFacts { attempts_max, ..agent("a", 5) }],
        };
        let bounded = |team: &TeamFacts| {
            matches!(worst_case(&budget, team, Unit::MicroUsd), Worst::AtMost { .. })
        };
        assert!(bounded(&team(LoopGuard::default(), 4)));
        assert!(!bounded(&team(LoopGuard::unlimited(), 4)));
        assert!(!bounded(&team(LoopGuard::default(), u64::MAX)));
    }
}
