//! What is wrong with a file that is no TOML, as few and as clear problems as possible.

use std::ops::Range;

use toml::de::Error;

use crate::problem::ProblemKind;
use crate::source::Source;

/// The first problem of each line, without those that only follow from one before.
pub(crate) fn problems(source: &Source, errors: &[Error]) -> Vec<(Range<usize>, ProblemKind)> {
    let mut found: Vec<(Range<usize>, ProblemKind)> = Vec::new();
    let (mut last_line, mut twice_from) = (None, None);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = line_start(&source.text, span.start);
        if last_line.replace(line) == Some(line) {
            continue;
        }
        if !error.message().starts_with("duplicate key") {
            let message = error.message().trim().replace('\n', ", ");
            let message = message.trim_end_matches(", expected nothing").to_owned();
            found.push((span, ProblemKind::Syntax(message)));
            continue;
        }
        // Below a table that is there twice, all its keys are there twice.
        if twice_from.is_some_and(|from| !has_header(&source.text[from..line])) {
            continue;
        }
        let is_header = source.text[line..].trim_start().starts_with('[');
        twice_from = is_header.then(|| source.text[line..].find('\n').map_or(line, |at| line + at));
        let key = source.text[span.clone()].trim_matches(['"', '\'']).to_owned();
        found.push((span, ProblemKind::Duplicate { key }));
    }
    found
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn has_header(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with('['))
}
