//! One page with everything: it needs no script and no other file.

use super::plot::{self, escaped};
use super::results::Results;
use super::table::{failures, rows};
use crate::scenario::Scenario;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;max-width:780px;margin:2rem auto;\
padding:0 1rem;color:#1f2328;background:#fff}\
h1{font-size:1.5rem;margin-bottom:.2rem}p,summary{color:#656d76}p.machine{margin:.1rem 0}\
section{margin:2.5rem 0}svg{width:100%;height:auto;display:block}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #d8dee4}\
th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}\
th{font-weight:600;font-size:.85rem}div.wide{overflow-x:auto}\
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}p,summary{color:#9198a1}\
th,td{border-color:#30363d}}";

pub(super) fn html(results: &Results) -> String {
    let machine =
        results.machine.lines().map(|it| format!("<p class=\"machine\">{}</p>", escaped(&it)));
    let sections: String = results.scenarios().into_iter().map(|it| section(results, it)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>How fast orch is</title>\
         <style>{STYLE}{}</style></head>\n<body><h1>How fast orch is</h1>{}{sections}</body></html>\n",
        plot::STYLE,
        machine.concat()
    )
}

fn section(results: &Results, scenario: Scenario) -> String {
    let plot = plot::inline(results, scenario);
    let mut rows = rows(results, scenario).into_iter();
    let head = rows.next().map_or_else(String::new, |head| row("th", &head));
    let body: String = rows.map(|cells| row("td", &cells)).collect();
    let failures: String = failures(results, scenario)
        .iter()
        .map(|failure| format!("<p>{}</p>", escaped(failure)))
        .collect();
    format!(
        "\n<section>{plot}<details><summary>Figures</summary><div class=\"wide\"><table>\
         {head}{body}</table></div>{failures}</details></section>"
    )
}

fn row(tag: &str, cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
    format!("<tr>{}</tr>", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn the_page_has_plot_and_figures_and_fetches_nothing() {
        let page = html(&results(&[(50.0, Some(100.0))]));
        assert!(page.contains("<td>orchestrator</td><td>50</td>"), "{page}");
        assert!(page.contains("<svg class=\"plot\""), "{page}");
        for word in ["<script", "<link", "src=", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
