//! A line for each contender: cost over the number of agents, both axes by factors of ten.

use super::{MARGIN, TOP, WIDTH, text};
use crate::harness::results::Results;
use crate::harness::table::figure;
use crate::scenario::{GROWTH, Scenario};

const LEFT: f64 = 64.0;
/// Names stand to the right of the lines.
const RIGHT: f64 = WIDTH - 170.0;
const BOTTOM: f64 = TOP + 300.0;
/// Between the base lines of two names.
const NAME: f64 = 17.0;

/// For peers; told apart on a light and on a dark page.
const COLOURS: [&str; 7] =
    ["#8b949e", "#c69026", "#39a35b", "#e5534b", "#9a6ef0", "#d4733b", "#2a9d9d"];
const OURS: [&str; 2] = ["#2f81f7", "#79b0f9"];

struct Line {
    name: &'static str,
    colour: &'static str,
    is_ours: bool,
    /// Agents and nanoseconds.
    points: Vec<(f64, f64)>,
}

/// The height of the plot, and what is in it.
pub(super) fn body(results: &Results, scenario: Scenario) -> (f64, String) {
    let lines = lines(results, scenario);
    let all = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let max = all.clone().fold(10.0, f64::max) * 1.15;
    let min = all.fold(max, f64::min) / 1.15;
    let x = |agents| LEFT + place(agents, 10.0, 1e6) * (RIGHT - LEFT);
    let y = |ns| BOTTOM - place(ns, min, max) * (BOTTOM - TOP);

    let mut body = String::new();
    for tick in ticks(min, max) {
        body += &format!(r#"<path d="M{LEFT} {:.1}H{RIGHT}" class="rule"/>"#, y(tick));
        body += &text(LEFT - 8.0, y(tick) + 4.0, "minor", "end", &figure(tick));
    }
    for (agents, metric) in GROWTH {
        body += &text(x(agents as f64), BOTTOM + 20.0, "minor", "middle", metric.heading);
    }
    body += &text((LEFT + RIGHT) / 2.0, BOTTOM + 42.0, "minor", "middle", "agents");
    let ends: Vec<f64> = lines.iter().filter_map(|line| Some(y(line.points.last()?.1))).collect();
    for (line, name_y) in lines.iter().zip(apart(&ends)) {
        let points =
            line.points.iter().map(|(agents, ns)| format!("{:.1},{:.1}", x(*agents), y(*ns)));
        let points = points.collect::<Vec<_>>().join(" ");
        let (class, label) = if line.is_ours { ("line thick", "own") } else { ("line", "") };
        let colour = line.colour;
        body += &format!(r#"<polyline points="{points}" class="{class}" stroke="{colour}"/>"#);
        body += &format!(
            r#"<path d="M{:.1} {name_y:.1}h10" class="{class}" stroke="{colour}"/>"#,
            RIGHT + 10.0
        );
        body += &text(RIGHT + 26.0, name_y + 4.5, label, "start", line.name);
    }
    (BOTTOM + 42.0 + MARGIN, body)
}

fn lines(results: &Results, scenario: Scenario) -> Vec<Line> {
    let (mut ours, mut peers) = (OURS.iter().cycle(), COLOURS.iter().cycle());
    let mut lines = Vec::new();
    for contender in results.contenders(scenario) {
        let colours = if contender.is_ours { &mut ours } else { &mut peers };
        let point = |(agents, metric): (usize, crate::scenario::Metric)| {
            let spread = results.spread(scenario, contender.name, metric.key)?;
            Some((agents as f64, spread.median))
        };
        let points: Vec<_> = GROWTH.into_iter().filter_map(point).collect();
        if !points.is_empty() {
            let colour = colours.next().expect("a cycle has no end");
            let (name, is_ours) = (contender.name, contender.is_ours);
            lines.push(Line { name, colour, is_ours, points });
        }
    }
    lines
}

/// How far along an axis, from 0 to 1, on which each tenfold is as long as the one before.
fn place(value: f64, min: f64, max: f64) -> f64 {
    (value / min).ln() / (max / min).ln()
}

/// 1, 2 and 5 of each power of ten between the two.
fn ticks(min: f64, max: f64) -> Vec<f64> {
    let powers = (0..9).map(|power| 10_f64.powi(power));
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * power));
    ticks.filter(|tick| (min..=max).contains(tick)).collect()
}

/// Moves places apart that are closer than a name is high. In the order in which they came.
fn apart(places: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|one, other| places[*one].total_cmp(&places[*other]));
    let mut moved = places.to_vec();
    for pair in order.windows(2) {
        moved[pair[1]] = moved[pair[1]].max(moved[pair[0]] + NAME);
    }
    // What was pushed out below goes back up, and pushes the others.
    let mut limit = BOTTOM;
    for &at in order.iter().rev() {
        moved[at] = moved[at].min(limit);
        limit = moved[at] - NAME;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lie_over_each_other() {
        assert_eq!(apart(&[100.0, 101.0, 200.0]), [100.0, 117.0, 200.0]);
        assert_eq!(apart(&[BOTTOM, BOTTOM - 1.0]), [BOTTOM, BOTTOM - NAME]);
    }

    #[test]
    fn places_go_from_one_end_of_the_axis_to_the_other() {
        assert_eq!([10.0, 1_000.0].map(|value| place(value, 10.0, 1_000.0)), [0.0, 1.0]);
        assert!((place(100.0, 10.0, 1_000.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_figures() {
        assert_eq!(ticks(45.0, 600.0), [50.0, 100.0, 200.0, 500.0]);
    }
}
