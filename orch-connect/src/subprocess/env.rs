//! The environment of a program: nothing of ours but what is listed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use orch_core::{AgentMessage, MessagePriority};

use super::folder::Folder;
use super::settings::ProgramSettings;
use crate::SessionSpec;

/// Marks the processes of one session, so that they can be found without their keeper.
pub(super) const SESSION: &str = "ORCH_SESSION";

/// The longest value of metadata that is passed on, and the most in all.
const METADATA_VALUE_MAX: usize = 32 << 10;
const METADATA_MAX: usize = 256 << 10;

/// An environment; the later entry of a name wins.
pub(super) type Env = BTreeMap<OsString, OsString>;

/// The `PATH` that the program will see.
pub(super) fn path(settings: &ProgramSettings) -> OsString {
    let given = settings.env.get("PATH").map(OsString::from);
    given.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| "/usr/bin:/bin".into())
}

/// What every program of a session sees.
pub(super) fn of_session(settings: &ProgramSettings, spec: &SessionSpec, folder: &Folder) -> Env {
    let mut env: Env = std::env::vars_os()
        .filter(|(name, _)| {
            is_allowed(name) || settings.inherit_env.iter().any(|it| **it == **name)
        })
        .collect();
    env.insert("HOME".into(), folder.home().into());
    env.insert("TMPDIR".into(), folder.tmp().into());
    env.extend(settings.env.iter().map(|(name, value)| (name.into(), value.into())));
    env.insert("PATH".into(), path(settings));
    env.insert(SESSION.into(), folder.mark().into());
    env.insert("ORCH_AGENT".into(), spec.agent.to_string().into());
    env.insert("ORCH_AGENT_NAME".into(), spec.config.name.replace('\0', "").into());
    env
}

fn is_allowed(name: &OsStr) -> bool {
    let is_locale = name.to_str().is_some_and(|name| name.starts_with("LC_"));
    is_locale || ["LANG", "TZ"].iter().any(|allowed| name == *allowed)
}

/// What a program that runs for one message sees beside.
pub(super) fn of_message(message: &AgentMessage, attempt: u32) -> Env {
    let mut env = metadata(message.metadata());
    env.insert("ORCH_MESSAGE_ID".into(), message.id().to_string().into());
    // The message's id: the same for each attempt.
    env.insert("ORCH_DELIVERY_KEY".into(), message.id().to_string().into());
    env.insert("ORCH_ATTEMPT".into(), attempt.to_string().into());
    env.insert("ORCH_FROM".into(), message.from().to_string().into());
    env.insert("ORCH_PRIORITY".into(), priority(message.priority()).into());
    env
}

fn priority(priority: MessagePriority) -> String {
    priority.to_string().to_lowercase()
}

/// Metadata comes from other agents: it must neither break the start of the program nor stand for a
/// variable with another meaning.
fn metadata(metadata: &BTreeMap<String, String>) -> Env {
    let mut left = METADATA_MAX;
    let mut env = Env::new();
    for (key, value) in metadata {
        let size = key.len() + value.len();
        if value.contains('\0') || value.len() > METADATA_VALUE_MAX || size > left {
            continue;
        }
        left -= size;
        let name =
            |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
        let key: String = key.chars().map(name).collect();
        env.insert(format!("ORCH_METADATA_{key}").into(), value.into());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_core::AgentId;

    #[test]
    fn metadata_can_neither_break_a_start_nor_name_another_variable() {
        let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "x")
            .with_metadata("file-name", "a b")
            .with_metadata("X=1;LD_PRELOAD", "y")
            .with_metadata("nul", "a\0b")
            .with_metadata("long", "x".repeat(METADATA_VALUE_MAX + 1));
        let env = metadata(message.metadata());
        let expected: Env = [("FILE_NAME", "a b"), ("X_1_LD_PRELOAD", "y")]
            .map(|(key, value)| (format!("ORCH_METADATA_{key}").into(), value.into()))
            .into();
        assert_eq!(env, expected);
    }

    #[test]
    fn metadata_is_bounded_in_all() {
        let mut message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "x");
        for number in 0..100 {
            message = message.with_metadata(number.to_string(), "x".repeat(METADATA_VALUE_MAX));
        }
        let total: usize = metadata(message.metadata()).values().map(|value| value.len()).sum();
        assert!(total <= METADATA_MAX, "{total}");
    }
}
