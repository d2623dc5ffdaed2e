//! What an agent may call, and what was decided on a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// How much of a tool an agent may use. Each level includes those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum PermissionLevel {
    /// No access.
    #[default]
    Denied,
    /// Read-only access.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Everything: execution too, and access beyond the allowed paths.
    Full,
}

/// What a tool call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It looks.
    Read,
    /// It changes something.
    Write,
    /// It runs something.
    Execute,
}

/// What one agent may do with one tool. Without a policy a tool is denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct ToolPolicy {
    /// The tool's name; `*` for every tool that has no policy of its own.
    #[serde(rename = "tool")]
    pub tool_name: String,
    /// How much of the tool the agent may use.
    pub permission: PermissionLevel,
    /// Granted calls in any window of 60 minutes; `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls_per_hour: Option<u32>,
    /// Folders (and files) to which paths must belong below [`PermissionLevel::Full`]; `None` for
    /// no rule about paths, an empty list for no path at all. Absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_paths: Option<Vec<String>>,
    /// Whether a person decides about each call that would be allowed otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "ts", ts(as = "Option<_>", optional))]
    pub ask: bool,
}

impl ToolPolicy {
    /// A policy on `tool_name` without a rate limit or rules about paths.
    #[must_use]
    pub fn new(tool_name: String, permission: PermissionLevel) -> Self {
        Self { tool_name, permission, max_calls_per_hour: None, allowed_paths: None, ask: false }
    }

    /// Limits the granted calls in any window of 60 minutes.
    #[must_use]
    pub fn with_rate_limit(mut self, max_calls_per_hour: u32) -> Self {
        self.max_calls_per_hour = Some(max_calls_per_hour);
        self
    }

    /// Adds a folder (or file) that the call may touch. Absolute.
    #[must_use]
    pub fn with_allowed_path(mut self, path: impl Into<String>) -> Self {
        self.allowed_paths.get_or_insert_default().push(path.into());
        self
    }

    /// Makes a person decide about each call that would be allowed otherwise.
    #[must_use]
    pub fn with_ask(mut self) -> Self {
        self.ask = true;
        self
    }
}

/// A call that an agent wants to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// What the call does.
    pub access: Access,
    /// The paths that it touches, as the agent wrote them.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What it is called with; shown to whoever decides.
    #[serde(default)]
    pub arguments: Value,
}

impl ToolCall {
    /// A call that touches no path and has no arguments.
    #[must_use]
    pub fn new(tool: impl Into<String>, access: Access) -> Self {
        Self { tool: tool.into(), access, paths: Vec::new(), arguments: Value::Null }
    }

    /// Adds a path that the call touches.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Sets what the tool is called with.
    #[must_use]
    pub fn with_arguments(mut self, arguments: Value) -> Self {
        self.arguments = arguments;
        self
    }
}

/// What was decided on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decision {
    /// The call may be made.
    Allow,
    /// The call may not be made.
    Deny {
        /// Why, in words that the agent can act on.
        reason: String,
        /// When the same call may be possible; `None` if waiting does not help.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        possible_at: Option<Timestamp>,
    },
    /// A person decides.
    Ask {
        /// Why a person is asked.
        reason: String,
    },
}

impl Decision {
    /// A denial that waiting does not change.
    #[must_use]
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny { reason: reason.into(), possible_at: None }
    }

    /// Whether the call may be made.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }
}
