//! Exit codes, and what led to them.

use std::fmt::Display;
use std::process::ExitCode;

use orch_runtime::StopReason;

/// How `orch` ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Completed = 0,
    Internal = 1,
    WrongInput = 2,
    Iterations = 3,
    Messages = 4,
    Time = 5,
    AgentFailed = 6,
    Journal = 7,
    Stopped = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit code of a run that ended so.
    pub(crate) fn of(reason: &StopReason) -> Self {
        match reason {
            StopReason::Completed => Self::Completed,
            StopReason::MaxIterations => Self::Iterations,
            StopReason::MaxMessagesPerAgent { .. } => Self::Messages,
            StopReason::MaxExecutionTime => Self::Time,
            StopReason::AgentError { .. } => Self::AgentFailed,
            StopReason::ManualStop => Self::Stopped,
            StopReason::JournalFailed { .. } => Self::Journal,
            _ => Self::Internal,
        }
    }
}

/// Something that ends the program before or instead of an answer.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Stop {
    pub(crate) fn wrong_input(message: impl Display) -> Self {
        Self { exit: Exit::WrongInput, message: message.to_string() }
    }

    pub(crate) fn damaged(message: impl Display) -> Self {
        Self { exit: Exit::Journal, message: message.to_string() }
    }

    pub(crate) fn internal(message: impl Display) -> Self {
        Self { exit: Exit::Internal, message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use orch_runtime::AgentId;

    use super::*;

    #[test]
    fn each_reason_has_the_code_that_the_help_promises() {
        let agent_id = AgentId::OUTSIDE;
        let codes = [
            (StopReason::Completed, 0),
            (StopReason::MaxIterations, 3),
            (StopReason::MaxMessagesPerAgent { agent_id, count: 1 }, 4),
            (StopReason::MaxExecutionTime, 5),
            (StopReason::AgentError { agent_id, error: String::new() }, 6),
            (StopReason::ManualStop, 130),
            (StopReason::JournalFailed { error: String::new() }, 7),
        ];
        for (reason, code) in codes {
            assert_eq!(Exit::of(&reason) as u8, code, "{reason}");
        }
    }
}
