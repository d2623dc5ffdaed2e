//! Connectors: what drives each kind of agent.
//!
//! A [`Connector`] knows one kind of agent, a [`Session`] is one running conversation with it, and
//! the [`Context`] is what a session may ask of its host while it handles a message. Three
//! connectors are here: [`function`] (Rust code), [`subprocess`] (any program) and [`scripted`]
//! (exact steps, for tests and trials).
//!
//! This crate must never know mailboxes or schedules: it passes priorities and retry hints on, and
//! decides neither.

#![forbid(unsafe_code)]

mod connector;
mod connectors;
mod context;
mod error;

pub use connector::{BoxFuture, Connector, DynConnector, DynSession, Session, SessionSpec};
pub use connectors::{Connectors, built_in};
pub use context::{Context, Host};
pub use error::{ConnectError, HostError};
