//! A bar for each contender, its quartiles as a whisker.

use super::{MARGIN, ROW, TOP, WIDTH, text};
use crate::harness::results::Results;
use crate::harness::stats::Spread;
use crate::harness::table::figure;
use crate::scenario::{Metric, Scenario};

/// Where bars begin: names stand to the left.
const LEFT: f64 = 186.0;
/// Where the longest ends: figures stand to the right.
const RIGHT: f64 = WIDTH - 84.0;
/// Above a panel, for its name.
const HEADING: f64 = 26.0;
/// Between two panels.
const GAP: f64 = 14.0;

/// The height of the plot, and what is in it.
pub(super) fn body(results: &Results, scenario: Scenario) -> (f64, String) {
    let (mut y, mut body) = (TOP, String::new());
    let metrics = shown(scenario);
    for metric in &metrics {
        if metrics.len() > 1 {
            y += if y > TOP { GAP } else { 0.0 };
            body += &text(MARGIN, y + 16.0, "minor", "start", metric.heading);
            y += HEADING;
        }
        let (height, panel) = panel(results, scenario, metric, y);
        body += &panel;
        y += height;
    }
    (y + MARGIN / 2.0, body)
}

/// Most scenarios are one figure; these are told by more.
fn shown(scenario: Scenario) -> Vec<Metric> {
    let keys: &[&str] = match scenario {
        Scenario::Spawn => &["wall", "idle_bytes"],
        Scenario::Critical => &["first", "later"],
        Scenario::Idle => &["alone", "wall"],
        _ => &[scenario.primary().key],
    };
    scenario.metrics().iter().filter(|it| keys.contains(&it.key)).copied().collect()
}

fn panel(results: &Results, scenario: Scenario, metric: &Metric, top: f64) -> (f64, String) {
    let mut rows = Vec::new();
    for contender in results.contenders(scenario) {
        if let Some(spread) = results.spread(scenario, contender.name, metric.key) {
            rows.push((contender, spread));
        }
    }
    rows.sort_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    let max = rows.iter().map(|(_, spread)| spread.high).fold(1e-9, f64::max);
    let bars = rows.iter().zip(0_u8..).map(|((contender, spread), row)| {
        bar(contender.name, contender.is_ours, spread, max, top + f64::from(row) * ROW)
    });
    (rows.len() as f64 * ROW, bars.collect())
}

fn bar(name: &str, is_ours: bool, spread: &Spread, max: f64, y: f64) -> String {
    let x = |value| LEFT + value / max * (RIGHT - LEFT);
    let (low, end, high) = (x(spread.low), x(spread.median), x(spread.high));
    let (bar, label) = if is_ours { ("ours", "own") } else { ("peer", "") };
    let (middle, width) = (y + ROW / 2.0, (end - LEFT).max(1.0));
    let name = text(LEFT - 10.0, middle + 4.5, label, "end", name);
    let value = text(high.max(end) + 8.0, middle + 4.5, label, "start", &figure(spread.median));
    let (top, caps) = (y + 4.0, [low, high].map(|x| format!("M{x:.1} {:.1}v8", middle - 4.0)));
    let whisker = format!("M{low:.1} {middle:.1}H{high:.1}{}", caps.concat());
    format!(
        "{name}<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.0}\" rx=\"2\" \
         class=\"{bar}\"/><path d=\"{whisker}\" class=\"spread\"/>{value}",
        ROW - 8.0
    )
}
