//! What a page is told when a command fails: a code to branch on, words, and a way out.

use orch_runtime::{
    AgentId, ConnectError, MessageId, ResendError, SendError, SpawnError, StartError,
};
use orch_team::{BuildError, RunError};
use serde::Serialize;

use crate::text;

/// Words of an error that came from a page's own input are cut at this length.
const MESSAGE_CHARS_MAX: usize = 400;

/// Why a command failed. In JSON `{ code, message, hint }`; `hint` is missing where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "CommandError", optional_fields))]
#[error("{message}")]
#[non_exhaustive]
pub struct Error {
    /// What kind of failure it is; stays the same between versions.
    pub code: ErrorCode,
    /// What went wrong, in words.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The kinds of failure. In JSON in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// An argument is missing, unknown, or wrong.
    InvalidArguments,
    /// There is no orchestrator under this `run_id`.
    UnknownRun,
    /// No agent has this id.
    UnknownAgent,
    /// No dead letter has this message.
    UnknownMessage,
    /// The agent cannot run as it is configured.
    CannotRun,
    /// The host has not allowed pages to use this program.
    ProgramNotAllowed,
    /// The host has not allowed pages to use this kind of agent.
    ConnectorNotAllowed,
    /// `create_orchestrator` was not called.
    NotCreated,
    /// A run is under way.
    AlreadyRunning,
    /// Handlers of the former run have not returned.
    StillRunning,
    /// The lane of the recipient's mailbox is full.
    MailboxFull,
    /// The content has too many bytes.
    TooLarge,
    /// The message was not accepted for another reason.
    NotAccepted,
    /// The team's flow cannot start like this.
    Flow,
    /// A limit on how many there may be is reached.
    TooMany,
    /// The host has not put `Orchestrators` under Tauri's management.
    NotManaged,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = text::shorten(message.into(), MESSAGE_CHARS_MAX);
        Self { code, message, hint: None }
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(text::shorten(hint.into(), MESSAGE_CHARS_MAX));
        self
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArguments, message)
    }

    pub(crate) fn unknown_agent(agent: AgentId) -> Self {
        Self::new(ErrorCode::UnknownAgent, format!("{agent} is not registered"))
            .with_hint("list_agents answers the ids that there are")
    }

    pub(crate) fn unknown_message(message: MessageId) -> Self {
        Self::new(ErrorCode::UnknownMessage, format!("no dead letter has {message}"))
            .with_hint("list_dead_letters answers those that there are")
    }

    pub(crate) fn already_running() -> Self {
        Self::new(ErrorCode::AlreadyRunning, "a run is under way")
            .with_hint("call stop_orchestrator first, or use another run_id")
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::new(ErrorCode::CannotRun, error.to_string())
    }
}

impl From<SpawnError> for Error {
    fn from(error: SpawnError) -> Self {
        Self::new(ErrorCode::CannotRun, error.to_string())
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::AlreadyRunning => Self::already_running(),
            StartError::StillRunning { .. } => {
                Self::new(ErrorCode::StillRunning, error.to_string())
            }
            _ => Self::new(ErrorCode::CannotRun, error.to_string())
                .with_hint("unregister the agent, or give it what it needs"),
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match &error {
            SendError::UnknownAgent(message) | SendError::Closed(message) => {
                Self::unknown_agent(message.to())
            }
            SendError::Full { .. } => Self::new(ErrorCode::MailboxFull, error.to_string()),
            SendError::TooLarge { .. } => Self::new(ErrorCode::TooLarge, error.to_string()),
            _ => Self::new(ErrorCode::NotAccepted, error.to_string()),
        }
    }
}

impl From<ResendError> for Error {
    fn from(error: ResendError) -> Self {
        match error {
            ResendError::Unknown(message) => Self::unknown_message(message),
            ResendError::NotAccepted(error) => error.into(),
            _ => Self::new(ErrorCode::NotAccepted, error.to_string()),
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::new(ErrorCode::CannotRun, error.to_string())
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Flow(error) => Self::new(ErrorCode::Flow, error.to_string()),
            RunError::NotAccepted(error) => error.into(),
            RunError::Start(error) => error.into(),
            _ => Self::new(ErrorCode::CannotRun, error.to_string()),
        }
    }
}
