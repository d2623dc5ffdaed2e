//! The name of an agent in its team.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name has at most this many bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// The name of an agent, unique in its team. A clone copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(Arc<str>);

/// A text that cannot name an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" cannot name an agent: use up to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`",
    .0.escape_debug()
)]
pub struct BadName(String);

impl AgentName {
    /// Takes a name of 1 to 64 bytes: letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    ///
    /// [`BadName`] otherwise.
    pub fn try_new(name: &str) -> Result<Self, BadName> {
        let is_allowed = |it: char| it.is_alphanumeric() || "-_.".contains(it);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_allowed);
        if fits { Ok(Self(name.into())) } else { Err(BadName(name.to_owned())) }
    }

    /// Takes a name that was refused, while the rest of its table and the flow are checked.
    pub(crate) fn refused(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for AgentName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AgentName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "reader-2", "größe_1.x"] {
            assert_eq!(AgentName::try_new(name).unwrap().as_str(), name);
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "a b", "a/b", "a*3", "a\u{1b}", &long] {
            assert!(AgentName::try_new(name).is_err(), "{name:?}");
        }
    }
}
