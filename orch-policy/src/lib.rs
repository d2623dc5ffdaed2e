//! Pure decisions of the `orch` multi-agent runtime: everything takes `now` and returns a value.
//!
//! - [`PolicyEngine`] decides on tool calls: level, paths, rate, and whether a person is asked.
//! - [`is_within`] says whether a child's policies stay within its parent's.
//! - [`paths`] resolves a path as the operating system would, before it is judged.
//! - [`RetryPolicy`] says when the next attempt begins, or why there is none.
//! - [`Restarts`] says whether a failed agent is restarted once more.
//!
//! This crate must never know tokio, clocks or threads, nor that a bus exists. It reads from the
//! file system in one place: [`paths::OsLinks`], which follows symbolic links. It opens nothing; it
//! judges only what it is asked about, and whoever acts must act on what was judged.

#![forbid(unsafe_code)]

mod counters;
mod denial;
mod engine;
mod grant;
pub mod paths;
mod restart;
mod retry;
mod roots;
mod rule;
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
