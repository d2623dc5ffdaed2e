//! Attenuation: what a parent hands to its child is never more than it has itself.

use std::collections::BTreeSet;

use orch_core::{PermissionLevel, ToolPolicy};

use crate::denial::listed;
use crate::rule::{ANY_TOOL, PolicyError, Rule, Rules};

/// A right that a child would have and its parent has not.
///
/// `tool` is the name of a tool, or `*` for those that neither of the two names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exceeds {
    /// The parent has no policy on the tool, and so may not use it.
    #[error("the parent has no policy on tool `{tool}`")]
    Tool {
        /// The tool.
        tool: String,
    },
    /// The child's level is higher.
    #[error("{level:?} on tool `{tool}` exceeds the parent's {limit:?}")]
    Level {
        /// The tool.
        tool: String,
        /// The child's level.
        level: PermissionLevel,
        /// The parent's level.
        limit: PermissionLevel,
    },
    /// A path of the child's does not lie within the parent's.
    #[error(
        "{} on tool `{tool}` exceeds the parent's paths{}",
        .path.as_ref().map_or("no rule about paths".to_owned(), |path| format!("the path `{path}`")),
        listed(.limit)
    )]
    Paths {
        /// The tool.
        tool: String,
        /// The path; `None` if the child has no rule about paths.
        path: Option<String>,
        /// The paths that the parent may touch.
        limit: Vec<String>,
    },
    /// The child may call more often.
    #[error(
        "{} on tool `{tool}` exceeds the parent's {limit} calls in 60 minutes",
        .calls.map_or("no rate".to_owned(), |calls| format!("a rate of {calls}"))
    )]
    Rate {
        /// The tool; `*` also for several of the child's tools that share the parent's `*`.
        tool: String,
        /// Calls of the child in 60 minutes; `None` for no limit.
        calls: Option<u64>,
        /// Calls of the parent in 60 minutes.
        limit: u32,
    },
    /// A person decides about the parent's calls, and not about the child's.
    #[error("the parent asks a person about tool `{tool}`, and the child does not")]
    Ask {
        /// The tool.
        tool: String,
    },
    /// A policy of one of the two cannot be kept, so nothing is said about it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Checks that whatever the child's policies allow, the parent's allow too.
///
/// All tools that fall under the parent's `*` share its rate, so the child's rates on them are added
/// up. What else a policy with the level `Denied` or a rate of zero says is not looked at, since it
/// allows nothing.
///
/// One child alone is looked at: several children, each within its parent, may together make more
/// calls than the parent's rate. And rates are compared as numbers: while a clock steps back every
/// count errs on the side of denial, so the parent's may deny a call that the child's grants.
///
/// # Errors
///
/// [`Exceeds`] names one right that the parent has not; a policy that cannot be kept is an error too.
pub fn is_within(child: &[ToolPolicy], parent: &[ToolPolicy]) -> Result<(), Exceeds> {
    let (child, parent) = (Rules::new(child)?, Rules::new(parent)?);
    for tool in tools_of_interest(&child, &parent) {
        // A tool that the child may not use at all cannot exceed anything.
        if let Some((_, ours)) = child.on(tool).filter(|(_, rule)| rule.is_live()) {
            let (_, theirs) =
                parent.on(tool).ok_or_else(|| Exceeds::Tool { tool: tool.to_owned() })?;
            check_rule(tool, ours, theirs)?;
        }
    }
    parent.iter().try_for_each(|(name, rule)| check_rate(name, rule, &child, &parent))
}

/// One of each kind: every tool that one of the two names, and `*` for all others.
fn tools_of_interest<'a>(child: &'a Rules, parent: &'a Rules) -> BTreeSet<&'a str> {
    let named = child.iter().chain(parent.iter()).map(|(name, _)| name);
    named.chain([ANY_TOOL]).collect()
}

fn check_rule(tool: &str, child: &Rule, parent: &Rule) -> Result<(), Exceeds> {
    let tool = tool.to_owned();
    if child.level > parent.level {
        return Err(Exceeds::Level { tool, level: child.level, limit: parent.level });
    }
    if parent.ask && !child.ask {
        return Err(Exceeds::Ask { tool });
    }
    check_paths(tool, child, parent)
}

fn check_paths(tool: String, child: &Rule, parent: &Rule) -> Result<(), Exceeds> {
    let Some(limit) = parent.confines_to() else {
        return Ok(());
    };
    let path = match child.confines_to() {
        Some(roots) => match roots.beyond(limit) {
            Some(root) => Some(root.display().to_string()),
            None => return Ok(()),
        },
        None => None,
    };
    Err(Exceeds::Paths { tool, path, limit: limit.to_strings() })
}

/// Compares the parent's rate under one name with all that the child could call under it.
fn check_rate(name: &str, rule: &Rule, child: &Rules, parent: &Rules) -> Result<(), Exceeds> {
    let Some(limit) = rule.calls_max else {
        return Ok(());
    };
    let calls = calls_under(name, child, parent);
    if calls.is_some_and(|calls| calls <= u64::from(limit)) {
        return Ok(());
    }
    Err(Exceeds::Rate { tool: name.to_owned(), calls, limit })
}

/// How often the child may call what the parent counts under `name`; `None` for no limit.
fn calls_under(name: &str, child: &Rules, parent: &Rules) -> Option<u64> {
    let counted_there = |tool: &str| match name {
        ANY_TOOL => !parent.names(tool),
        _ => child.on(name).is_some_and(|(counter, _)| counter == tool),
    };
    let counters = child.iter().filter(|(tool, rule)| counted_there(tool) && rule.is_live());
    // A sum of options: one counter without a limit makes the sum one without a limit.
    counters.map(|(_, rule)| rule.calls_max.map(u64::from)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    use PermissionLevel::{Denied, Full, ReadOnly, ReadWrite};

    fn policy(tool: &str, level: PermissionLevel) -> ToolPolicy {
        ToolPolicy::new(tool.to_owned(), level)
    }

    #[track_caller]
    fn within(child: &[ToolPolicy], parent: &[ToolPolicy]) {
        assert_eq!(is_within(child, parent), Ok(()));
    }

    #[track_caller]
    fn exceeds(child: &[ToolPolicy], parent: &[ToolPolicy], expected: &str) {
        let error = is_within(child, parent).expect_err("the child exceeds its parent");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_tool_that_the_parent_has_not_exceeds() {
        let expected = "the parent has no policy on tool `git`";
        exceeds(&[policy("git", ReadOnly)], &[policy("fs", Full)], expected);
        exceeds(&[policy("*", ReadOnly)], &[], "the parent has no policy on tool `*`");
        within(&[policy("git", ReadOnly)], &[policy("*", ReadOnly)]);
        within(&[], &[]);
    }

    #[test]
    fn a_higher_level_exceeds() {
        let expected = "Full on tool `fs` exceeds the parent's ReadWrite";
        exceeds(&[policy("fs", Full)], &[policy("fs", ReadWrite)], expected);
        within(&[policy("fs", ReadOnly)], &[policy("fs", ReadWrite)]);
    }

    #[test]
    fn a_star_of_the_child_is_judged_by_what_the_parent_names() {
        let parent = [policy("*", Full), policy("fs", Denied)];
        let expected = "ReadOnly on tool `fs` exceeds the parent's Denied";
        exceeds(&[policy("*", ReadOnly)], &parent, expected);
        within(&[policy("*", ReadOnly), policy("fs", Denied)], &parent);
    }

    #[test]
    fn a_denial_of_the_child_exceeds_nothing() {
        within(&[policy("fs", Denied), policy("*", Denied)], &[]);
        within(&[policy("fs", Full).with_rate_limit(0)], &[]);
    }

    #[test]
    fn paths_must_lie_within_the_parents() {
        let parent = [policy("fs", ReadWrite).with_allowed_path("/data")];
        let child = |path: &str| [policy("fs", ReadWrite).with_allowed_path(path)];
        within(&child("/data/in"), &parent);
        exceeds(
            &child("/database"),
            &parent,
            "the path `/database` on tool `fs` exceeds the parent's paths (/data)",
        );
        exceeds(
            &[policy("fs", ReadWrite)],
            &parent,
            "no rule about paths on tool `fs` exceeds the parent's paths (/data)",
        );
    }

    #[test]
    fn several_policies_are_compared_as_their_combination() {
        let data = policy("fs", ReadWrite).with_allowed_path("/data");
        let twice = [data.clone().with_allowed_path("/etc"), data.clone()];
        within(&twice, &[data]);
        within(&twice, &twice);
    }

    #[test]
    fn paths_do_not_matter_where_the_parent_has_full() {
        let parent = [policy("fs", Full).with_allowed_path("/data")];
        within(&[policy("fs", Full)], &parent);
        within(&[policy("fs", ReadOnly)], &parent);
    }

    #[test]
    fn a_higher_rate_exceeds() {
        let parent = [policy("fs", ReadOnly).with_rate_limit(5)];
        within(&[policy("fs", ReadOnly).with_rate_limit(5)], &parent);
        exceeds(
            &[policy("fs", ReadOnly).with_rate_limit(6)],
            &parent,
            "a rate of 6 on tool `fs` exceeds the parent's 5 calls in 60 minutes",
        );
        exceeds(
            &[policy("fs", ReadOnly)],
            &parent,
            "no rate on tool `fs` exceeds the parent's 5 calls in 60 minutes",
        );
    }

    #[test]
    fn rates_under_the_parents_star_are_added_up() {
        let parent = [policy("*", ReadOnly).with_rate_limit(5), policy("fs", ReadOnly)];
        let child = |git, star| {
            let git = policy("git", ReadOnly).with_rate_limit(git);
            [policy("fs", ReadOnly), git, policy("*", ReadOnly).with_rate_limit(star)]
        };
        within(&child(2, 3), &parent);
        exceeds(
            &child(3, 3),
            &parent,
            "a rate of 6 on tool `*` exceeds the parent's 5 calls in 60 minutes",
        );
    }

    #[test]
    fn a_star_of_the_child_keeps_the_rate_of_a_tool_that_the_parent_names() {
        let parent = [policy("*", ReadOnly), policy("fs", ReadOnly).with_rate_limit(1)];
        let expected = "a rate of 2 on tool `fs` exceeds the parent's 1 calls in 60 minutes";
        exceeds(&[policy("*", ReadOnly).with_rate_limit(2)], &parent, expected);
    }

    #[test]
    fn a_question_is_not_dropped() {
        let asks = [policy("fs", ReadOnly).with_ask()];
        let expected = "the parent asks a person about tool `fs`, and the child does not";
        exceeds(&[policy("fs", ReadOnly)], &asks, expected);
        within(&asks, &[policy("fs", ReadOnly)]);
        within(&asks, &asks);
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_not_within() {
        assert_eq!(
            is_within(&[policy("", Denied)], &[]),
            Err(Exceeds::Policy(PolicyError::EmptyToolName))
        );
    }
}
