//! Why an agent cannot run, and why its host refused something.

use orch_core::AgentMessage;

/// Why an agent cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connector has that name.
    #[error("connector type `{name}` is unknown; known are {}", .known.join(", "))]
    UnknownConnector {
        /// The name that was asked for.
        name: String,
        /// The names that there are, sorted.
        known: Vec<String>,
    },
    /// A connector that needs Rust code was named without any.
    #[error("connector type `{name}` needs code: {hint}")]
    NeedsCode {
        /// The name that was asked for.
        name: String,
        /// How to give it.
        hint: String,
    },
    /// A setting is missing or wrong.
    #[error("setting `{setting}`: {problem}")]
    BadSetting {
        /// The setting's name.
        setting: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The program does not exist, or is not executable.
    #[error("program `{program}` was not found (searched in {searched})")]
    MissingProgram {
        /// The program as it was named.
        program: String,
        /// Where it was looked for: the PATH, or the one place.
        searched: String,
    },
    /// A tool policy could not be held against this kind of agent.
    #[error("the policy on tool `{tool}` cannot be enforced: {reason}")]
    PolicyNotEnforceable {
        /// The policy's tool.
        tool: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// A limit could be passed by what the agent starts, because nothing here can hold it.
    #[error("the limit `{limit}` cannot be held: {reason}")]
    LimitNotEnforceable {
        /// The limit's setting.
        limit: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// The session could not be opened.
    #[error("the session could not be opened: {error}")]
    OpenFailed {
        /// What went wrong.
        error: String,
        /// Whether another attempt may succeed.
        transient: bool,
    },
}

impl ConnectError {
    /// Whether opening again may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::OpenFailed { transient: true, .. })
    }
}

/// Why the host refused what a handler wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A message was not accepted; it is given back.
    #[error("the message was not accepted: {error}")]
    NotAccepted {
        /// Why.
        error: String,
        /// Whether the same send may be accepted later.
        transient: bool,
        /// The message.
        message: Box<AgentMessage>,
    },
    /// A question was accepted and not answered.
    #[error("the question was not answered: {error}")]
    NotAnswered {
        /// Why: a deadline, or what became of the asked agent.
        error: String,
        /// Whether asking again may succeed.
        transient: bool,
    },
    /// An agent was not spawned or retired.
    #[error("{error}")]
    NotAllowed {
        /// Which limit or right is in the way.
        error: String,
    },
    /// The new agent cannot run.
    #[error(transparent)]
    CannotRun(#[from] ConnectError),
    /// The run is over.
    #[error("the run is over")]
    Over,
}

impl HostError {
    /// Whether doing the same again later may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NotAccepted { transient, .. } | Self::NotAnswered { transient, .. } => *transient,
            Self::CannotRun(error) => error.is_transient(),
            Self::NotAllowed { .. } | Self::Over => false,
        }
    }
}

/// A refusal of the host fails the attempt, for good unless doing it again may help.
impl From<HostError> for orch_core::Failure {
    fn from(error: HostError) -> Self {
        let text = error.to_string();
        if error.is_transient() { Self::transient(text) } else { Self::last(text) }
    }
}
