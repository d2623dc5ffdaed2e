//! JSON for programs, which a terminal may show all the same.

use std::fmt::Write;

use serde_json::Value;

use crate::exit::Stop;
use crate::out::write;

/// Prints these, one a line.
pub(crate) fn print(values: impl IntoIterator<Item = Value>) -> Result<(), Stop> {
    let mut text = String::new();
    for value in values {
        escaped(&mut text, &value.to_string());
        text.push('\n');
    }
    write(&text)
}

/// JSON escapes the control characters of ASCII. The others that move a cursor or turn text round
/// stand in strings alone, where they may be escaped too.
fn escaped(text: &mut String, json: &str) {
    for c in json.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') {
            // A String takes all that is written.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back_the_same() {
        let value = Value::from("a\u{1b}[1m\u{9b}1m\u{7f}\u{202e}\u{2028}é\n");
        let mut text = String::new();
        escaped(&mut text, &value.to_string());
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
