//! Tests of the public surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conforming;
mod damage;
mod faults;
mod golden;
mod kill;
mod power;
mod reader;
mod state;
#[cfg(target_os = "linux")]
mod strace;
mod support;
mod vfs;
mod writer;
