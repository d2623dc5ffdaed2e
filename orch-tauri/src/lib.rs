//! The orchestrator behind a Tauri window: commands that pages call, and events that they get.
//!
//! An app uses **one** of two forms over the same functions:
//!
//! - **The plugin**, [`init`]: `invoke('plugin:orchestrator|list_agents')`. Each command has a
//!   permission, so a window can be given `orchestrator:watch` and no more. Take this one.
//! - **The plain names**, [`handler!`] with [`plain`]: `invoke('list_agents')`, for pages that were
//!   written for these names. Tauri asks for no permission: every page of the app may call them.
//!
//! An app that has both has no permissions at all: what a capability withholds from
//! `plugin:orchestrator|…`, the same page gets under the plain name.
//!
//! The functions are methods of [`Orchestrators`], which need no window; [`Host`] is what the app
//! allows its pages. The README has the commands, their answers and errors.

#![forbid(unsafe_code)]

mod answer;
mod args;
mod call;
pub mod commands;
mod error;
mod event_log;
mod handler;
mod host;
mod orchestrators;
mod plugin;
mod run;
mod subscriptions;
mod text;

pub use answer::{
    Answer, BroadcastMessageResponse, EventFrame, NumberedEvent, RegisterAgentResponse,
    SendMessageResponse, Snapshot, StartOrchestratorResponse, StopOrchestratorResponse, TeamAnswer,
};
pub use args::{
    AgentArgs, Args, BroadcastMessageArgs, BroadcastMessageRequest, ChannelId,
    CreateOrchestratorArgs, CreateOrchestratorRequest, RegisterAgentArgs, RegisterAgentRequest,
    ResendDeadLetterArgs, RunArgs, SendMessageArgs, SendMessageRequest, StartOrchestratorArgs,
    SubscribeEventsArgs,
};
pub use call::Call;
pub use error::{Error, ErrorCode};
pub use host::Host;
pub use orchestrators::{DEFAULT_RUN, Orchestrators};
pub use plugin::{init, plain};
pub use text::{EVENT_TEXT_BYTES_MAX, UNLIMITED};
