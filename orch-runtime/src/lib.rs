//! The orchestrator: it registers agents, hands out their messages, retries, guards and stops.
//!
//! ```
//! use std::sync::Arc;
//! use orch_runtime::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Arc::new(AgentRegistry::new());
//! let bus = Arc::new(MessageBus::new());
//! let orchestrator = Orchestrator::new(registry, bus)
//!     .with_connector("shout", function(|ctx: Context| async move {
//!         ctx.content().to_uppercase()
//!     }));
//!
//! let config = AgentConfig::new("worker-1".to_string(), AgentRole::Worker, "shout".to_string());
//! let worker = orchestrator.spawn(config).await?;
//! orchestrator.send(AgentMessage::new(AgentId::OUTSIDE, worker, "hello")).await?;
//! assert_eq!(orchestrator.start().await?, StopReason::Completed);
//! assert_eq!(orchestrator.metrics().await.total_messages, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The way of a message: `send` → mailbox lane → ready agents → connector session → outcome →
//! settled, tried again, or a dead letter. Decisions are in pure modules (`ready`, `guards`,
//! `verdict`, and the crate `orch-policy`); the scheduler and the I/O around them hold none.
//!
//! This crate re-exports what its layers offer, so that `use orch_runtime::*;` is enough.

#![forbid(unsafe_code)]

mod agent_state;
mod attempt;
pub mod bare;
mod clock;
mod decisions;
mod durable;
mod error;
mod family;
mod guards;
mod host;
mod metrics;
mod names;
mod options;
mod orchestrator;
mod permission;
mod pool;
mod ready;
mod registry;
mod resource_use;
mod roll;
mod router;
mod run;
mod scheduler;
mod slot;
mod start;
mod table;
mod turn;
mod verdict;
mod worker;

pub use decisions::{DecideError, UnfinishedTool};
pub use durable::{Past, PastError, RecoverError};
pub use error::{RetireError, SpawnError, StartError};
pub use options::{FailurePolicy, SpawnLimits, StopLimits};
pub use orch_bus::{
    Admission, AskError, BusLimits, Commit, CommitFuture, DeadLetters, Delivery, Mailbox,
    MessageBus, QuestionFailure, Refusal, ResendError, Reserved, SendError,
};
pub use orch_connect::*;
pub use orch_core::*;
pub use orch_journal::{ContentHash, Journal};
pub use orch_policy::{PolicyEngine, RestartIntensity, RetryPolicy};
pub use orchestrator::Orchestrator;
pub use permission::{AnswerError, Approval};
pub use registry::AgentRegistry;
pub use router::Router;
pub use run::StopReport;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
