//! The plots, as SVG: text stays text, and the colours follow the reader's scheme.

mod bars;
mod lines;

use super::results::Results;
use super::table::rounds;
use crate::scenario::Scenario;

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 26.0;

/// For whoever puts the plots into a page.
pub(super) const STYLE: &str = "\
.plot text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.plot .title{font-weight:600;font-size:15px}\
.plot .minor{fill:#656d76;font-size:12px}\
.plot .ours{fill:#0969da}.plot .peer{fill:#afb8c1}\
.plot .own{font-weight:600}\
.plot .spread{stroke:#1f2328;stroke-width:1.2;fill:none}\
.plot .rule{stroke:#d8dee4;stroke-width:1}\
.plot .line{fill:none;stroke-width:1.8}.plot .thick{stroke-width:3.2}\
@media (prefers-color-scheme:dark){\
.plot text{fill:#e6edf3}.plot .minor{fill:#9198a1}\
.plot .ours{fill:#4493f8}.plot .peer{fill:#545d68}\
.plot .spread{stroke:#e6edf3}.plot .rule{stroke:#30363d}}";

/// A file of its own.
pub(super) fn svg(results: &Results, scenario: Scenario) -> String {
    let (plot, style) = (inline(results, scenario), format!("<style>{STYLE}</style>"));
    let inside = plot.find('>').map_or(0, |at| at + 1);
    format!("{}{style}{}\n", &plot[..inside], &plot[inside..])
}

/// A part of a page that has the [`STYLE`].
pub(super) fn inline(results: &Results, scenario: Scenario) -> String {
    let (height, body) = match scenario {
        Scenario::Growth => lines::body(results, scenario),
        _ => bars::body(results, scenario),
    };
    let title = text(MARGIN, 24.0, "title", "start", scenario.title());
    let (metric, machine) = (scenario.primary().heading, &results.machine.allocator);
    let what = match scenario {
        Scenario::Growth => "medians".to_owned(),
        // Their panels have names of their own.
        Scenario::Spawn | Scenario::Critical | Scenario::Idle => "medians and quartiles".to_owned(),
        _ => format!("{metric}, medians and quartiles"),
    };
    let note = format!("{what} of {}, {machine}", rounds(results, scenario));
    let note = text(MARGIN, 43.0, "minor", "start", &note);
    format!(
        "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         role=\"img\" aria-label=\"{}\">{title}{note}{body}</svg>",
        escaped(scenario.title())
    )
}

/// Where a plot begins, below its title.
const TOP: f64 = 60.0;

fn text(x: f64, y: f64, class: &str, anchor: &str, words: &str) -> String {
    let words = escaped(words);
    format!(r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{words}</text>"#)
}

pub(super) fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn a_plot_is_one_element_that_names_its_contenders() {
        let results = results(&[(50.0, Some(100.0))]);
        let svg = svg(&results, Scenario::One);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains(">orchestrator</text>") && svg.contains(">mailbox</text>"), "{svg}");
        assert_eq!(svg.matches("<style>").count(), 1);
    }

    #[test]
    fn words_are_escaped() {
        assert_eq!(escaped("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
    }
}
