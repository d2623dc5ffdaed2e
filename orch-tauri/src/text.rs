//! Texts and numbers on their way to a page: bounded, and such that JavaScript can hold them.

use serde_json::Value;

/// The largest whole number that JavaScript holds exactly. As a limit it means "no limit".
///
/// Larger numbers (the 64-bit maximum that stands for "no limit" in Rust) become this one on their
/// way to a page.
pub const UNLIMITED: u64 = (1 << 53) - 1;

/// A text in an event is cut at this many bytes.
pub const EVENT_TEXT_BYTES_MAX: usize = 64 * 1024;

/// The text, or its beginning and three dots.
pub(crate) fn shorten(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// Makes every number one that JavaScript holds exactly, or the largest such.
pub(crate) fn clamp_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_u64().is_some_and(|it| UNLIMITED < it) => {
            *value = UNLIMITED.into();
        }
        Value::Array(items) => items.iter_mut().for_each(clamp_numbers),
        Value::Object(entries) => entries.values_mut().for_each(clamp_numbers),
        _ => {}
    }
}

/// Cuts every text that is longer than an event may have, and says whether there was one.
pub(crate) fn cut_texts(value: &mut Value) -> bool {
    match value {
        Value::String(text) if EVENT_TEXT_BYTES_MAX < text.len() => {
            text.truncate(text.floor_char_boundary(EVENT_TEXT_BYTES_MAX));
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |cut, item| cut_texts(item) | cut),
        Value::Object(entries) => {
            entries.values_mut().fold(false, |cut, entry| cut_texts(entry) | cut)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_that_javascript_would_round_becomes_the_largest_that_it_holds() {
        let mut value = json!({ "a": [u64::MAX, UNLIMITED, UNLIMITED + 1, 7], "b": -1, "c": 0.5 });
        clamp_numbers(&mut value);
        let most = UNLIMITED;
        assert_eq!(value, json!({ "a": [most, most, most, 7], "b": -1, "c": 0.5 }));
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let mut value = json!({ "short": "ok", "long": "ä".repeat(EVENT_TEXT_BYTES_MAX) });
        assert!(cut_texts(&mut value));
        assert_eq!(value["long"].as_str().unwrap().len(), EVENT_TEXT_BYTES_MAX);
        assert_eq!(value["short"], "ok");
        assert!(!cut_texts(&mut value));
        assert_eq!(shorten("äöü".to_owned(), 2), "äö…");
        assert_eq!(shorten("äö".to_owned(), 2), "äö");
    }
}
