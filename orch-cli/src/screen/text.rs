//! Text that agents wrote, fit for a terminal.

use std::time::Duration;

/// The first line that says something, without control characters, at most `width` characters; and
/// how many lines follow.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().trim();
    let n_more = lines.count();
    let clean: String = first.chars().map(visible).collect();
    let mut cut: String = clean.chars().take(width).collect();
    if cut.len() < clean.len() {
        cut.push('…');
    }
    match n_more {
        0 => cut,
        1 => format!("{cut} (+1 line)"),
        n => format!("{cut} (+{n} lines)"),
    }
}

/// All lines, without other control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

/// A character that cannot move the cursor or turn the text round.
fn visible(c: char) -> char {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match c {
        '\t' => ' ',
        c if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') => '·',
        c => c,
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        millis => format!("{} min {} s", millis / 60_000, millis / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_harmless_line() {
        assert_eq!(one_line("\n a\u{1b}[31mb\tc \nsecond\nthird", 80), "a·[31mb c (+2 lines)");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("äöü", 3), "äöü");
        assert_eq!(one_line("", 3), "");
    }

    #[test]
    fn a_text_of_several_lines_keeps_them_and_nothing_else_that_moves_the_cursor() {
        assert_eq!(plain("a\r\n\tb\u{9b}1m\u{202e}"), "a·\n b·1m·");
    }

    #[test]
    fn durations_read_well() {
        let texts = [12, 1_234, 61_500].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(texts, ["12 ms", "1.2 s", "1 min 1 s"]);
    }
}
