//! The goals, as data, and whether a run meets them.

use super::results::Results;
use super::table::figure;
use crate::scenario::Scenario;
use Scenario::{Broadcast, Critical, Growth, Idle, Many, Mixed, One, Ping, Ring, Sleep, Spawn};

/// What is to be reached, in medians.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    scenario: Scenario,
    metric: &'static str,
    whose: Whose,
    limit: Limit,
}

#[derive(Clone, Copy, Debug)]
enum Whose {
    /// The one of ours that is compared.
    Ours,
    Of(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtMost(f64),
    /// So many times the figure of somebody else.
    Times(f64, &'static str),
}

const fn times(scenario: Scenario, factor: f64, peer: &'static str) -> Goal {
    Goal { scenario, metric: "wall", whose: Whose::Ours, limit: Limit::Times(factor, peer) }
}

const fn at_most(scenario: Scenario, metric: &'static str, value: f64) -> Goal {
    Goal { scenario, metric, whose: Whose::Ours, limit: Limit::AtMost(value) }
}

/// The orchestrator costs little more than its scheduler.
const fn whole(scenario: Scenario) -> Goal {
    let limit = Limit::Times(1.5, "orch");
    Goal { scenario, metric: "wall", whose: Whose::Of("orchestrator"), limit }
}

/// A third of what a peer needs.
const fn third(metric: &'static str, peer: &'static str) -> Goal {
    let limit = Limit::Times(1.0 / 3.0, peer);
    Goal { scenario: Spawn, metric, whose: Whose::Ours, limit }
}

const GOALS: &[Goal] = &[
    times(Ping, 0.75, "actix"),
    times(Ping, 0.5, "tokio"),
    times(Ring, 0.85, "actix"),
    times(Ring, 0.4, "tokio"),
    times(Many, 0.75, "actix"),
    times(Many, 0.55, "ractor"),
    times(Many, 0.55, "kameo"),
    times(Many, 1.0, "tokio"),
    times(One, 0.85, "actix"),
    times(One, 0.6, "ractor"),
    times(One, 1.0, "tokio"),
    times(Broadcast, 0.9, "actix"),
    times(Broadcast, 0.4, "ractor"),
    at_most(Spawn, "wall", 350.0),
    at_most(Spawn, "idle_bytes", 256.0),
    third("wall", "tokio"),
    third("wall", "actix"),
    third("wall", "ractor"),
    third("wall", "kameo"),
    third("wall", "xtra"),
    third("wall", "coerce"),
    third("idle_bytes", "tokio"),
    third("idle_bytes", "actix"),
    third("idle_bytes", "ractor"),
    third("idle_bytes", "kameo"),
    third("idle_bytes", "xtra"),
    third("idle_bytes", "coerce"),
    at_most(Critical, "first", 2_000.0),
    at_most(Critical, "later", 100.0),
    // Flat, but for what the machine's noise is.
    at_most(Idle, "ratio", 1.25),
    whole(Ping),
    whole(Ring),
    whole(Many),
    whole(One),
    whole(Broadcast),
    whole(Mixed),
    whole(Idle),
    whole(Growth),
];

/// With the allocator of the system, where the others' nodes may fit better than ours.
const WITH_GLIBC: &[Goal] = &[
    times(Ping, 1.0, "ractor"),
    times(Ping, 1.0, "kameo"),
    times(Ring, 1.0, "ractor"),
    times(Ring, 1.0, "kameo"),
    times(Many, 1.0, "ractor"),
    times(Many, 1.0, "kameo"),
    times(One, 1.0, "ractor"),
    times(One, 1.0, "kameo"),
    times(Broadcast, 1.0, "ractor"),
    times(Broadcast, 1.0, "kameo"),
    times(Spawn, 1.0, "ractor"),
    times(Spawn, 1.0, "kameo"),
    times(Idle, 1.0, "ractor"),
    times(Idle, 1.0, "kameo"),
    times(Sleep, 1.0, "ractor"),
    times(Sleep, 1.0, "kameo"),
];

/// How a run stands to a goal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// In whose row it is shown.
    pub(super) row: &'static str,
    pub(super) says: String,
    pub(super) is_met: bool,
}

/// The verdicts on all goals of a scenario about whose figures the run says something.
pub(super) fn judge(results: &Results, scenario: Scenario) -> Vec<Verdict> {
    let with_glibc = results.machine.allocator == "glibc";
    let goals = GOALS.iter().chain(WITH_GLIBC.iter().filter(|_| with_glibc));
    goals.filter(|it| it.scenario == scenario).filter_map(|it| it.judge(results)).collect()
}

impl Goal {
    fn judge(&self, results: &Results) -> Option<Verdict> {
        let &Self { scenario, metric, whose, limit } = self;
        let metric = if scenario == Growth { scenario.primary().key } else { metric };
        let who = match whose {
            Whose::Ours => results.ours(scenario)?,
            Whose::Of(name) => name,
        };
        let name = self.metric_named();
        let (row, now, limit, says) = match limit {
            Limit::AtMost(limit) => {
                let now = results.spread(scenario, who, metric)?.median;
                (who, now, limit, format!("{name}≤ {}", figure(limit)))
            }
            Limit::Times(_, peer) if who == peer => return None,
            Limit::Times(limit, peer) => {
                let now = results.ratio(scenario, metric, who, peer)?.median;
                match whose {
                    Whose::Of(_) => (who, now, limit, format!("≤ {limit:.2} × {peer} ({now:.2})")),
                    // In the peer's row, where the ratio of the primary metric stands too.
                    Whose::Ours if name.is_empty() => (peer, now, limit, format!("≤ {limit:.2} ×")),
                    Whose::Ours => (peer, now, limit, format!("{name}≤ {limit:.2} × ({now:.2})")),
                }
            }
        };
        let is_met = now <= limit;
        let verdict = if is_met { "met" } else { "missed" };
        Some(Verdict { row, says: format!("{says} {verdict}"), is_met })
    }

    /// The metric's heading and a space; nothing for the one that contenders are compared by.
    fn metric_named(&self) -> String {
        let is_other = self.metric != self.scenario.primary().key;
        let all = self.scenario.metrics().iter();
        let heading = all.filter(|_| is_other).find(|it| it.key == self.metric);
        heading.map_or_else(String::new, |it| format!("{} ", it.heading))
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn each_goal_is_about_contenders_and_metrics_that_there_are() {
        for goal in GOALS.iter().chain(WITH_GLIBC) {
            let keys: Vec<&str> = goal.scenario.metrics().iter().map(|it| it.key).collect();
            assert!(goal.scenario == Growth || keys.contains(&goal.metric), "{goal:?}");
        }
    }

    #[test]
    fn a_goal_is_met_by_the_median_of_the_ratios() {
        let met = |ours: f64| {
            let results = results(&[(ours, Some(100.0)), (ours, Some(100.0)), (1e9, Some(1.0))]);
            let goal = times(One, 0.85, "mailbox");
            goal.judge(&results).expect("both took part")
        };
        assert!(met(85.0).is_met);
        let missed = met(86.0);
        assert!(!missed.is_met);
        assert_eq!((missed.row, &*missed.says), ("mailbox", "≤ 0.85 × missed"));
    }

    #[test]
    fn each_kind_of_goal_says_what_no_other_column_says() {
        let results = results(&[(50.0, Some(100.0))]);
        let says = |goal: Goal| goal.judge(&results).expect("both took part").says;
        let of = Whose::Of("mailbox");
        let limit = Limit::Times(1.5, "orchestrator");
        assert_eq!(says(times(One, 0.85, "mailbox")), "≤ 0.85 × met");
        assert_eq!(says(at_most(One, "cpu", 99.0)), "CPU ns ≤ 99 missed");
        assert_eq!(
            says(Goal { scenario: One, metric: "wall", whose: of, limit }),
            "≤ 1.50 × orchestrator (2.00) missed"
        );
        let cpu = Goal { metric: "cpu", ..times(One, 0.85, "mailbox") };
        assert_eq!(says(cpu), "CPU ns ≤ 0.85 × (0.50) met");
    }

    #[test]
    fn a_goal_about_somebody_absent_says_nothing() {
        let results = results(&[(1.0, Some(1.0))]);
        assert_eq!(times(One, 0.85, "somebody").judge(&results), None);
    }
}
