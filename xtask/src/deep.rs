//! `cargo xtask deep`: checks that take too long for every change.
//!
//! Each has its own target folder, because other flags would rebuild everything in the usual one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, read, run};
use crate::steps::Step;
use crate::workspace::Workspace;
use crate::{models, setup, test};

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "properties",
        about: "all tests, 20,000 cases and seeds each, 1,000,000 of the guards",
        run: properties,
    },
    Step { name: "asan-control", about: "AddressSanitizer finds a planted bug", run: asan_control },
    Step { name: "asan", about: "the tests of orch-bus under AddressSanitizer", run: asan },
    Step { name: "tsan-control", about: "ThreadSanitizer finds a planted bug", run: tsan_control },
    Step { name: "tsan", about: "threads at lanes and stacks under ThreadSanitizer", run: tsan },
    Step { name: "loom", about: "the models of the mailbox, bound 3", run: models::loom_deep },
    Step {
        name: "shuttle",
        about: "the same and the ledger's, 2,000,000 orders each",
        run: models::shuttle_deep,
    },
    Step {
        name: "journal",
        about: "10,000 kills, 20,000 losses of power, each byte",
        run: journal,
    },
    Step { name: "kills", about: "10,000 kills of the program, with their control", run: kills },
    // Further slow checks go here: fuzzing for hours.
];

/// The sanitizers ship with the stable compiler, behind this switch.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");
const ASAN: &str = "-Zsanitizer=address";
/// The standard library that we link to is built without it.
const TSAN: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

/// Reads memory that it has freed. The control is worth nothing if this exits well.
const USE_AFTER_FREE: &str = "fn main() {
    let freed = { let boxed = Box::new(7_u8); &raw const *boxed };
    std::process::exit(i32::from(unsafe { freed.read_volatile() }) * 0);
}";

/// Writes from two threads at once.
const RACE: &str = "fn main() {
    static mut N: u64 = 0;
    let count = || (0..1_000_000).for_each(|_| unsafe { (&raw mut N).write_volatile(1) });
    let other = std::thread::spawn(count);
    count();
    other.join().unwrap();
}";

/// What ThreadSanitizer takes for a race because it cannot see into the standard library: how a test
/// tells its runner that it is done.
const NO_RACES: &str = "race:CompletedTest\n";

fn properties(_: &Workspace) -> Result<()> {
    setup::provide(setup::FOR_TESTS)?;
    test::all_tests(|command| {
        command.arg("--release").args(["--target-dir", "target/deep"]);
        command.env("PROPTEST_CASES", "20000").env("ORCH_SIM_SEEDS", "20000");
        command.env("ORCH_GUARD_CASES", "1000000");
        // Fast to run, with every assertion on, and without the long link of a real release.
        command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    })
    .map(|_| ())
}

/// The harnesses of the journal in their long form, with their controls: some 20 minutes on two quiet
/// cores, of which a third waits for the disk.
fn journal(workspace: &Workspace) -> Result<()> {
    setup::provide(setup::FOR_TESTS)?;
    let mut command = cargo();
    command.args(["test", "-p", "orch-journal", "--release", "--features", "planted"]);
    command.arg("--target-dir").arg(workspace.target_dir.join("deep"));
    command.args(["--test", "it", "--", "--nocapture"]);
    command.env("ORCH_DEEP", "1").env("ORCH_KILLS", "10000");
    test::counted(&mut command).map(|_| ())
}

/// `ORCH_KILL_SEED` chooses the moments.
fn kills(workspace: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "-p", "orch-cli", "--release", "--features", "planted"]);
    command.arg("--target-dir").arg(workspace.target_dir.join("deep"));
    command.args(["--test", "it", "--", "kills::", "--nocapture"]).env("ORCH_KILLS", "10000");
    test::counted(&mut command).map(|_| ())
}

fn asan(workspace: &Workspace) -> Result<()> {
    let mut command = bus_tests(workspace, "asan")?;
    command.envs([("RUSTFLAGS", ASAN), ("RUSTDOCFLAGS", ASAN)]);
    test::counted(&mut command).map(|_| ())
}

fn asan_control(workspace: &Workspace) -> Result<()> {
    control(workspace, ASAN, USE_AFTER_FREE, "heap-use-after-free")
}

/// The tests whose threads meet at our own atomics alone: it cannot see into the locks of the standard
/// library, and would take what they protect for races.
fn tsan(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target_dir.join("tsan");
    let suppressions = folder.join("suppressions");
    std::fs::create_dir_all(&folder).context("failed to make its folder")?;
    std::fs::write(&suppressions, NO_RACES).context("failed to write its suppressions")?;
    let mut command = bus_tests(workspace, "tsan")?;
    command.args(["--release", "--lib", "between_threads", "--", "--test-threads=1"]);
    command.env("RUSTFLAGS", TSAN);
    command.env("TSAN_OPTIONS", format!("suppressions={}", suppressions.display()));
    test::counted(&mut command).map(|_| ())
}

fn tsan_control(workspace: &Workspace) -> Result<()> {
    control(workspace, TSAN, RACE, "data race")
}

fn bus_tests(workspace: &Workspace, folder: &str) -> Result<Command> {
    let mut command = cargo();
    command.args(["test", "-p", "orch-bus", "--no-fail-fast", "--target", &host()?]);
    command.arg("--target-dir").arg(workspace.target_dir.join(folder));
    command.envs([BOOTSTRAP]);
    Ok(command)
}

/// Fails unless `program` fails for the reason that is named. A race is not seen each time: on a busy
/// machine four of ten runs were blind to it, so there are a few.
fn control(workspace: &Workspace, flags: &str, program: &str, reason: &str) -> Result<()> {
    const RUNS: usize = 20;
    let program = build_control(&workspace.target_dir.join("control"), flags, program)?;
    for _ in 0..RUNS {
        let output = Command::new(&program).output().context("failed to run the control")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(said.contains(reason), "it failed for another reason: {said}");
            return Ok(());
        }
    }
    bail!("the planted bug was not found in {RUNS} runs")
}

fn build_control(folder: &Path, flags: &str, text: &str) -> Result<PathBuf> {
    let (source, program) = (folder.join("control.rs"), folder.join("control"));
    std::fs::create_dir_all(folder).context("failed to make the control's folder")?;
    std::fs::write(&source, text).context("failed to write the control")?;
    let mut rustc = Command::new("rustc");
    rustc.envs([BOOTSTRAP]).arg("--edition=2024").args(flags.split(' ')).arg("-o");
    run(rustc.arg(&program).arg(source))?;
    Ok(program)
}

/// The platform we run on. Naming it keeps the flags away from build scripts and macros.
fn host() -> Result<String> {
    let version = read(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it runs on")
}
