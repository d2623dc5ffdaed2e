//! Pure decisions of the `orch` multi-agent runtime: everything takes `now` and returns a value.
//!
//! - [`PolicyEngine`] decides on tool calls: level, paths, rate, and whether a person is asked.
//! - [`is_within`] says whether a child's policies stay within its parent's.
//! - [`paths`] resolves a path as the operating system would, before it is judged.
//! - [`RetryPolicy`] says when the next attempt begins, or why there is none.
//! - [`Restarts`] says whether a failed agent is restarted once more.
//! - [`budget`] holds what may be spent in all, on whatever runs at once.
//! - [`chain`] holds the messages together that follow from one, and finds those that go in circles.
//! - [`waits`] finds the wait that closes a ring.
//! - [`settings`] is what a team file says about all this, and what a team can spend at most.
//!
//! This crate must never know tokio or clocks, nor that a bus exists. It starts no thread; the accounts
//! of [`budget`], which threads share, are behind locks. It reads from the file system in one
//! place: [`paths::OsLinks`], which follows symbolic links. It opens nothing; it judges only what it is
//! asked about, and whoever acts must act on what was judged.

#![forbid(unsafe_code)]

pub mod budget;
pub mod chain;
mod counters;
mod denial;
mod engine;
mod grant;
#[cfg(all(test, orch_shuttle))]
mod model;
pub mod paths;
mod restart;
mod retry;
mod roots;
mod rule;
pub mod settings;
mod sync;
pub mod waits;
mod window;

pub use counters::RateCounters;
pub use engine::PolicyEngine;
pub use grant::{Exceeds, is_within};
pub use restart::{RestartDecision, RestartIntensity, Restarts};
pub use retry::{RetryDecision, RetryPolicy};
pub use rule::PolicyError;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
