//! Seeded simulation of the whole runtime, and proptest strategies for its types.
//!
//! [`simulate`] runs a random team under one seed: virtual time, seeded ids, handlers that fail,
//! panic, hang, ask, spawn and retire, and an outside that sends, stops and starts at random. The
//! same seed brings the same [`History`] about. [`check`] reads a history, which has what the
//! runtime told and, independently of that, what handlers noted, and answers which promises were
//! broken.
//!
//! For tests only.

#![forbid(unsafe_code)]

mod check;
mod history;
mod random;
mod simulation;
pub mod strategies;

pub use check::{Invariant, Violation, check};
pub use history::{HandlerEnd, History, Record, Terms, What};
pub use random::Random;
pub use simulation::{Report, Sabotage, Simulation, simulate};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
