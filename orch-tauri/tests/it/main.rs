//! The commands through Tauri's own IPC, without a display.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod events;
mod hostile;
mod names;
mod page;
mod plugin;
mod runs;
mod teams;
