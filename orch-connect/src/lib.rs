//! Connectors: what drives each kind of agent.
//!
//! A [`Connector`] knows one kind of agent, a [`Session`] is one running conversation with it, and
//! the [`Context`] is what a session may ask of its host while it handles a message. Three
//! connectors are here: [`function`] (Rust code), [`Subprocess`] (any program) and [`Scripted`]
//! (exact steps, for tests and trials).
//!
//! This crate must never know mailboxes or schedules: it passes priorities and retry hints on, and
//! decides neither.

#![forbid(unsafe_code)]

pub mod conformance;
mod connector;
mod connectors;
mod context;
mod error;
mod function;
#[cfg(target_os = "linux")]
pub mod keeper;
mod needs_code;
#[cfg(unix)]
pub mod resources;
mod scripted;
mod settings;
#[cfg(unix)]
pub mod subprocess;
mod tool;

pub use connector::{BoxFuture, Connector, DynConnector, DynSession, Session, SessionSpec};
#[cfg(unix)]
pub use connectors::built_in_with;
pub use connectors::{Connectors, built_in};
pub use context::{Context, Host, Turn};
pub use error::{ConnectError, HostError};
pub use function::{
    BlockingFunction, BlockingSession, Function, FunctionSession, Handler, HandlerConnector,
    HandlerSession, IntoOutcome, blocking_function, function, handler,
};
#[cfg(unix)]
pub use resources::ResourceControl;
pub use scripted::{Scripted, ScriptedSession};
#[cfg(target_os = "linux")]
pub use subprocess::KeeperCommand;
#[cfg(unix)]
pub use subprocess::{Containment, Subprocess, SubprocessSession};
pub use tool::{Idempotent, ToolBegun, ToolEnd, ToolError, ToolFailure};

/// The example of the README, as a test.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../README.md")]
pub struct Readme;
