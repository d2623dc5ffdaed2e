//! A further denial never widens what is allowed.

use orch_core::{Decision, PermissionLevel, ToolCall, ToolPolicy};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};
use crate::some::{at, call, engine, policies, policy, resolved, tool};

/// Policies, one more, and calls that are made one after the other.
type Case = (Vec<ToolPolicy>, ToolPolicy, Vec<ToolCall>);

/// What each call is answered, under these policies.
type Judge = fn(&[ToolPolicy], &[ToolCall]) -> Vec<Decision>;

fn one_more_denial() -> impl Strategy<Value = Case> {
    let name = prop_oneof![tool(), Just("*".to_owned())];
    let denial = name.prop_map(|name| ToolPolicy::new(name, PermissionLevel::Denied));
    (policies(), denial, vec(call(), 1..2))
}

/// One more policy of any kind, under a name that has one already.
fn one_more_on_the_same_tool() -> impl Strategy<Value = Case> {
    let cases = (vec(policy(), 1..5), policy(), 0..5_usize, vec(call(), 1..2));
    cases.prop_map(|(policies, mut more, index, calls)| {
        more.tool_name.clone_from(&policies[index % policies.len()].tool_name);
        (policies, more, calls)
    })
}

fn real(policies: &[ToolPolicy], calls: &[ToolCall]) -> Vec<Decision> {
    let (mut engine, agent) = engine(policies);
    let mut decide = |call: &ToolCall| engine.decide(at(0), agent, call, &resolved(call));
    calls.iter().map(&mut decide).collect()
}

fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow => 2,
        Decision::Ask { .. } => 1,
        _ => 0,
    }
}

fn never_wider(judge: Judge, (policies, more, calls): &Case) -> Result<(), String> {
    let before = judge(policies, calls);
    let after = judge(&[&policies[..], std::slice::from_ref(more)].concat(), calls);
    let wider = before.iter().zip(&after).find(|(before, after)| rank(after) > rank(before));
    wider.map_or(Ok(()), |(before, after)| Err(format!("{before:?} became {after:?}")))
}

#[test]
fn one_more_denial_never_widens() {
    holds(one_more_denial(), |case| never_wider(real, case));
}

#[test]
fn one_more_policy_on_the_same_tool_never_widens() {
    holds(one_more_on_the_same_tool(), |case| never_wider(real, case));
}

#[test]
fn a_denial_of_the_tool_denies_every_call_of_it() {
    holds((policies(), call()), |(policies, call)| {
        let denial = ToolPolicy::new(call.tool.clone(), PermissionLevel::Denied);
        let decisions = real(&[&policies[..], &[denial]].concat(), std::slice::from_ref(call));
        let denied = decisions.iter().all(|it| matches!(it, Decision::Deny { .. }));
        denied.then_some(()).ok_or_else(|| format!("{decisions:?}"))
    });
}

#[test]
fn a_judge_that_takes_the_last_policy_is_caught() {
    is_caught(one_more_on_the_same_tool(), |case| never_wider(last_wins, case));
}

/// Judges by the last policy of each name alone.
fn last_wins(policies: &[ToolPolicy], calls: &[ToolCall]) -> Vec<Decision> {
    let is_last = |(index, it): &(usize, &ToolPolicy)| {
        policies[index + 1..].iter().all(|later| later.tool_name != it.tool_name)
    };
    let last: Vec<_> =
        policies.iter().enumerate().filter(is_last).map(|(_, it)| it.clone()).collect();
    real(&last, calls)
}
