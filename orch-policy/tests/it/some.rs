//! Random policies, calls and times, from few names so that they meet.

use std::path::PathBuf;

use orch_core::{Access, AgentId, PermissionLevel, Timestamp, ToolCall, ToolPolicy};
use orch_policy::PolicyEngine;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Names of which one is the beginning of another, at two depths.
pub(crate) fn path() -> impl Strategy<Value = String> {
    let name = select(vec!["data", "database", "d", "in"]);
    vec(name, 0..4).prop_map(|names| format!("/{}", names.join("/")))
}

pub(crate) fn tool() -> impl Strategy<Value = String> {
    select(vec!["fs", "git", "web"]).prop_map(str::to_owned)
}

pub(crate) fn level() -> impl Strategy<Value = PermissionLevel> {
    use PermissionLevel::{Denied, Full, ReadOnly, ReadWrite};
    select(vec![Denied, ReadOnly, ReadOnly, ReadWrite, ReadWrite, Full, Full])
}

pub(crate) fn policy() -> impl Strategy<Value = ToolPolicy> {
    let name = prop_oneof![3 => tool(), 2 => Just("*".to_owned())];
    let parts = (name, level(), option::of(0_u32..4), option::of(vec(path(), 0..4)), 0..4);
    parts.prop_map(|(name, level, rate, paths, ask)| {
        let mut policy = ToolPolicy::new(name, level);
        policy.max_calls_per_hour = rate;
        policy.allowed_paths = paths;
        policy.ask = ask == 0;
        policy
    })
}

pub(crate) fn policies() -> impl Strategy<Value = Vec<ToolPolicy>> {
    vec(policy(), 0..5)
}

pub(crate) fn call() -> impl Strategy<Value = ToolCall> {
    let tool = prop_oneof![4 => tool(), 1 => Just("other".to_owned())];
    let access = select(vec![Access::Read, Access::Read, Access::Write, Access::Execute]);
    (tool, access, vec(path(), 0..3)).prop_map(|(tool, access, paths)| {
        let call = ToolCall::new(tool, access);
        paths.into_iter().fold(call, ToolCall::with_path)
    })
}

/// The paths of a call in which there is nothing to resolve.
pub(crate) fn resolved(call: &ToolCall) -> Vec<PathBuf> {
    call.paths.iter().map(PathBuf::from).collect()
}

/// An engine with one agent.
pub(crate) fn engine(policies: &[ToolPolicy]) -> (PolicyEngine, AgentId) {
    let (mut engine, agent) = (PolicyEngine::new(), AgentId::OUTSIDE);
    engine.set_policies(agent, policies.to_vec()).expect("the policies can be kept");
    (engine, agent)
}
