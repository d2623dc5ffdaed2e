//! The models of `orch-bus` under loom and shuttle, and those of `orch-policy`, which has locks and no
//! atomics of its own, under shuttle alone; `docs/proofs.md` says what they show.
//!
//! Each checker has its own target folder, because it is built into the crate by a `--cfg`.

use anyhow::Result;

use crate::process::cargo;
use crate::test;
use crate::workspace::Workspace;

const BUS: &[&str] = &["-p", "orch-bus"];
const BUS_AND_POLICY: &[&str] = &["-p", "orch-bus", "-p", "orch-policy"];

/// All orders with up to two changes of thread where no thread has to wait.
pub(crate) fn loom(workspace: &Workspace) -> Result<()> {
    check(workspace, "loom", BUS, ("LOOM_MAX_PREEMPTIONS", "2"))
}

/// With up to three.
pub(crate) fn loom_deep(workspace: &Workspace) -> Result<()> {
    check(workspace, "loom", BUS, ("LOOM_MAX_PREEMPTIONS", "3"))
}

/// 20,000 orders of each model, at random.
pub(crate) fn shuttle(workspace: &Workspace) -> Result<()> {
    check(workspace, "shuttle", BUS_AND_POLICY, ("ORCH_SHUTTLE_ORDERS", "20000"))
}

/// Two million of each.
pub(crate) fn shuttle_deep(workspace: &Workspace) -> Result<()> {
    check(workspace, "shuttle", BUS_AND_POLICY, ("ORCH_SHUTTLE_ORDERS", "2000000"))
}

fn check(
    workspace: &Workspace,
    checker: &str,
    packages: &[&str],
    bound: (&str, &str),
) -> Result<()> {
    let mut command = cargo();
    command.arg("test").args(packages).args(["--lib", "--profile", "loom"]);
    command.arg("--target-dir").arg(workspace.target_dir.join(checker));
    command.envs([("RUSTFLAGS", &*format!("--cfg orch_{checker}")), bound]);
    command.args(["model::", "--", "--show-output"]);
    test::counted(&mut command).map(|_| ())
}
