//! The text of a team file, and places in it that can be shown.

use std::fmt;
use std::ops::Range;

/// A line that is longer than this is shown in part, around the place.
const SHOWN_CHARS_MAX: usize = 100;

/// A file's text under the name that errors show.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
}

impl Source {
    /// The place of a byte range; a range over several lines is shown up to the end of its first.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let start = floor(&self.text, span.start);
        let end = floor(&self.text, span.end).max(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let (before, after) = (&self.text[line_start..start], &self.text[start..line_end]);
        let marked = &self.text[start..end.min(line_end)];
        Place {
            line: self.text[..line_start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            snippet: Snippet::new(before, marked, after),
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

/// Where something stands in a file: a line and a column, both counted from 1, the column in
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    snippet: Snippet,
}

/// Shows the source line with carets under the place; ends with a newline.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snippet { shown, indent, width } = &self.snippet;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {shown}")?;
        writeln!(f, "{gutter} | {}{}", " ".repeat(*indent), "^".repeat(*width))
    }
}

/// One line as it can be shown: bounded, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snippet {
    shown: String,
    indent: usize,
    width: usize,
}

impl Snippet {
    /// `after` begins with `marked`.
    fn new(before: &str, marked: &str, after: &str) -> Self {
        let (mut shown, mut indent) = (String::new(), before.chars().count());
        let mut line: Vec<char> = before.chars().chain(after.trim_end().chars()).collect();
        if SHOWN_CHARS_MAX < line.len() {
            let skip = indent.saturating_sub(SHOWN_CHARS_MAX / 2);
            line = line.split_off(skip);
            indent -= skip;
            if 0 < skip {
                shown.push('…');
                indent += 1;
            }
        }
        let is_cut = SHOWN_CHARS_MAX < line.len();
        shown.extend(line.iter().take(SHOWN_CHARS_MAX).map(|&it| printable(it)));
        if is_cut {
            shown.push('…');
        }
        let room = shown.chars().count().saturating_sub(indent).max(1);
        Self { shown, indent, width: marked.trim_end().chars().count().clamp(1, room) }
    }
}

/// A tab as a space, so that the carets stand right; other control characters cannot be seen and
/// could act on a terminal.
fn printable(it: char) -> char {
    match it {
        '\t' => ' ',
        it if it.is_control() => '\u{fffd}',
        it => it,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let source = Source { file: "f".to_owned(), text: text.to_owned() };
        let place = source.place(span);
        format!("{}:{}\n{place}", place.line, place.column)
    }

    #[test]
    fn carets_stand_under_the_place() {
        assert_eq!(shown("a = 1\nbc = 2\n", 6..8), "2:1\n  |\n2 | bc = 2\n  | ^^\n");
        assert_eq!(shown("\tä = 'ö'", 6..10), "1:6\n  |\n1 |  ä = 'ö'\n  |      ^^^\n");
    }

    #[test]
    fn a_place_at_the_end_or_beyond_it_is_shown() {
        assert_eq!(shown("a", 1..1), "1:2\n  |\n1 | a\n  |  ^\n");
        assert_eq!(shown("", 5..9), "1:1\n  |\n1 | \n  | ^\n");
    }

    #[test]
    fn a_range_over_lines_is_marked_on_its_first() {
        assert_eq!(shown("a = [\n1]", 4..8), "1:5\n  |\n1 | a = [\n  |     ^\n");
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}here{}", "x".repeat(500), "y".repeat(500));
        let shown = shown(&text, 500..504);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[2].starts_with("1 | …x") && lines[2].ends_with("y…"), "{shown}");
        let at = lines[2].chars().position(|it| it == 'h');
        assert_eq!(at, lines[3].chars().position(|it| it == '^'));
        assert!(lines[2].chars().count() < 110);
    }

    #[test]
    fn control_characters_do_not_reach_the_reader() {
        assert!(!shown("a = '\u{1b}[31m'", 4..5).contains('\u{1b}'));
    }
}
