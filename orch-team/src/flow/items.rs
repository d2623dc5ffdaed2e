//! From a text to the list that a map goes over.

use orch_runtime::Content;
use serde_json::Value;

use super::spec::Split;

/// A text that is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadList {
    /// It is not JSON.
    #[error("it is not JSON ({0})")]
    NotJson(String),
    /// It is JSON and no array.
    #[error("it is JSON, but {0} and not an array")]
    NotAnArray(&'static str),
}

/// The items of one text.
pub(super) fn split(text: &str, by: Split) -> Result<Vec<Content>, BadList> {
    match by {
        Split::Lines => Ok(lines(text)),
        Split::Json => elements(text),
    }
}

fn lines(text: &str) -> Vec<Content> {
    text.lines().filter(|line| !line.trim().is_empty()).map(Content::from).collect()
}

fn elements(text: &str) -> Result<Vec<Content>, BadList> {
    let value = serde_json::from_str(text).map_err(|bad| BadList::NotJson(bad.to_string()))?;
    let items = match value {
        Value::Array(items) => items,
        other => return Err(BadList::NotAnArray(kind(&other))),
    };
    let content = |item| match item {
        Value::String(text) => Content::from(text),
        other => Content::from(other.to_string()),
    };
    Ok(items.into_iter().map(content).collect())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// An item as a problem names it: its number, and the beginning of its first line.
pub(super) fn label(number: usize, item: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = item.trim().lines().next().unwrap_or_default();
    let start: String = line.chars().filter(|it| !it.is_control()).take(CHARS_MAX).collect();
    let more = if start.len() < item.trim().len() { "…" } else { "" };
    format!("item {} ({start}{more})", number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_no_items() {
        let items = split("a b\r\n\n  \n c\n", Split::Lines).unwrap();
        assert_eq!(items, ["a b", " c"].map(Content::from));
        assert_eq!(split(" \n", Split::Lines), Ok(Vec::new()));
    }

    #[test]
    fn elements_are_texts_or_json() {
        let items = split(r#"["a\nb", 1, {"k": [null]}]"#, Split::Json).unwrap();
        assert_eq!(items, ["a\nb", "1", r#"{"k":[null]}"#].map(Content::from));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        assert_eq!(split("{}", Split::Json), Err(BadList::NotAnArray("an object")));
        assert!(matches!(split("a, b", Split::Json), Err(BadList::NotJson(_))));
    }

    #[test]
    fn a_label_is_short_and_has_no_control_characters() {
        assert_eq!(label(2, "src/a b.rs"), "item 3 (src/a b.rs)");
        assert_eq!(label(0, "one\ntwo"), "item 1 (one…)");
        assert!(label(0, &"\u{1b}x".repeat(100)).chars().count() < 80);
    }
}
