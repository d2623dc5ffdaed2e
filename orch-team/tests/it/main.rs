//! The public surface of `orch-team`: what files say, what is wrong with them, what flows do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod demand;
mod files;
mod flows;
mod loading;
mod problems;
mod repo_report;
mod resolved;
mod runs;
mod subject;
