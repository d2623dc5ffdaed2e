//! `cargo xtask bench`: the benchmarks of the runtime, each beside its peers in the same run.

use anyhow::Result;

use crate::process::{cargo, run as run_command};

/// Runs all bench targets, and not the unit tests, which would not know the arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    run_command(cargo().args(["bench", "-p", "orch-runtime", "--bench", "*", "--"]).args(arguments))
}
