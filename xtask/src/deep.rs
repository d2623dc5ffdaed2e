//! `cargo xtask deep`: checks that take too long for every change.
//!
//! Each has its own target folder, because other flags would rebuild everything in the usual one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{cargo, read, run};
use crate::steps::Step;
use crate::workspace::Workspace;
use crate::{setup, test};

pub(crate) const STEPS: &[Step] = &[
    Step { name: "properties", about: "all tests, 20,000 cases and seeds each", run: properties },
    Step { name: "asan-control", about: "AddressSanitizer finds a planted bug", run: asan_control },
    Step { name: "asan", about: "the tests of orch-bus under AddressSanitizer", run: asan },
    // Further slow checks go here: loom at bound 3, shuttle in millions, fuzzing for hours,
    // ThreadSanitizer, 10,000 kills.
];

/// The sanitizers ship with the stable compiler, behind this switch.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");
const ASAN: &str = "-Zsanitizer=address";

/// Reads memory that it has freed. The control is worth nothing if this exits well.
const USE_AFTER_FREE: &str = "fn main() {
    let freed = { let boxed = Box::new(7_u8); &raw const *boxed };
    std::process::exit(i32::from(unsafe { freed.read_volatile() }) * 0);
}";

fn properties(_: &Workspace) -> Result<()> {
    setup::provide(setup::FOR_TESTS)?;
    test::all_tests(|command| {
        command.arg("--release").args(["--target-dir", "target/deep"]);
        command.env("PROPTEST_CASES", "20000").env("ORCH_SIM_SEEDS", "20000");
        // Fast to run, with every assertion on, and without the long link of a real release.
        command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    })
    .map(|_| ())
}

fn asan(workspace: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "-p", "orch-bus", "--no-fail-fast", "--target", &host()?]);
    command.arg("--target-dir").arg(workspace.target_dir.join("asan"));
    command.envs([BOOTSTRAP, ("RUSTFLAGS", ASAN), ("RUSTDOCFLAGS", ASAN)]);
    test::counted(&mut command).map(|_| ())
}

fn asan_control(workspace: &Workspace) -> Result<()> {
    let program = build_control(&workspace.target_dir.join("asan-control"))?;
    let output = Command::new(program).output().context("failed to run the control")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "the planted bug was not found");
    ensure!(said.contains("heap-use-after-free"), "it failed for another reason: {said}");
    Ok(())
}

fn build_control(folder: &Path) -> Result<PathBuf> {
    let (source, program) = (folder.join("control.rs"), folder.join("control"));
    std::fs::create_dir_all(folder).context("failed to make the control's folder")?;
    std::fs::write(&source, USE_AFTER_FREE).context("failed to write the control")?;
    let mut rustc = Command::new("rustc");
    rustc.envs([BOOTSTRAP]).args(["--edition=2024", ASAN, "-o"]);
    run(rustc.arg(&program).arg(source))?;
    Ok(program)
}

/// The platform we run on. Naming it keeps the flags away from build scripts and macros.
fn host() -> Result<String> {
    let version = read(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it runs on")
}
