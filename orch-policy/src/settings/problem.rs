//! What is wrong with settings, and where.

/// One setting that is wrong. The text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` in [{section}] {message}")]
#[non_exhaustive]
pub struct SettingsProblem {
    /// The section, such as `budget.chain`.
    pub section: String,
    /// The key.
    pub key: String,
    /// What is wrong, and the way out.
    pub message: String,
}

impl SettingsProblem {
    pub(super) fn new(
        section: impl Into<String>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { section: section.into(), key: key.into(), message: message.into() }
    }
}
