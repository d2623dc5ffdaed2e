//! `cargo xtask test`: builds everything and passes all tests, also on a machine that is fresh.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{announce, cargo};
use crate::setup;
use crate::workspace::Workspace;

pub(crate) fn run(_: &Workspace) -> Result<()> {
    setup::provide(setup::FOR_TESTS)?;
    all_tests(|_| ()).map(|_| ())
}

/// Builds the `orch` program, then builds and runs every test of the crates that need no system
/// library (see `tauri.rs` for the others). `adjust` may change both commands.
pub(crate) fn all_tests(adjust: fn(&mut Command)) -> Result<Tally> {
    let program = build_orch(adjust)?;
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).env("ORCH_BIN", program);
    adjust(&mut command);
    counted(&mut command)
}

/// Runs a `cargo test`, shows what it prints, and ends with the sum of all its parts.
pub(crate) fn counted(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let (shown, passed) = each_line(command, |line| {
        println!("{line}");
        tally.note(line);
    })?;
    print!("\n{}", tally.summary());
    ensure!(passed && tally.failed == 0, "`{shown}` failed");
    ensure!(tally.passed > 0, "`{shown}` ran no test");
    Ok(tally)
}

/// What the parts of a `cargo test` said, added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Those that found, once they ran, that they cannot run here; counted in `passed` as well.
    could_not_run: u64,
    /// The lines that name a failed, an ignored or a skipped test.
    notes: Vec<String>,
}

impl Tally {
    fn note(&mut self, line: &str) {
        // A test that cannot run here says so past its runner, which then takes it for one that passed.
        if line.starts_with("skipped: test ") {
            self.could_not_run += 1;
            self.notes.push(line.to_owned());
            return;
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
        } else if line.starts_with("test ") && is_notable(line) {
            self.notes.push(line.to_owned());
        }
    }

    fn summary(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        let (failed, could_not_run) = (self.failed, self.could_not_run);
        let passed = self.passed.saturating_sub(could_not_run);
        let ignored = self.ignored + could_not_run;
        format!("{notes}tests: {passed} passed, {failed} failed, {ignored} skipped\n")
    }
}

fn is_notable(line: &str) -> bool {
    line.ends_with("... FAILED") || line.contains("... ignored")
}

/// The number before a word, in `ok. 5 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    let before = counts.split_once(&format!(" {word}")).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn build_orch(adjust: fn(&mut Command)) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "-p", "orch-cli", "--message-format=json-render-diagnostics"]);
    adjust(&mut command);
    let mut program = None;
    let (shown, passed) = each_line(&mut command, |line| program = program.take().or(orch(line)))?;
    ensure!(passed, "`{shown}` failed");
    program.context("orch-cli builds no program named `orch`")
}

/// The path of `orch`, if this message of cargo is about it.
fn orch(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_orch = message["target"]["name"] == "orch" && message["executable"].is_string();
    is_orch.then(|| PathBuf::from(message["executable"].as_str().unwrap_or_default()))
}

/// Runs a command and hands on each line of its output. Returns its words and whether it passed.
fn each_line(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<(String, bool)> {
    let shown = announce(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("its output is a pipe")?;
    for line in BufReader::new(output).split(b'\n') {
        on_line(&String::from_utf8_lossy(&line?));
    }
    Ok((shown, child.wait()?.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_run_add_up_and_name_what_did_not_pass() {
        let mut tally = Tally::default();
        for line in [
            "test lane::fifo ... ok",
            "test lane::slow ... ignored, needs a day",
            "test lane::lost ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.note(line);
        }
        assert_eq!(
            tally.summary(),
            "test lane::slow ... ignored, needs a day\n\
             test lane::lost ... FAILED\n\
             tests: 41 passed, 1 failed, 1 skipped\n"
        );
    }

    #[test]
    fn a_test_that_cannot_run_here_is_counted_and_named_as_skipped() {
        let mut tally = Tally::default();
        for line in [
            "",
            "skipped: test strace::kill, strace: Operation not permitted",
            "test strace::kill ... ok",
            "test lane::fifo ... ok",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.note(line);
        }
        assert_eq!(
            tally.summary(),
            "skipped: test strace::kill, strace: Operation not permitted\n\
             tests: 1 passed, 0 failed, 1 skipped\n"
        );
    }

    #[test]
    fn a_run_without_any_test_fails() {
        let script = "echo 'test result: ok. 0 passed; 0 failed; 0 ignored'";
        let error = counted(Command::new("sh").args(["-c", script])).expect_err("no test ran");
        assert!(error.to_string().ends_with("ran no test"), "{error}");
    }

    #[test]
    fn a_run_that_breaks_off_fails_whatever_it_counted() {
        let script = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored'; exit 101";
        assert!(counted(Command::new("sh").args(["-c", script])).is_err());
    }

    #[test]
    fn the_program_is_found_among_the_messages_of_cargo() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"orch","kind":["bin"]},
            "executable":"/t/debug/orch"}"#;
        assert_eq!(orch(message), Some(PathBuf::from("/t/debug/orch")));
        assert_eq!(orch(&message.replace(r#""orch""#, r#""xtask""#)), None);
        assert_eq!(orch("no JSON"), None);
    }
}
