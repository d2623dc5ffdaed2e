//! A list of checks: each runs by name, all of them run in order, and a table says how they went.
//!
//! A step that fails does not stop the next one: one run shows everything that is wrong.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::workspace::Workspace;

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<()>,
}

/// How one check went.
struct Report {
    name: &'static str,
    took: Duration,
    passed: bool,
}

/// Runs the named steps in the order of the list, or all of them when none is named.
pub(crate) fn run(steps: &[Step], names: &[String], workspace: &Workspace) -> Result<()> {
    let chosen = choose(steps, names)?;
    let reports: Vec<Report> = chosen.into_iter().map(|step| run_one(step, workspace)).collect();
    eprint!("\n{}", table(&reports));
    let failed: Vec<&str> = reports.iter().filter(|it| !it.passed).map(|it| it.name).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The steps of a list, one a line, for the help.
pub(crate) fn list(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("    {:<12} {}\n", step.name, step.about)).collect()
}

fn choose<'a>(steps: &'a [Step], names: &[String]) -> Result<Vec<&'a Step>> {
    for name in names {
        if steps.iter().all(|step| step.name != name) {
            bail!("there is no step `{name}`; the steps are:\n{}", list(steps));
        }
    }
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(steps.iter().filter(wanted).collect())
}

#[expect(clippy::disallowed_methods, reason = "a person wants to know what takes long")]
fn run_one(step: &Step, workspace: &Workspace) -> Report {
    eprintln!("\n== {}: {}", step.name, step.about);
    let start = Instant::now();
    let result = (step.run)(workspace);
    if let Err(error) = &result {
        eprintln!("error: {}: {error:#}", step.name);
    }
    Report { name: step.name, took: start.elapsed(), passed: result.is_ok() }
}

fn table(reports: &[Report]) -> String {
    let mut lines: Vec<String> = reports.iter().map(Report::line).collect();
    let total = reports.iter().map(|it| it.took).sum();
    let passed = reports.iter().all(|it| it.passed);
    lines.push(Report { name: "total", took: total, passed }.line());
    lines.concat()
}

impl Report {
    fn line(&self) -> String {
        let verdict = if self.passed { "ok" } else { "FAILED" };
        format!("{:<14} {:>8.1} s  {verdict}\n", self.name, self.took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[
        Step { name: "good", about: "passes", run: |_| Ok(()) },
        Step { name: "bad", about: "fails", run: |_| bail!("as planted") },
        Step { name: "late", about: "passes", run: |_| Ok(()) },
    ];

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn nowhere() -> Workspace {
        Workspace { root: "".into(), target_dir: "".into(), packages: Vec::new() }
    }

    #[test]
    fn steps_run_in_the_order_of_the_list() {
        let chosen = choose(STEPS, &names(&["late", "good"])).expect("both exist");
        assert_eq!(chosen.iter().map(|step| step.name).collect::<Vec<_>>(), ["good", "late"]);
        assert_eq!(choose(STEPS, &[]).expect("no name is wrong").len(), 3);
    }

    #[test]
    fn an_unknown_step_is_an_error_that_lists_the_known_ones() {
        let error = choose(STEPS, &names(&["god"])).err().expect("there is no god").to_string();
        assert!(error.contains("`god`") && error.contains("good"), "{error}");
    }

    #[test]
    fn a_failed_step_fails_the_run_but_not_the_next_step() {
        let error = run(STEPS, &[], &nowhere()).expect_err("`bad` fails");
        assert_eq!(error.to_string(), "failed: bad");
        assert!(run(STEPS, &names(&["good", "late"]), &nowhere()).is_ok());
    }

    #[test]
    fn the_table_adds_up() {
        let report = |name, passed| Report { name, took: Duration::from_millis(1500), passed };
        assert_eq!(
            table(&[report("fmt", true), report("tidy", false)]),
            "fmt                 1.5 s  ok\n\
             tidy                1.5 s  FAILED\n\
             total               3.0 s  FAILED\n"
        );
    }
}
