//! The program `orch`, run as its users run it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "programs that run here take real time")]

mod support;

mod answers;
mod demo;
mod journal;
mod kills;
mod leftovers;
mod limits;
mod refusals;
mod resume;
mod views;
