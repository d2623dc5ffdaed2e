//! Lock-free priority mailboxes, and a bus that routes messages to them by agent id.
//!
//! The promise of order, which every receive keeps:
//!
//! > When a receive returns a message, no message of a higher priority whose send had returned
//! > before that receive began is still waiting. Within a lane, if one send returned before another
//! > began, it is received first. Nothing is promised between sends that overlap.
//!
//! Start with [`MessageBus`], or with a [`Mailbox`] alone. A sender that writes often keeps the
//! mailbox as its address and skips the bus's directory.
//!
//! What is lock-free, exactly: the lanes. A sender that the operating system stops half-way neither
//! makes another sender wait nor hides a message whose send has returned. Not lock-free: the
//! directory (dashmap: sharded locks, held for a look-up), receivers among themselves (they take
//! turns, and no sender waits for them), and waking somebody who sleeps (tokio's `Notify`).
//!
//! This crate must never know what a message means, or that an orchestrator exists.

#![deny(unsafe_code)]

mod admission;
mod ask;
mod bus;
mod counter;
mod dead_letters;
mod delivery;
mod error;
mod fan_out;
mod home;
mod lane;
mod mailbox;
mod ready;
mod send;
mod sync;

pub use admission::{Admission, Refusal};
pub use ask::{AskError, QuestionFailure};
pub use bus::MessageBus;
pub use dead_letters::{DeadLetters, ResendError};
pub use delivery::Delivery;
pub use error::SendError;
pub use home::BusLimits;
pub use mailbox::{Announce, Mailbox};
pub use ready::{Announced, Attachment, Desk, Look};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
