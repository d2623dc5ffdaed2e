//! The public surface of the core.

mod golden;
