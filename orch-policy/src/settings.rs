//! `[budget]` and `[guards]` as a team file gives them: what may be said, what is odd about it, and
//! what a team can spend at most.
//!
//! ```toml
//! [budget.run]        # all of it together
//! money_usd = 5.00
//! tokens = 2_000_000
//!
//! [budget.agent]      # each agent, unless [budget.agents.<name>] says otherwise
//! tokens = 500_000
//!
//! [budget.subtree]    # each agent with all that it spawned
//! children = 16
//!
//! [budget.chain]      # all that follows from one message
//! hops = 32
//! messages = 200
//!
//! [guards]
//! no_progress = { warn = 3, stop = 5 }
//! rings = true
//! on_limit = "finalise"
//! reserve = { money_usd = 0.20, tokens = 20_000 }
//! ```

mod budget;
mod guards;
mod problem;
mod usd;
mod worst;

pub use budget::{BudgetLimits, BudgetSettings};
pub use guards::{GuardSettings, OnLimit};
pub use problem::SettingsProblem;
pub use usd::{BadUsd, Usd};
pub use worst::{AgentFacts, TeamFacts, Worst, worst_case};
