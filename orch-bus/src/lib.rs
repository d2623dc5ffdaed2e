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
//! makes another sender wait nor hides a message whose send has returned; it costs the receiver one
//! walk over what was sent behind it, where a receive is O(1) otherwise, however many messages wait.
//! Not lock-free: the directory (dashmap: sharded locks, held for a look-up), receivers among
//! themselves (they take turns, and no sender waits for them), waking somebody who sleeps (tokio's
//! `Notify`; a worker of the scheduler: the lock in `idle.rs`), and the allocator, which a send asks
//! for the memory of its message.
//!
//! `docs/proofs.md` says what was checked, by which tool, and which planted mistakes were found.
//!
//! This crate must never know what a message means, or that an orchestrator exists.

#![deny(unsafe_code)]
#![cfg_attr(
    any(orch_loom, orch_shuttle),
    expect(dead_code, reason = "a model is a part of the crate")
)]

mod book;
mod counter;
mod dead_letters;
mod delivery;
mod error;
#[cfg_attr(any(orch_loom, orch_shuttle), path = "model/home.rs")]
mod home;
mod idle;
mod lane;
mod mailbox;
#[cfg(all(test, any(orch_loom, orch_shuttle)))]
mod model;
mod places;
mod ready;
mod stack;
mod sync;
mod waiting;

// Models know the mailbox and who looks after it, and nothing around them.
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod admission;
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod ask;
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod bus;
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod fan_out;
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod reserved;
#[cfg(not(any(orch_loom, orch_shuttle)))]
mod send;

pub use dead_letters::{DeadLetters, ResendError};
pub use delivery::Delivery;
pub use error::SendError;
pub use idle::Look;
pub use mailbox::{Announce, Mailbox};
pub use ready::{Announced, Attachment, Desk};

#[cfg(not(any(orch_loom, orch_shuttle)))]
pub use fan_out::Copies;
#[cfg(not(any(orch_loom, orch_shuttle)))]
pub use {
    admission::{Admission, Commit, CommitFuture, Refusal},
    ask::{AskError, QuestionFailure},
    bus::MessageBus,
    home::BusLimits,
    reserved::Reserved,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
