//! Whatever a child may do, its parent may do too.

use std::cell::Cell;

use orch_core::{Decision, PermissionLevel, ToolCall, ToolPolicy};
use orch_policy::is_within;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};
use crate::some::{MINUTE, at, call, engine, policies, policy, resolved};

/// A child's policies, its parent's, and calls with the minutes before each.
type Case = (Vec<ToolPolicy>, Vec<ToolPolicy>, Vec<(u64, ToolCall)>);

type Within = fn(&[ToolPolicy], &[ToolPolicy]) -> bool;

fn real(child: &[ToolPolicy], parent: &[ToolPolicy]) -> bool {
    is_within(child, parent).is_ok()
}

/// A child near its parent: the same policies, some changed, some dropped, some more.
fn family() -> impl Strategy<Value = (Vec<ToolPolicy>, Vec<ToolPolicy>)> {
    let change = (0..12_u8, policy());
    (policies(), vec(change, 0..5), 0..8_u8).prop_map(|(parent, changes, unrelated)| {
        let mut child = parent.clone();
        for (index, (kind, other)) in changes.into_iter().enumerate() {
            change_one(&mut child, index, kind, other, unrelated == 0);
        }
        (child, parent)
    })
}

fn change_one(
    child: &mut Vec<ToolPolicy>,
    index: usize,
    kind: u8,
    other: ToolPolicy,
    unrelated: bool,
) {
    let Some(policy) = child.get_mut(index).filter(|_| !unrelated) else {
        return child.push(other);
    };
    match kind {
        0 => policy.permission = policy.permission.min(other.permission),
        1 => policy.permission = other.permission,
        2 => policy.max_calls_per_hour = other.max_calls_per_hour.min(policy.max_calls_per_hour),
        3 => policy.max_calls_per_hour = other.max_calls_per_hour,
        4 => policy.allowed_paths.iter_mut().flatten().for_each(|it| it.push_str("/in")),
        5 => policy.allowed_paths = other.allowed_paths,
        6 => policy.ask = other.ask,
        7 => policy.tool_name = other.tool_name,
        8 => {
            child.remove(index);
        }
        _ => {}
    }
}

fn case() -> impl Strategy<Value = Case> {
    let calls = vec((0..40_u64, call()), 1..25);
    (family(), calls).prop_map(|((child, parent), calls)| (child, parent, calls))
}

/// Makes the child's calls, one after the other, and asks the parent about each that was granted.
fn parent_may_too(within: Within, case: &Case) -> Result<u32, String> {
    let (child, parent, calls) = case;
    if !within(child, parent) {
        return Ok(0);
    }
    let ((mut ours, agent), (mut theirs, _)) = (engine(child), engine(parent));
    let (mut now, mut n_granted) = (0, 0);
    for (minutes, call) in calls {
        now += minutes * MINUTE;
        let resolved = resolved(call);
        let asked = ours.preview(at(now), agent, call, &resolved);
        if !ours.granted(at(now), agent, call, &resolved).is_allowed() {
            continue;
        }
        n_granted += 1;
        let above = theirs.preview(at(now), agent, call, &resolved);
        let is_asked_less = asked.is_allowed() && matches!(above, Decision::Ask { .. });
        if is_asked_less || !theirs.granted(at(now), agent, call, &resolved).is_allowed() {
            return Err(format!("{call:?} at {now}: the child {asked:?}, the parent {above:?}"));
        }
    }
    Ok(n_granted)
}

#[test]
fn what_a_child_may_its_parent_may() {
    let n_granted = Cell::new(0);
    holds(case(), |case| {
        n_granted.set(n_granted.get() + parent_may_too(real, case)?);
        Ok(())
    });
    // Otherwise the check would say nothing.
    assert!(n_granted.get() > 1_000, "only {} calls were granted", n_granted.get());
}

#[test]
fn policies_are_within_themselves_and_nothing_is_within_none() {
    holds(policies(), |policies| {
        is_within(policies, policies).map_err(|error| error.to_string())?;
        is_within(&[], policies).map_err(|error| error.to_string())
    });
}

#[test]
fn a_grandchild_is_within_its_grandparent() {
    let n_within = Cell::new(0);
    holds((family(), policies()), |((child, parent), more)| {
        // All policies of the child and others on top: often within the child.
        let grandchild = [&child[..], more].concat();
        if real(&grandchild, child) && real(child, parent) {
            n_within.set(n_within.get() + 1);
            return is_within(&grandchild, parent).map_err(|error| error.to_string());
        }
        Ok(())
    });
    assert!(n_within.get() > 100, "only {} were within", n_within.get());
}

#[test]
fn a_comparison_that_is_always_content_is_caught() {
    is_caught(case(), |case| parent_may_too(|_, _| true, case).map(drop));
}

#[test]
fn a_comparison_of_names_that_overlooks_the_childs_star_is_caught() {
    fn only_named(child: &[ToolPolicy], parent: &[ToolPolicy]) -> bool {
        // Takes away what the parent says on tools that only the child's star covers.
        let named = |it: &ToolPolicy| child.iter().any(|ours| ours.tool_name == it.tool_name);
        let parent: Vec<_> =
            parent.iter().filter(|it| it.tool_name == "*" || named(it)).cloned().collect();
        real(child, &parent)
    }
    is_caught(case(), |case| parent_may_too(only_named, case).map(drop));
}

#[test]
fn a_comparison_that_does_not_add_up_rates_is_caught() {
    fn each_alone(child: &[ToolPolicy], parent: &[ToolPolicy]) -> bool {
        let mut names: Vec<_> = child.iter().map(|it| &it.tool_name).collect();
        names.dedup();
        names.iter().all(|name| {
            // Everything else is denied, so that one counter is left.
            let one = child.iter().map(|it| {
                let mut it = it.clone();
                if it.tool_name != **name {
                    it.permission = PermissionLevel::Denied;
                }
                it
            });
            real(&one.collect::<Vec<_>>(), parent)
        })
    }
    is_caught(case(), |case| parent_may_too(each_alone, case).map(drop));
}

#[test]
fn a_comparison_without_questions_is_caught() {
    fn no_questions(child: &[ToolPolicy], parent: &[ToolPolicy]) -> bool {
        let quiet = parent.iter().cloned().map(|mut it| {
            it.ask = false;
            it
        });
        real(child, &quiet.collect::<Vec<_>>())
    }
    is_caught(case(), |case| parent_may_too(no_questions, case).map(drop));
}

#[test]
fn a_comparison_without_paths_is_caught() {
    fn no_paths(child: &[ToolPolicy], parent: &[ToolPolicy]) -> bool {
        let free = parent.iter().cloned().map(|mut it| {
            it.allowed_paths = None;
            it
        });
        real(child, &free.collect::<Vec<_>>())
    }
    is_caught(case(), |case| parent_may_too(no_paths, case).map(drop));
}
