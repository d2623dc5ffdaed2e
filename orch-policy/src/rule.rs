//! Policies made ready to be judged by: all policies on one tool become one rule.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orch_core::{Access, PermissionLevel, ToolPolicy};

use crate::roots::{Roots, is_resolved};

/// The name of the policy for every tool that has none of its own.
pub(crate) const ANY_TOOL: &str = "*";

/// A policy that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The name of the tool is empty.
    #[error("a policy names no tool")]
    EmptyToolName,
    /// The name has a `*` among other characters. It would match no tool, and a denial with it
    /// would protect nothing.
    #[error("`{tool}` is a pattern; a policy names one tool, or `*` for all that have none")]
    PatternInToolName {
        /// The name.
        tool: String,
    },
    /// An allowed path does not begin at the root.
    #[error("the allowed path `{path}` of tool `{tool}` is not absolute")]
    RelativePath {
        /// The tool of the policy.
        tool: String,
        /// The path.
        path: String,
    },
    /// An allowed path has a `..`.
    #[error("the allowed path `{path}` of tool `{tool}` has a `..`")]
    ParentInPath {
        /// The tool of the policy.
        tool: String,
        /// The path.
        path: String,
    },
    /// An allowed path has a NUL byte.
    #[error("an allowed path of tool `{tool}` has a NUL byte")]
    NulInPath {
        /// The tool of the policy.
        tool: String,
    },
}

/// The most restrictive combination of policies on one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) level: PermissionLevel,
    /// Where paths must lie below [`PermissionLevel::Full`]; `None` for anywhere.
    pub(crate) within: Option<Roots>,
    /// Calls in any window of 60 minutes; `None` for no limit.
    pub(crate) calls_max: Option<u32>,
    pub(crate) ask: bool,
}

impl Rule {
    /// # Errors
    ///
    /// [`PolicyError`] if the policy cannot be kept.
    pub(crate) fn from_policy(policy: &ToolPolicy) -> Result<Self, PolicyError> {
        check_name(&policy.tool_name)?;
        let roots = |paths: &Vec<String>| {
            let checked = paths.iter().map(|path| checked_path(&policy.tool_name, path));
            checked.collect::<Result<_, _>>().map(Roots::new)
        };
        Ok(Self {
            level: policy.permission,
            within: policy.allowed_paths.as_ref().map(roots).transpose()?,
            calls_max: policy.max_calls_per_hour,
            ask: policy.ask,
        })
    }

    /// What both allow.
    fn and(&self, other: &Self) -> Self {
        Self {
            level: self.level.min(other.level),
            within: both(&self.within, &other.within, Roots::and),
            calls_max: both(&self.calls_max, &other.calls_max, |a, b| *a.min(b)),
            ask: self.ask || other.ask,
        }
    }

    /// Where paths must lie; `None` for anywhere.
    pub(crate) fn confines_to(&self) -> Option<&Roots> {
        self.within.as_ref().filter(|_| self.level < PermissionLevel::Full)
    }

    /// Whether any call could ever pass.
    pub(crate) fn is_live(&self) -> bool {
        self.level > PermissionLevel::Denied && self.calls_max != Some(0)
    }
}

/// The limit of two, each of which may be missing.
fn both<T: Clone>(a: &Option<T>, b: &Option<T>, and: impl FnOnce(&T, &T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(and(a, b)),
        (one, other) => one.clone().or_else(|| other.clone()),
    }
}

/// The rules of one agent by the name of their policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    by_name: BTreeMap<String, Rule>,
}

impl Rules {
    /// # Errors
    ///
    /// [`PolicyError`] for the first policy that cannot be kept.
    pub(crate) fn new(policies: &[ToolPolicy]) -> Result<Self, PolicyError> {
        let mut by_name = BTreeMap::<String, Rule>::new();
        for policy in policies {
            let rule = Rule::from_policy(policy)?;
            let all =
                by_name.get(&policy.tool_name).map_or_else(|| rule.clone(), |it| it.and(&rule));
            by_name.insert(policy.tool_name.clone(), all);
        }
        Ok(Self { by_name })
    }

    /// The rule on a tool, with the name under which its calls are counted.
    pub(crate) fn on(&self, tool: &str) -> Option<(&str, &Rule)> {
        let entry = self.by_name.get_key_value(tool);
        let entry = entry.or_else(|| self.by_name.get_key_value(ANY_TOOL));
        entry.map(|(name, rule)| (name.as_str(), rule))
    }

    /// Whether a tool has a rule of its own. `*` is the name of no tool.
    pub(crate) fn names(&self, tool: &str) -> bool {
        tool != ANY_TOOL && self.by_name.contains_key(tool)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.by_name.iter().map(|(name, rule)| (name.as_str(), rule))
    }
}

/// The lowest level at which a tool may be used in this way.
pub(crate) const fn level_needed(access: Access) -> PermissionLevel {
    match access {
        Access::Read => PermissionLevel::ReadOnly,
        Access::Write => PermissionLevel::ReadWrite,
        Access::Execute => PermissionLevel::Full,
    }
}

fn check_name(tool: &str) -> Result<(), PolicyError> {
    if tool.trim().is_empty() {
        return Err(PolicyError::EmptyToolName);
    }
    if tool != ANY_TOOL && tool.contains('*') {
        return Err(PolicyError::PatternInToolName { tool: tool.to_owned() });
    }
    Ok(())
}

fn checked_path(tool: &str, path: &str) -> Result<PathBuf, PolicyError> {
    let (tool, path, root) = (tool.to_owned(), path.to_owned(), PathBuf::from(path));
    if path.contains('\0') {
        return Err(PolicyError::NulInPath { tool });
    }
    if !root.is_absolute() {
        return Err(PolicyError::RelativePath { tool, path });
    }
    if !is_resolved(&root) {
        return Err(PolicyError::ParentInPath { tool, path });
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(tool: &str) -> ToolPolicy {
        ToolPolicy::new(tool.to_owned(), PermissionLevel::ReadWrite)
    }

    #[track_caller]
    fn refused(policy: ToolPolicy, expected: &str) {
        let error = Rules::new(&[policy]).expect_err("it cannot be kept");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused() {
        refused(policy(""), "a policy names no tool");
        refused(policy(" "), "a policy names no tool");
        refused(
            policy("fs_*"),
            "`fs_*` is a pattern; a policy names one tool, or `*` for all that have none",
        );
        refused(
            policy("fs").with_allowed_path("data"),
            "the allowed path `data` of tool `fs` is not absolute",
        );
        refused(
            policy("fs").with_allowed_path(""),
            "the allowed path `` of tool `fs` is not absolute",
        );
        refused(
            policy("fs").with_allowed_path("/data/../etc"),
            "the allowed path `/data/../etc` of tool `fs` has a `..`",
        );
        refused(
            policy("fs").with_allowed_path("/data\0"),
            "an allowed path of tool `fs` has a NUL byte",
        );
    }

    #[test]
    fn policies_on_one_tool_become_the_most_restrictive_one() {
        let wide = policy("fs").with_rate_limit(5).with_allowed_path("/data").with_ask();
        let narrow = ToolPolicy::new("fs".into(), PermissionLevel::ReadOnly)
            .with_rate_limit(9)
            .with_allowed_path("/data/in");
        let rules = Rules::new(&[wide, policy("fs"), narrow]).expect("they can be kept");
        let expected = Rule {
            level: PermissionLevel::ReadOnly,
            within: Some(Roots::new(vec![PathBuf::from("/data/in")])),
            calls_max: Some(5),
            ask: true,
        };
        assert_eq!(rules.on("fs"), Some(("fs", &expected)));
    }

    #[test]
    fn the_star_is_for_tools_without_a_rule_of_their_own() {
        let rules = Rules::new(&[policy("*").with_ask(), policy("fs")]).expect("they can be kept");
        let asks = |tool| rules.on(tool).map(|(name, rule)| (name, rule.ask));
        assert_eq!(asks("fs"), Some(("fs", false)));
        assert_eq!(asks("git"), Some(("*", true)));
        assert_eq!(Rules::default().on("fs"), None);
    }
}
