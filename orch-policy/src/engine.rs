//! Decides on tool calls: by level, paths and rate, and whether a person is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use orch_core::{AgentId, Decision, PermissionLevel, Timestamp, ToolCall, ToolPolicy};

use crate::counters::{Counter, RateCounters};
use crate::denial::Denial;
use crate::roots::is_resolved;
use crate::rule::{PolicyError, Rule, Rules, level_needed};
use crate::window::Window;

/// The window of [`ToolPolicy::max_calls_per_hour`].
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Holds the policies of each agent and counts what it granted.
///
/// - A call without a policy on its tool is denied. The policy `*` is for tools that have none of
///   their own, and for no others.
/// - Several policies on one tool act as the most restrictive combination of them: the lowest level,
///   the paths that all of them allow, the lowest rate, and a question if one of them asks.
/// - [`Read`](orch_core::Access::Read) needs `ReadOnly`, `Write` needs `ReadWrite`, `Execute` needs
///   `Full`.
/// - Below `Full` every path of the call must lie within one of the allowed paths, if there is a
///   list. A call whose paths were not all resolved is denied at every level.
/// - At most `max_calls_per_hour` calls are granted in *any* window of 60 minutes, also when the
///   clock steps back. A call at exactly 60 minutes after the one that it waited for is granted. The
///   count is that of the policy: all tools that fall under `*` share one.
///
/// # Examples
///
/// ```
/// use orch_core::{Access, AgentId, Decision, PermissionLevel, Timestamp, ToolCall, ToolPolicy};
/// use orch_policy::PolicyEngine;
///
/// let (agent, now) = (AgentId::new(), Timestamp::from_millis(0));
/// let search = ToolPolicy::new("search".to_string(), PermissionLevel::ReadOnly).with_rate_limit(1);
/// let mut engine = PolicyEngine::new();
/// engine.set_policies(agent, vec![search])?;
///
/// let call = ToolCall::new("search", Access::Read);
/// assert_eq!(engine.decide(now, agent, &call, &[]), Decision::Allow);
/// let Decision::Deny { possible_at, .. } = engine.decide(now, agent, &call, &[]) else { panic!() };
/// assert_eq!(possible_at, Some(Timestamp::from_millis(3_600_000)));
/// # Ok::<(), orch_policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PolicyEngine {
    agents: BTreeMap<AgentId, Held>,
}

/// What is held for one agent.
#[derive(Clone, Debug, Default)]
struct Held {
    rules: Rules,
    /// What was granted, by the name of the policy. Those without a rate are not counted.
    windows: BTreeMap<String, Window>,
}

impl PolicyEngine {
    /// An engine that denies everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the policies of an agent. What was counted stays counted, so that setting policies
    /// again opens no window; what a policy granted while it had no rate was not counted.
    ///
    /// Allowed paths are taken as they stand and must be resolved as the paths of calls are: see
    /// [`resolve_allowed`](crate::paths::resolve_allowed). One that is, or lies below, a symbolic
    /// link would match nothing.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for the first policy that cannot be kept; the former policies stay.
    pub fn set_policies(
        &mut self,
        agent: AgentId,
        policies: Vec<ToolPolicy>,
    ) -> Result<(), PolicyError> {
        let rules = Rules::new(&policies)?;
        self.agents.entry(agent).or_default().rules = rules;
        Ok(())
    }

    /// Forgets an agent, its counts included. From now on it is denied everything.
    ///
    /// An agent that would come back under the same id would find its windows open; ids are not
    /// used again, and policies are replaced with [`set_policies`](Self::set_policies).
    pub fn remove(&mut self, agent: AgentId) {
        self.agents.remove(&agent);
    }

    /// Decides on a call, and counts it if it is allowed.
    ///
    /// `resolved` holds each of `call.paths` in the same order as [`paths::resolve`] gave it;
    /// anything else (fewer, more, relative, with `..`) is a denial. An [`Ask`](Decision::Ask) is
    /// not counted; a person's yes goes to [`granted`](Self::granted).
    ///
    /// [`paths::resolve`]: crate::paths::resolve
    #[must_use = "a call that is not decided on must not be made"]
    pub fn decide(
        &mut self,
        now: Timestamp,
        agent: AgentId,
        call: &ToolCall,
        resolved: &[PathBuf],
    ) -> Decision {
        let decision = self.preview(now, agent, call, resolved);
        if decision.is_allowed() {
            self.count(now, agent, &call.tool);
        }
        decision
    }

    /// Decides once more on a call for which a person was asked and said yes, and counts it if it is
    /// allowed.
    ///
    /// Asks no further, but judges everything else as it stands now: the answer took time, and the
    /// policies, the rate or the paths may have changed. Resolve the paths again before.
    #[must_use = "a call that is denied must not be made, whatever a person said"]
    pub fn granted(
        &mut self,
        now: Timestamp,
        agent: AgentId,
        call: &ToolCall,
        resolved: &[PathBuf],
    ) -> Decision {
        match self.judge(now, agent, call, resolved) {
            Ok(_) => {
                self.count(now, agent, &call.tool);
                Decision::Allow
            }
            Err(denial) => denial.into(),
        }
    }

    /// What [`decide`](Self::decide) would say. Counts nothing.
    #[must_use]
    pub fn preview(
        &self,
        now: Timestamp,
        agent: AgentId,
        call: &ToolCall,
        resolved: &[PathBuf],
    ) -> Decision {
        match self.judge(now, agent, call, resolved) {
            Ok(rule) if rule.ask => {
                Decision::Ask { reason: "the policy asks a person about each call".to_owned() }
            }
            Ok(_) => Decision::Allow,
            Err(denial) => denial.into(),
        }
    }

    /// The policy that counts a call of this tool which [`decide`](Self::decide) or
    /// [`granted`](Self::granted) allows: the tool's own, or `*`. `None` if none of them has a rate, and
    /// nothing is counted. For a journal, which keeps each grant.
    #[must_use]
    pub fn counted_by(&self, agent: AgentId, tool: &str) -> Option<&str> {
        let (name, rule) = self.agents.get(&agent)?.rules.on(tool)?;
        rule.calls_max.is_some().then_some(name)
    }

    /// All that rates are judged by, for a journal to keep.
    #[must_use]
    pub fn counters(&self) -> RateCounters {
        let counters = self.agents.iter().flat_map(|(&agent, held)| held.counters(agent));
        RateCounters { counters: counters.collect() }
    }

    /// Adds what was counted before a restart to what is counted here, before or after the policies
    /// are set. Grants that are given twice count twice: import once, into a new engine.
    pub fn import(&mut self, counters: RateCounters) {
        for Counter { agent, policy, mut granted_at } in counters.counters {
            let window = self.agents.entry(agent).or_default().windows.entry(policy).or_default();
            granted_at.extend(window.times());
            *window = Window::from_times(granted_at);
        }
    }

    /// The rule under which the call may be made, or a person asked.
    fn judge(
        &self,
        now: Timestamp,
        agent: AgentId,
        call: &ToolCall,
        resolved: &[PathBuf],
    ) -> Result<&Rule, Denial> {
        let held = self.agents.get(&agent);
        let found = held.and_then(|held| Some((held, held.rules.on(&call.tool)?)));
        let (held, (name, rule)) =
            found.ok_or_else(|| Denial::NoPolicy { tool: call.tool.clone() })?;
        check_level(rule, call)?;
        check_paths(rule, call, resolved)?;
        held.check_rate(now, name, rule)?;
        Ok(rule)
    }

    fn count(&mut self, now: Timestamp, agent: AgentId, tool: &str) {
        if let Some(held) = self.agents.get_mut(&agent) {
            held.count(now, tool);
        }
    }
}

impl Held {
    fn check_rate(&self, now: Timestamp, name: &str, rule: &Rule) -> Result<(), Denial> {
        let Some(calls_max) = rule.calls_max else {
            return Ok(());
        };
        let empty = Window::default();
        let window = self.windows.get(name).unwrap_or(&empty);
        let room = window.room(now, calls_max, HOUR);
        room.map_err(|full| Denial::Rate { policy: name.to_owned(), calls_max, full })
    }

    fn count(&mut self, now: Timestamp, tool: &str) {
        let Some((name, Rule { calls_max: Some(calls_max), .. })) = self.rules.on(tool) else {
            return;
        };
        match self.windows.get_mut(name) {
            Some(window) => window.record(now, *calls_max),
            None => {
                let first = Window::from_times(vec![now]);
                self.windows.insert(name.to_owned(), first);
            }
        }
    }

    fn counters(&self, agent: AgentId) -> impl Iterator<Item = Counter> {
        self.windows.iter().map(move |(policy, window)| Counter {
            agent,
            policy: policy.clone(),
            granted_at: window.times().collect(),
        })
    }
}

fn check_level(rule: &Rule, call: &ToolCall) -> Result<(), Denial> {
    let (tool, has, needs) = (&call.tool, rule.level, level_needed(call.access));
    if has == PermissionLevel::Denied {
        return Err(Denial::Denied { tool: tool.clone() });
    }
    if has < needs {
        return Err(Denial::Level { tool: tool.clone(), needs, has });
    }
    Ok(())
}

fn check_paths(rule: &Rule, call: &ToolCall, resolved: &[PathBuf]) -> Result<(), Denial> {
    // At every level: an error denies, and whoever acts needs to know on what.
    if resolved.len() != call.paths.len() || !resolved.iter().all(|path| is_resolved(path)) {
        return Err(Denial::Unresolved);
    }
    let Some(allowed) = rule.confines_to() else {
        return Ok(());
    };
    match resolved.iter().find(|path| !allowed.contain(path)) {
        Some(path) => Err(Denial::Outside { path: path.clone(), allowed: allowed.to_strings() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use orch_core::Access;

    use super::*;

    const MINUTE: u64 = 60_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn policy(tool: &str, level: PermissionLevel) -> ToolPolicy {
        ToolPolicy::new(tool.to_owned(), level)
    }

    /// An engine with one agent.
    fn engine(policies: &[ToolPolicy]) -> (PolicyEngine, AgentId) {
        let (mut engine, agent) = (PolicyEngine::new(), AgentId::new());
        engine.set_policies(agent, policies.to_vec()).expect("the policies can be kept");
        (engine, agent)
    }

    fn read(tool: &str) -> ToolCall {
        ToolCall::new(tool, Access::Read)
    }

    /// Checks what is decided on a call whose paths need no resolution.
    #[track_caller]
    fn check(policies: &[ToolPolicy], call: &ToolCall, expected: &Decision) {
        let (engine, agent) = engine(policies);
        let resolved: Vec<PathBuf> = call.paths.iter().map(PathBuf::from).collect();
        assert_eq!(engine.preview(at(0), agent, call, &resolved), *expected);
    }

    #[test]
    fn a_call_without_a_policy_is_denied() {
        let expected = Decision::deny("there is no policy on tool `git`");
        check(&[], &read("git"), &expected);
        check(&[policy("fs", PermissionLevel::Full)], &read("git"), &expected);
        let (engine, _) = engine(&[policy("*", PermissionLevel::Full)]);
        assert_eq!(engine.preview(at(0), AgentId::OUTSIDE, &read("git"), &[]), expected);
    }

    #[test]
    fn each_access_needs_its_level() {
        use Access::{Execute, Read, Write};
        use PermissionLevel::{Denied, Full, ReadOnly, ReadWrite};
        let allowed = |level, access| {
            let (mut engine, agent) = engine(&[policy("fs", level)]);
            engine.decide(at(0), agent, &ToolCall::new("fs", access), &[]).is_allowed()
        };
        let row = |level| [Read, Write, Execute].map(|access| allowed(level, access));
        assert_eq!(row(Denied), [false, false, false]);
        assert_eq!(row(ReadOnly), [true, false, false]);
        assert_eq!(row(ReadWrite), [true, true, false]);
        assert_eq!(row(Full), [true, true, true]);
    }

    #[test]
    fn a_denial_names_what_is_missing() {
        let call = ToolCall::new("fs", Access::Write);
        let reason = "the call needs ReadWrite on tool `fs`, which is ReadOnly";
        check(&[policy("fs", PermissionLevel::ReadOnly)], &call, &Decision::deny(reason));
    }

    #[test]
    fn deny_wins_over_every_other_policy_on_the_tool() {
        use PermissionLevel::{Denied, Full};
        let expected = Decision::deny("tool `fs` is denied");
        check(&[policy("fs", Full), policy("fs", Denied)], &read("fs"), &expected);
        check(&[policy("*", Full), policy("fs", Denied)], &read("fs"), &expected);
        check(&[policy("fs", Full), policy("*", Denied)], &read("fs"), &Decision::Allow);
    }

    #[test]
    fn below_full_paths_must_lie_within_the_allowed_ones() {
        let call = read("fs").with_path("/data/x").with_path("/etc/passwd");
        let confined = |level| [policy("fs", level).with_allowed_path("/data")];
        let reason = "the path `/etc/passwd` lies outside of the allowed paths (/data)";
        check(&confined(PermissionLevel::ReadWrite), &call, &Decision::deny(reason));
        check(&confined(PermissionLevel::Full), &call, &Decision::Allow);
        check(&[policy("fs", PermissionLevel::ReadOnly)], &call, &Decision::Allow);
    }

    #[test]
    fn an_empty_list_allows_no_path_but_calls_without_one() {
        let mut none = policy("fs", PermissionLevel::ReadOnly);
        none.allowed_paths = Some(Vec::new());
        let reason = "the path `/x` lies outside of the allowed paths";
        check(&[none.clone()], &read("fs").with_path("/x"), &Decision::deny(reason));
        check(&[none], &read("fs"), &Decision::Allow);
    }

    #[test]
    fn a_lower_level_brings_the_path_rules_of_all_policies_into_force() {
        let full = policy("fs", PermissionLevel::Full).with_allowed_path("/data");
        let low = policy("fs", PermissionLevel::ReadWrite);
        let reason = "the path `/etc` lies outside of the allowed paths (/data)";
        check(&[full, low], &read("fs").with_path("/etc"), &Decision::deny(reason));
    }

    #[test]
    fn a_path_that_was_not_resolved_is_denied_at_every_level() {
        let (mut engine, agent) = engine(&[policy("fs", PermissionLevel::Full)]);
        let call = read("fs").with_path("/data/../etc");
        let expected = Decision::deny("not every path of the call could be resolved");
        for resolved in [&[][..], &["data"], &["/data/../etc"], &["/etc", "/etc"]] {
            let resolved: Vec<PathBuf> = resolved.iter().map(PathBuf::from).collect();
            assert_eq!(engine.decide(at(0), agent, &call, &resolved), expected, "{resolved:?}");
        }
        assert!(engine.decide(at(0), agent, &call, &["/etc".into()]).is_allowed());
    }

    fn denied_until(possible_at: Option<u64>, calls_max: u32) -> Decision {
        let reason = format!("the policy on `fs` grants at most {calls_max} calls in 60 minutes");
        Decision::Deny { reason, possible_at: possible_at.map(at) }
    }

    #[test]
    fn a_call_is_possible_again_exactly_after_60_minutes() {
        let limited = policy("fs", PermissionLevel::ReadOnly).with_rate_limit(2);
        let (mut engine, agent) = engine(&[limited]);
        let mut decide = |now| engine.decide(at(now), agent, &read("fs"), &[]);
        assert_eq!(decide(5), Decision::Allow);
        assert_eq!(decide(MINUTE), Decision::Allow);
        assert_eq!(decide(60 * MINUTE + 4), denied_until(Some(60 * MINUTE + 5), 2));
        assert_eq!(decide(60 * MINUTE + 5), Decision::Allow);
        assert_eq!(decide(60 * MINUTE + 5), denied_until(Some(61 * MINUTE), 2));
    }

    #[test]
    fn what_counts_a_call_is_the_policy_that_it_falls_under() {
        let any = policy("*", PermissionLevel::Full).with_rate_limit(1);
        let (mut engine, agent) = engine(&[any, policy("fs", PermissionLevel::Full)]);
        for (tool, expected) in [("git", Some("*")), ("fs", None)] {
            assert_eq!(engine.counted_by(agent, tool), expected);
            assert!(engine.decide(at(0), agent, &read(tool), &[]).is_allowed());
        }
        let counted: Vec<_> = engine.counters().counters.into_iter().map(|it| it.policy).collect();
        assert_eq!(counted, ["*"]);
        assert_eq!(engine.counted_by(AgentId::OUTSIDE, "git"), None);
    }

    #[test]
    fn a_rate_of_zero_means_never() {
        let never = policy("fs", PermissionLevel::Full).with_rate_limit(0);
        check(&[never], &read("fs"), &denied_until(None, 0));
    }

    #[test]
    fn what_is_denied_or_previewed_is_not_counted() {
        let limited = policy("fs", PermissionLevel::ReadOnly).with_rate_limit(1);
        let (mut engine, agent) = engine(&[limited]);
        let write = ToolCall::new("fs", Access::Write);
        assert!(!engine.decide(at(0), agent, &write, &[]).is_allowed());
        assert!(engine.preview(at(0), agent, &read("fs"), &[]).is_allowed());
        assert!(engine.decide(at(0), agent, &read("fs"), &[]).is_allowed());
    }

    #[test]
    fn tools_under_the_star_share_its_rate_and_agents_do_not() {
        let limited = policy("*", PermissionLevel::ReadOnly).with_rate_limit(1);
        let (mut engine, agent) = engine(std::slice::from_ref(&limited));
        let other = AgentId::new();
        engine.set_policies(other, vec![limited]).expect("the policy can be kept");
        assert!(engine.decide(at(0), agent, &read("fs"), &[]).is_allowed());
        assert!(!engine.decide(at(0), agent, &read("git"), &[]).is_allowed());
        assert!(engine.decide(at(0), other, &read("git"), &[]).is_allowed());
    }

    #[test]
    fn setting_policies_again_opens_no_window() {
        let limited = policy("fs", PermissionLevel::ReadOnly).with_rate_limit(1);
        let (mut engine, agent) = engine(std::slice::from_ref(&limited));
        assert!(engine.decide(at(0), agent, &read("fs"), &[]).is_allowed());
        engine.set_policies(agent, Vec::new()).expect("no policy can be kept");
        engine.set_policies(agent, vec![limited]).expect("the policy can be kept");
        assert!(!engine.decide(at(1), agent, &read("fs"), &[]).is_allowed());
    }

    #[test]
    fn refused_policies_leave_the_former_ones() {
        let (mut engine, agent) = engine(&[policy("fs", PermissionLevel::ReadOnly)]);
        let wrong = policy("fs", PermissionLevel::Full).with_allowed_path("x");
        assert!(engine.set_policies(agent, vec![wrong]).is_err());
        assert!(engine.preview(at(0), agent, &read("fs"), &[]).is_allowed());
        let write = ToolCall::new("fs", Access::Write);
        assert!(!engine.preview(at(0), agent, &write, &[]).is_allowed());
    }

    #[test]
    fn a_removed_agent_is_denied_everything() {
        let (mut engine, agent) = engine(&[policy("*", PermissionLevel::Full)]);
        engine.remove(agent);
        assert!(!engine.preview(at(0), agent, &read("fs"), &[]).is_allowed());
        assert_eq!(engine.counters(), RateCounters::default());
    }

    #[test]
    fn a_question_takes_nothing_of_the_rate_and_the_answer_does() {
        let asks = policy("fs", PermissionLevel::ReadOnly).with_rate_limit(1).with_ask();
        let (mut engine, agent) = engine(&[asks]);
        let ask = Decision::Ask { reason: "the policy asks a person about each call".into() };
        assert_eq!(engine.decide(at(0), agent, &read("fs"), &[]), ask);
        assert_eq!(engine.decide(at(0), agent, &read("fs"), &[]), ask);
        assert_eq!(engine.granted(at(1), agent, &read("fs"), &[]), Decision::Allow);
        let denied = denied_until(Some(60 * MINUTE + 1), 1);
        assert_eq!(engine.granted(at(2), agent, &read("fs"), &[]), denied);
        assert_eq!(engine.decide(at(2), agent, &read("fs"), &[]), denied);
    }

    #[test]
    fn an_answer_does_not_outlive_the_policy() {
        let (mut engine, agent) = engine(&[policy("fs", PermissionLevel::ReadOnly).with_ask()]);
        engine.set_policies(agent, vec![policy("fs", PermissionLevel::Denied)]).expect("kept");
        assert!(!engine.granted(at(1), agent, &read("fs"), &[]).is_allowed());
    }

    #[test]
    fn what_would_be_denied_is_not_asked() {
        let asks = policy("fs", PermissionLevel::ReadOnly).with_ask();
        let reason = "the call needs ReadWrite on tool `fs`, which is ReadOnly";
        check(&[asks], &ToolCall::new("fs", Access::Write), &Decision::deny(reason));
    }
}
