//! One table for each scenario, as text.

use std::fmt::Write;

use super::goals::{self, Verdict};
use super::results::Results;
use crate::scenario::Scenario;

pub(super) fn all(results: &Results) -> String {
    let tables = results.scenarios().into_iter().map(|it| one(results, it));
    format!("{}\n{}", results.machine.lines().join("\n"), tables.collect::<String>())
}

fn one(results: &Results, scenario: Scenario) -> String {
    let mut text = format!("\n{} ({})\n", scenario.title(), rounds(results, scenario));
    for line in aligned(&rows(results, scenario)) {
        text.push_str(&line);
        text.push('\n');
    }
    for failure in failures(results, scenario) {
        let _ = writeln!(text, "{failure}");
    }
    text
}

/// How many rounds there were, and how noisy.
pub(super) fn rounds(results: &Results, scenario: Scenario) -> String {
    let rounds: Vec<_> = results.rounds.iter().filter(|it| it.scenario == scenario).collect();
    let noisy = rounds.iter().filter(|it| it.is_noisy).count();
    let noisy = if noisy == 0 { String::new() } else { format!(", {noisy} noisy") };
    let s = if rounds.len() == 1 { "" } else { "s" };
    format!("{} round{s}{noisy}", rounds.len())
}

/// The head, and a row for each contender, the fastest first.
pub(super) fn rows(results: &Results, scenario: Scenario) -> Vec<Vec<String>> {
    let ours = results.ours(scenario);
    let verdicts = goals::judge(results, scenario);
    let mut head = vec!["contender".to_owned()];
    head.extend(scenario.metrics().iter().map(|metric| metric.heading.to_owned()));
    head.push(ours.map_or_else(String::new, |ours| format!("{ours} ÷ it (quartiles)")));
    head.push(if verdicts.is_empty() { String::new() } else { "goal".to_owned() });
    let mut rows = vec![head];
    for name in by_speed(results, scenario) {
        let mut row = vec![name.to_owned()];
        row.extend(scenario.metrics().iter().map(|metric| {
            let spread = results.spread(scenario, name, metric.key);
            spread.map_or_else(|| "failed".to_owned(), |it| figure(it.median))
        }));
        let key = scenario.primary().key;
        let ratio = ours.filter(|it| *it != name);
        let ratio = ratio.and_then(|ours| results.ratio(scenario, key, ours, name));
        row.push(ratio.map_or_else(String::new, |it| {
            format!("{:.2} ({:.2}–{:.2})", it.median, it.low, it.high)
        }));
        row.push(goals_of(&verdicts, name));
        rows.push(row);
    }
    rows
}

/// Names of contenders, the fastest first, those that never finished last.
pub(super) fn by_speed(results: &Results, scenario: Scenario) -> Vec<&'static str> {
    let key = scenario.primary().key;
    let median = |name| results.spread(scenario, name, key).map_or(f64::MAX, |it| it.median);
    let mut names: Vec<_> = results.contenders(scenario).iter().map(|it| it.name).collect();
    names.sort_by(|one, other| median(one).total_cmp(&median(other)));
    names
}

fn goals_of(verdicts: &[Verdict], name: &str) -> String {
    let says: Vec<&str> =
        verdicts.iter().filter(|it| it.row == name).map(|it| it.says.as_str()).collect();
    says.join("; ")
}

/// What failed, each thing once, with how often.
pub(super) fn failures(results: &Results, scenario: Scenario) -> Vec<String> {
    let mut failures = Vec::new();
    for contender in results.contenders(scenario) {
        let cells: Vec<_> = results.cells_of(scenario, contender.name).collect();
        let errors: Vec<&String> =
            cells.iter().filter_map(|it| it.outcome.as_ref().err()).collect();
        if let Some(first) = errors.first() {
            let (failed, all, name) = (errors.len(), cells.len(), contender.name);
            failures.push(format!("{name} failed in {failed} of {all} rounds, at first: {first}"));
        }
    }
    failures
}

/// With as many digits as say something.
pub(super) fn figure(value: f64) -> String {
    if value.abs() < 9.95 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first and the last column to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|it| width(it).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let is_text = column == 0 || column + 1 == columns;
            if is_text { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn a_table_shows_medians_ratios_noise_and_failures() {
        let results = results(&[(50.0, Some(100.0)), (60.0, Some(120.0)), (70.0, None)]);
        assert_eq!(
            one(&results, Scenario::One),
            "\nOne hot agent, external producer, a message (3 rounds, 1 noisy)\n\
             contender     wall ns  CPU ns  orchestrator ÷ it (quartiles)\n\
             orchestrator       60     120\n\
             mailbox           110     220               0.50 (0.50–0.50)\n\
             mailbox failed in 1 of 3 rounds, at first: exit status: 101: lost\n"
        );
    }

    #[test]
    fn figures_are_short_and_grouped() {
        let shown = [0.834, 9.94, 9.96, 1_234.5, 12_345_678.0].map(figure);
        assert_eq!(shown, ["0.83", "9.94", "10", "1,234", "12,345,678"]);
    }
}
