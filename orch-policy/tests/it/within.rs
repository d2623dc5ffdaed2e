//! Path rules go by components, never by the beginning of a string.

use orch_core::{Access, PermissionLevel, ToolCall, ToolPolicy};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};
use crate::some::{at, engine, path, resolved};

/// Allowed paths and the paths of a call.
type Case = (Vec<String>, Vec<String>);

fn some_paths() -> impl Strategy<Value = Case> {
    (vec(path(), 0..4), vec(path(), 0..3))
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

/// Every path of the call must begin with all names of an allowed one.
fn goes_by_names(allows: fn(&Case) -> bool, case: &Case) -> Result<(), String> {
    let (allowed, paths) = case;
    let within = |path: &String| allowed.iter().any(|it| names(path).starts_with(&names(it)));
    let expected = paths.iter().all(within);
    (allows(case) == expected).then_some(()).ok_or_else(|| format!("expected {expected}"))
}

fn real((allowed, paths): &Case) -> bool {
    let mut policy = ToolPolicy::new("fs".to_owned(), PermissionLevel::ReadWrite);
    policy.allowed_paths = Some(allowed.clone());
    let call = ToolCall::new("fs", Access::Write);
    let call = paths.iter().fold(call, ToolCall::with_path);
    let (mut engine, agent) = engine(&[policy]);
    engine.decide(at(0), agent, &call, &resolved(&call)).is_allowed()
}

#[test]
fn a_call_is_allowed_exactly_if_all_its_paths_lie_within() {
    holds(some_paths(), |case| goes_by_names(real, case));
}

#[test]
fn a_matcher_of_strings_is_caught() {
    let by_string = |(allowed, paths): &Case| {
        paths.iter().all(|path| allowed.iter().any(|it| path.starts_with(it)))
    };
    is_caught(some_paths(), |case| goes_by_names(by_string, case));
}

#[test]
fn a_matcher_that_is_content_with_one_path_is_caught() {
    let any = |(allowed, paths): &Case| {
        let alone = |path: &String| real(&(allowed.clone(), vec![path.clone()]));
        paths.is_empty() || paths.iter().any(alone)
    };
    is_caught(some_paths(), |case| goes_by_names(any, case));
}
