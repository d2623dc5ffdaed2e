//! Why a call is denied, in words that an agent can act on.

use std::path::{Path, PathBuf};

use orch_core::{Decision, PermissionLevel, Timestamp};

use crate::window::Full;

/// Texts of an agent are cut here, so that a denial stays short.
const SHOWN_CHARS_MAX: usize = 200;

/// Allowed paths beyond these are not listed.
const SHOWN_PATHS_MAX: usize = 5;

/// Why a call is denied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("there is no policy on tool `{}`", shown(.tool))]
    NoPolicy { tool: String },
    #[error("tool `{}` is denied", shown(.tool))]
    Denied { tool: String },
    #[error("the call needs {needs:?} on tool `{}`, which is {has:?}", shown(.tool))]
    Level { tool: String, needs: PermissionLevel, has: PermissionLevel },
    #[error("not every path of the call could be resolved")]
    Unresolved,
    #[error("the path `{}` lies outside of the allowed paths{}", shown_path(.path), listed(.allowed))]
    Outside { path: PathBuf, allowed: Vec<String> },
    #[error("the policy on `{policy}` grants at most {calls_max} calls in 60 minutes")]
    Rate { policy: String, calls_max: u32, full: Full },
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        let possible_at: Option<Timestamp> = match &denial {
            Denial::Rate { full, .. } => full.possible_at,
            _ => None,
        };
        Self::Deny { reason: denial.to_string(), possible_at }
    }
}

/// The text of an agent, short and without control characters.
fn shown(text: &str) -> String {
    let visible = |it: char| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(visible).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

/// ` (…, …)`, or nothing if there are none.
pub(crate) fn listed(paths: &[String]) -> String {
    if paths.is_empty() {
        return String::new();
    }
    let more = if paths.len() > SHOWN_PATHS_MAX { ", …" } else { "" };
    format!(" ({}{more})", paths[..paths.len().min(SHOWN_PATHS_MAX)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_shows_no_control_characters_and_no_endless_name() {
        let tool = format!("\u{1b}[2J{}", "x".repeat(1_000_000));
        let reason = Denial::NoPolicy { tool }.to_string();
        assert!(reason.starts_with("there is no policy on tool `\u{fffd}[2Jxx"), "{reason}");
        assert!(reason.chars().count() < 300 && !reason.contains('\u{1b}'), "{reason}");
    }

    #[test]
    fn a_path_outside_is_told_what_is_allowed() {
        let denial = Denial::Outside { path: "/etc/x".into(), allowed: vec!["/data".into()] };
        assert_eq!(
            denial.to_string(),
            "the path `/etc/x` lies outside of the allowed paths (/data)"
        );
        let many: Vec<String> = (0..9).map(|number| format!("/{number}")).collect();
        assert_eq!(listed(&many), " (/0, /1, /2, /3, /4, …)");
    }
}
