//! The public surface of the core.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod golden;
