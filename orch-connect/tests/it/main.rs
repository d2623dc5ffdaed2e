//! The connectors as their users see them.

mod controls;
mod functions;
mod scripts;
mod sending;
mod support;

// Programs, under a keeper and without one.
#[cfg(target_os = "linux")]
mod checking;
#[cfg(target_os = "linux")]
mod conforming;
#[cfg(target_os = "linux")]
mod containment;
#[cfg(target_os = "linux")]
mod environment;
#[cfg(target_os = "linux")]
mod groups;
#[cfg(target_os = "linux")]
mod jsonl;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod once;
#[cfg(target_os = "linux")]
mod processes;
