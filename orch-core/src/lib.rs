//! The pure types of the `orch` multi-agent runtime.
//!
//! What travels ([`AgentMessage`]), who handles it ([`AgentConfig`], [`AgentStatus`]), where one
//! delivery stands ([`DeliveryState`]), how an attempt ended ([`Outcome`]), what stops a run
//! ([`LoopGuard`], [`StopReason`]), what an agent may call ([`ToolPolicy`], [`Decision`]), and what
//! is told to whoever listens ([`Event`]).
//!
//! This crate must never know tokio, files or sockets. It reads the clock and draws randomness in
//! one place, the module [`mint`], whose source tests replace.

#![forbid(unsafe_code)]

mod agent;
mod content;
mod dead_letter;
mod delivery;
mod event;
mod event_log;
mod guard;
mod id;
mod id_hash;
mod message;
mod metrics;
pub mod mint;
mod outcome;
mod policy;
mod resources;
pub mod secret;
mod status;
mod step;
mod time;

pub use agent::{AgentConfig, AgentMetadata, AgentRole, RestartPolicy};
pub use content::Content;
pub use dead_letter::{AttemptError, DeadLetter, DeadLetterReason};
pub use delivery::{DeliveryEvent, DeliveryState, IllegalTransition};
pub use event::{Event, EventHub, EventKind, Observer, Severity};
pub use guard::{LoopGuard, StopReason};
pub use id::{AgentId, ApprovalId, ChainId, MessageId, ParseIdError};
pub use id_hash::{IdHasher, IdMap, IdState};
pub use message::{AgentMessage, Cause, MessagePriority, Origin};
pub use metrics::{DurationHistogram, OrchestratorMetrics, PriorityDepth};
pub use outcome::{Failure, FailureKind, Outcome, Usage};
pub use policy::{Access, Decision, PermissionLevel, ToolCall, ToolPolicy};
pub use resources::{
    LimitReached, MeasuredBy, Meter, Reached, Resource, ResourceLimits, Resources,
};
pub use status::{AgentStatus, IllegalStatusChange};
pub use step::{ParseStepKeyError, StepKey};
pub use time::Timestamp;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
