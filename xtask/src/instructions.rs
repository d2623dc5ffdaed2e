//! `cargo xtask instructions`: how many instructions a message costs on the hot paths, held against
//! the figures in `bench/instructions.toml`.
//!
//! Time on a shared machine says nothing below some 25 %; callgrind counts the same to a few tenths
//! of a percent, however busy the machine is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, read, run as run_command};
use crate::setup;
use crate::workspace::Workspace;

/// A workload is run with so many messages and with twice as many, and the difference counts. Its
/// batches divide it.
const MESSAGES: u64 = 80_000;

/// By what part a figure may grow.
const TOLERANCE: f64 = 0.03;

/// How often a workload is counted before it is said to have grown. Ids are random and threads take
/// turns, so that a table is now and then rebuilt once more: that raises one count, and not three.
const TRIES: usize = 3;

/// Where the figures are kept.
const KEPT: &str = "bench/instructions.toml";
const ACCEPT: &str = "cargo xtask instructions --accept";

/// Tells the program to make every message dearer.
const PLANTED: &str = "ORCH_BENCH_PLANTED";

/// Instructions a message, by workload.
type Figures = BTreeMap<String, f64>;

pub(crate) fn run(arguments: &[String], workspace: &Workspace) -> Result<()> {
    match arguments {
        [] => check(workspace),
        [accept] if accept == "--accept" => accept_all(workspace),
        [other, ..] => bail!("unexpected argument `{other}`; there is only --accept"),
    }
}

/// A step of `ci`: no workload costs more than it did.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let counter = Counter::new(workspace)?;
    let kept = kept(&workspace.root)?;
    let mut counted = counter.count_all()?;
    for _ in 1..TRIES {
        for (name, figure) in &mut counted {
            if kept.get(name).is_some_and(|before| has_grown(*before, *figure)) {
                *figure = figure.min(counter.count(name)?);
            }
        }
    }
    let report = compare(&kept, &counted);
    report.lines.iter().for_each(|line| println!("{line}"));
    if !report.cheaper.is_empty() {
        println!("cheaper than kept: {}; keep it so with `{ACCEPT}`", report.cheaper.join(", "));
    }
    ensure!(
        report.wrong.is_empty(),
        "not as in {KEPT}: {}\nit was taken with: {}\nif it is worth it, `{ACCEPT}` and say why in \
         the commit",
        report.wrong.join(", "),
        taken_with(&std::fs::read_to_string(workspace.root.join(KEPT)).unwrap_or_default()),
    );
    Ok(())
}

/// A step of `ci`: a planted slowdown is found.
pub(crate) fn control(workspace: &Workspace) -> Result<()> {
    let mut counter = Counter::new(workspace)?;
    let workload = counter.workloads()?.into_iter().next().context("there is no workload")?;
    let honest = Figures::from([(workload.clone(), counter.count(&workload)?)]);
    let again = Figures::from([(workload.clone(), counter.count(&workload)?)]);
    ensure!(compare(&honest, &again).wrong.is_empty(), "the same work is not counted alike");
    counter.is_planted = true;
    let planted = Figures::from([(workload.clone(), counter.count(&workload)?)]);
    let found = compare(&honest, &planted).wrong;
    ensure!(found.len() == 1, "a planted slowdown of {workload} was not found");
    println!("found as it should be: {}", found.join(", "));
    Ok(())
}

fn accept_all(workspace: &Workspace) -> Result<()> {
    let counted = Counter::new(workspace)?.count_all()?;
    let version = read(Command::new("rustc").arg("-vV"))?;
    std::fs::write(workspace.root.join(KEPT), written(&counted, &version))
        .with_context(|| format!("failed to write {KEPT}"))?;
    println!("wrote {KEPT}");
    Ok(())
}

/// Runs the program under callgrind.
struct Counter {
    program: PathBuf,
    is_planted: bool,
}

impl Counter {
    /// Installs what is needed, and builds the program.
    fn new(workspace: &Workspace) -> Result<Self> {
        setup::provide(setup::FOR_COUNTS)?;
        let program = ["build", "--release", "-p", "orch-bench", "--bin", "orch-instructions"];
        // Without the peers, which are not counted.
        run_command(cargo().args(program).arg("--no-default-features"))?;
        let program = workspace.target_dir.join("release").join("orch-instructions");
        Ok(Self { program, is_planted: false })
    }

    fn workloads(&self) -> Result<Vec<String>> {
        let names = read(Command::new(&self.program).arg("--list"))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn count_all(&self) -> Result<Figures> {
        self.workloads()?.into_iter().map(|name| Ok((name.clone(), self.count(&name)?))).collect()
    }

    fn count(&self, workload: &str) -> Result<f64> {
        let (once, twice) = (self.run(workload, MESSAGES)?, self.run(workload, 2 * MESSAGES)?);
        let difference = twice.checked_sub(once).context("more work costs less")?;
        Ok(difference as f64 / MESSAGES as f64)
    }

    /// The instructions of the whole process.
    fn run(&self, workload: &str, messages: u64) -> Result<u64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1"]);
        valgrind.arg(&self.program).args([workload, &messages.to_string()]);
        if self.is_planted {
            valgrind.env(PLANTED, "1");
        }
        collected(&read(&mut valgrind)?).context("callgrind does not say what it collected")
    }
}

/// The sum that callgrind prints at its end.
fn collected(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

fn kept(root: &Path) -> Result<Figures> {
    let text = std::fs::read_to_string(root.join(KEPT));
    parse(&text.with_context(|| format!("failed to read {KEPT}; `{ACCEPT}` makes it"))?)
}

/// As much of TOML as the file needs.
fn parse(text: &str) -> Result<Figures> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, figure) = line.split_once(" = ")?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    let wrong = |line: &str| format!("`{line}` in {KEPT} is not `name = figure`");
    lines.map(|line| figure(line).with_context(|| wrong(line))).collect()
}

const TAKEN_WITH: &str = "# Taken with ";

fn written(figures: &Figures, version: &str) -> String {
    let word = |key| version.lines().find_map(|line: &str| line.strip_prefix(key)).unwrap_or("?");
    let (host, release) = (word("host: "), word("release: "));
    let lines: String = figures.iter().map(|(name, it)| format!("{name} = {it:.1}\n")).collect();
    format!(
        "# Instructions a message, as callgrind counts them. `cargo xtask ci instructions` fails when a\n\
         # figure has grown by more than 3 %; `{ACCEPT}` writes this file.\n\
         {TAKEN_WITH}rustc {release} for {host}.\n\n{lines}"
    )
}

fn taken_with(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix(TAKEN_WITH)).unwrap_or("nothing that it names")
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    lines: Vec<String>,
    /// What fails: grown, not kept, or kept and not counted.
    wrong: Vec<String>,
    cheaper: Vec<String>,
}

fn has_grown(before: f64, now: f64) -> bool {
    TOLERANCE < now / before - 1.0
}

fn compare(kept: &Figures, counted: &Figures) -> Report {
    let mut report = Report::default();
    for (name, &now) in counted {
        let Some(&before) = kept.get(name) else {
            report.wrong.push(format!("{name} has no figure, and now costs {now:.1}"));
            continue;
        };
        let change = now / before - 1.0;
        let says = format!("{name}: {now:.1} instructions a message, {:+.1} %", 100.0 * change);
        if has_grown(before, now) {
            report.wrong.push(format!("{name} costs {:.1} % more", 100.0 * change));
        } else if change < -TOLERANCE {
            report.cheaper.push(name.clone());
        }
        report.lines.push(says);
    }
    let gone = kept.keys().filter(|name| !counted.contains_key(*name));
    report.wrong.extend(gone.map(|name| format!("{name} has a figure, and is no workload")));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(of: &[(&str, f64)]) -> Figures {
        of.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
    }

    #[test]
    fn what_grows_by_more_than_the_tolerance_is_wrong_and_what_falls_is_told() {
        let kept = figures(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)]);
        let now = figures(&[("a", 102.9), ("b", 103.1), ("c", 97.1), ("d", 96.9)]);
        let report = compare(&kept, &now);
        assert_eq!(report.wrong, ["b costs 3.1 % more"]);
        assert_eq!(report.cheaper, ["d"]);
        assert_eq!(report.lines.len(), 4);
    }

    #[test]
    fn each_workload_has_a_figure_and_each_figure_a_workload() {
        let report = compare(&figures(&[("old", 1.0)]), &figures(&[("new", 2.0)]));
        let wrong =
            ["new has no figure, and now costs 2.0", "old has a figure, and is no workload"];
        assert_eq!(report.wrong, wrong);
    }

    #[test]
    fn figures_that_were_written_are_read_again() {
        let counted = figures(&[("bus-send-by-id", 1219.4), ("mailbox-mixed", 855.6)]);
        let text = written(&counted, "release: 1.95.0\nhost: x86_64-unknown-linux-gnu\n");
        assert_eq!(parse(&text).unwrap(), counted);
        assert_eq!(taken_with(&text), "rustc 1.95.0 for x86_64-unknown-linux-gnu.");
        assert!(parse("mailbox-mixed: 855").is_err());
    }

    #[test]
    fn the_sum_is_found_in_what_callgrind_prints() {
        let log = "==7== Events    : Ir\n==7== Collected : 17666450\n==7== \n";
        assert_eq!(collected(log), Some(17_666_450));
        assert_eq!(collected("==7== \n"), None);
    }
}
