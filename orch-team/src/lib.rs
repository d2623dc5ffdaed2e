//! Team files and flows for the `orch` multi-agent runtime.
//!
//! A team is one TOML file: its agents, the guards that stop a run, and one flow, which says who
//! gets what. [`Team`] is what such a file says, checked, with every problem named by file, line
//! and column. [`Flow`] is one run of its flow: a pure state machine that says which messages to
//! send, and is told how each one ended. [`TeamRun`] puts both under an orchestrator.
//!
//! The README describes the format of team files.

#![forbid(unsafe_code)]

mod agents;
mod check;
mod duration;
mod flow;
mod flow_table;
mod guards;
mod load;
mod name;
mod nearest;
mod past;
mod problem;
mod reader;
mod resolved;
mod router;
mod run;
mod settings;
mod source;
mod syntax;
mod team;
mod vars;

pub use agents::TeamAgent;
pub use check::{AgentCannotRun, CannotRun};
pub use duration::{BadDuration, parse_duration};
pub use flow::{
    BadList, Demand, Flow, FlowAnswer, FlowError, FlowKey, FlowProblem, FlowSend, FlowSpec, Guard,
    GuardTooLow, GuardsTooLow, Loop, Map, Over, ParseFlowKeyError, Pipe, Split, Steps, Urgent,
    UrgentAnswer,
};
pub use guards::RunLimits;
pub use load::{LoadError, TEAM_FILE_BYTES_MAX};
pub use name::{AgentName, BadName};
pub use problem::{Problem, ProblemKind, Problems};
pub use resolved::Resolved;
pub use run::{BuildError, RunError, TeamOutcome, TeamRun};
pub use source::Place;
pub use team::{Team, TeamSource};
pub use vars::{BadSet, Sets};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
