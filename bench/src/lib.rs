//! How fast orch is: the same scenarios for orch and its peers, in one run, on one machine.
//!
//! A *cell* is one contender in one scenario, once: a short process of its own. A *round* runs the
//! cells of a scenario in shuffled order, and figures are compared within a round only, because the
//! machine is shared. `docs/performance.md` has the method and the tables.
//!
//! For `cargo xtask bench` and `cargo xtask instructions`; nothing else uses it.

#![forbid(unsafe_code)]

mod channel;
mod clock;
mod contenders;
mod done;
mod harness;
mod instructions;
mod memory;
mod role;
mod scenario;
mod system;
mod workload;

pub use harness::main;
pub use instructions::main as instructions_main;
