//! Why a message was not accepted. Every variant gives it back.

use std::time::Duration;

use orch_core::AgentMessage;

/// Why a message was not accepted; the message is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The lane of the message's priority is full.
    #[error(
        "the {} lane of {} is full ({limit} messages): try again later, or raise the lane's capacity",
        .message.priority(), .message.to()
    )]
    Full {
        /// The message.
        message: Box<AgentMessage>,
        /// The lane's capacity, in messages; those that are being handled count.
        limit: u32,
        /// How long the send waited for room.
        waited: Duration,
    },
    /// No mailbox has the recipient's id.
    #[error("{} has no mailbox: create one, or check the id", .0.to())]
    UnknownAgent(Box<AgentMessage>),
    /// The mailbox was closed.
    #[error("the mailbox of {} is closed: its agent was retired, send to another one", .0.to())]
    Closed(Box<AgentMessage>),
    /// The content has too many bytes.
    #[error(
        "the content has {} bytes, the limit is {limit}: send a part of it, or raise content_bytes_max",
        .message.content().len()
    )]
    TooLarge {
        /// The message.
        message: Box<AgentMessage>,
        /// The most bytes that a content may have.
        limit: usize,
    },
    /// The message's deadline has come.
    #[error("the deadline of {} has passed: send it with a later one, or with none", .0.id())]
    Expired(Box<AgentMessage>),
    /// `try_send` cannot wait for the commit that this bus needs; use `send`.
    #[error("accepting on this bus means waiting for a commit: use send instead of try_send")]
    WouldWait(Box<AgentMessage>),
    /// The bus's admission refused it.
    #[error("the message was refused: {reason}")]
    Refused {
        /// The message.
        message: Box<AgentMessage>,
        /// Why.
        reason: String,
    },
    /// Its acceptance could not be made durable; nothing of it was.
    #[error("the message could not be made durable: {reason}")]
    NotDurable {
        /// The message.
        message: Box<AgentMessage>,
        /// Why.
        reason: String,
        /// Whether it may be possible later.
        transient: bool,
    },
    /// Nobody knows whether it was accepted. Sending it again under the same id is safe.
    #[error("nobody knows whether the message was accepted, send the same one again: {reason}")]
    Uncertain {
        /// The message.
        message: Box<AgentMessage>,
        /// Why.
        reason: String,
    },
}

impl SendError {
    /// The message that was not accepted.
    #[must_use]
    pub fn into_message(self) -> AgentMessage {
        match self {
            Self::Full { message, .. }
            | Self::UnknownAgent(message)
            | Self::Closed(message)
            | Self::TooLarge { message, .. }
            | Self::Expired(message)
            | Self::WouldWait(message)
            | Self::Refused { message, .. }
            | Self::NotDurable { message, .. }
            | Self::Uncertain { message, .. } => *message,
        }
    }

    /// Whether the same send may be accepted later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::WouldWait(_) | Self::NotDurable { transient: true, .. }
        )
    }

    pub(crate) fn full(message: AgentMessage, limit: u32, waited: Duration) -> Self {
        Self::Full { message: Box::new(message), limit, waited }
    }
}
