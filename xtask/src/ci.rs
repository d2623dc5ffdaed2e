//! `cargo xtask ci`: what every change passes, besides the tests.

use anyhow::Result;

use crate::process::{cargo, run};
use crate::steps::Step;
use crate::workspace::Workspace;
use crate::{bench, features, instructions, models, setup, tauri, test, tidy, tools};

/// In the order in which they run; each also runs by its name alone.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", run: fmt },
    Step { name: "clippy", about: "no warning in any target", run: clippy },
    Step { name: "docs", about: "the documentation builds without a warning", run: docs },
    Step { name: "tidy", about: "the rules of the repository hold", run: tidy::run },
    Step { name: "deny", about: "licences, bans and sources of dependencies", run: deny },
    Step {
        name: "features",
        about: "each crate compiles alone, with each feature",
        run: features::run,
    },
    Step { name: "examples", about: "all examples build", run: examples },
    Step {
        name: "tauri",
        about: "orch-tauri: its lints, tests, types and licences",
        run: tauri::rust,
    },
    Step {
        name: "window",
        about: "orch-tauri in a real window, and its client",
        run: tauri::window,
    },
    Step { name: "loom", about: "the models of the mailbox, bound 2", run: models::loom },
    Step {
        name: "shuttle",
        about: "the same and the ledger's, 20,000 orders each",
        run: models::shuttle,
    },
    Step { name: "bench", about: "the benchmarks: lints, tests and licences", run: bench::check },
    Step {
        name: "instructions-control",
        about: "a planted slowdown is found",
        run: instructions::control,
    },
    Step {
        name: "instructions",
        about: "no hot path costs more instructions than it did",
        run: instructions::check,
    },
    Step {
        name: "journal",
        about: "the harness of the journal notices an early acknowledgement",
        run: journal_controls,
    },
    Step {
        name: "kills",
        about: "300 kills of the program, and an early acknowledgement is noticed",
        run: kills,
    },
];

/// Kills of `orch run` and `orch resume`, with a control whose journal acknowledges too early.
fn kills(_: &Workspace) -> Result<()> {
    let planted = ["test", "-p", "orch-cli", "--features", "planted", "--test", "it"];
    let mut command = cargo();
    command.args(planted).args(["--", "kills::", "--nocapture"]).env("ORCH_KILLS", "300");
    test::counted(&mut command).map(|_| ())
}

/// The kills run with all tests; their control needs a journal that breaks its promise.
fn journal_controls(_: &Workspace) -> Result<()> {
    setup::provide(setup::FOR_TESTS)?;
    let planted = ["test", "-p", "orch-journal", "--features", "planted", "--test", "it"];
    test::counted(cargo().args(planted).args(["--", "kill::", "strace::"])).map(|_| ())
}

fn fmt(_: &Workspace) -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Workspace) -> Result<()> {
    run(cargo().args(["clippy", "--all-targets", "--", "-Dwarnings"]))
}

fn docs(_: &Workspace) -> Result<()> {
    run(cargo().env("RUSTDOCFLAGS", "-Dwarnings").args(["doc", "--no-deps"]))
}

fn deny(workspace: &Workspace) -> Result<()> {
    let mut cargo_deny = tools::cargo_deny(workspace)?;
    // For all platforms, because the check looks at all of them, and without a network.
    run(cargo().arg("fetch"))?;
    run(cargo_deny.args(["--offline", "check", "bans", "licenses", "sources"]))
}

fn examples(_: &Workspace) -> Result<()> {
    run(cargo().args(["build", "--examples"]))
}
