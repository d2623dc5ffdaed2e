//! The code of a Rust file without its comments and the contents of its literals.
//!
//! Enough of a lexer to tell a keyword from the same word in a sentence; lines stay where they were.

/// Replaces comments and the contents of strings and characters with spaces.
pub(super) fn blank(text: &str) -> String {
    let mut blanker = Blanker { rest: text, out: String::with_capacity(text.len()) };
    while !blanker.rest.is_empty() {
        blanker.step();
    }
    blanker.out
}

/// The lines, from 1, that have this word in a blanked text, not as a part of a longer word.
pub(super) fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let has = |line: &str| find_word(line, word).is_some();
    (1..).zip(code.lines()).filter(|(_, line)| has(line)).map(|(number, _)| number).collect()
}

/// Where a word stands in a text, not as a part of a longer word.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let alone = |at: usize| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_word_char) && !after.starts_with(is_word_char)
    };
    text.match_indices(word).map(|(at, _)| at).find(|&at| alone(at))
}

pub(super) fn is_word_char(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

struct Blanker<'a> {
    rest: &'a str,
    out: String,
}

impl Blanker<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.hide(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.hide(comment_end(rest));
        } else if let Some(hashes) = self.raw_string() {
            self.literal(2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        } else if rest.starts_with('"') {
            self.escaped('"');
        } else if is_char_literal(rest) {
            self.escaped('\'');
        } else {
            self.keep(rest.chars().next().map_or(0, char::len_utf8));
        }
    }

    /// How many `#` a raw string that begins here has. A name that ends in `r` is none.
    fn raw_string(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        let prefix = self.out.trim_end_matches(['b', 'c']);
        let begins = after[hashes..].starts_with('"') && !prefix.ends_with(is_word_char);
        begins.then_some(hashes)
    }

    fn escaped(&mut self, quote: char) {
        let mut escaped = false;
        let end = self.rest[1..].find(|it| {
            let ends = it == quote && !escaped;
            escaped = it == '\\' && !escaped;
            ends
        });
        self.keep(1);
        self.hide(end.unwrap_or(self.rest.len()));
        self.keep(self.rest.len().min(1));
    }

    /// A literal that ends with the given mark, after an opening of the given length.
    fn literal(&mut self, opening: usize, mark: &str) {
        self.keep(opening);
        self.hide(self.rest.find(mark).unwrap_or(self.rest.len()));
        self.keep(self.rest.len().min(mark.len()));
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn hide(&mut self, length: usize) {
        let (hidden, rest) = self.rest.split_at(length);
        self.out.extend(hidden.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Whether this is a character and not a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''))
}

/// The length of a block comment; one may hold others.
fn comment_end(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if here.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn blanks(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
    }

    #[test]
    fn comments_are_blanked_and_lines_stay() {
        blanks("a // b\nc", "a     \nc");
        blanks("a /* b /* c */\nd */ e", "a             \n     e");
    }

    #[test]
    fn contents_of_literals_are_blanked() {
        blanks(r#"f("a\"b") + g"#, r#"f("    ") + g"#);
        blanks(r##"r#"a"b"# c"##, r##"r#"   "# c"##);
        blanks("br\"a\" b\"c\"", "br\" \" b\" \"");
        blanks(r#"('"', '\'', 'x')"#, "(' ', '  ', ' ')");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        blanks("fn f<'a>(x: &'a str, r#type: u8)", "fn f<'a>(x: &'a str, r#type: u8)");
        blanks("for\"a\"", "for\" \"");
    }

    #[test]
    fn what_never_ends_is_blanked_to_the_end() {
        blanks("\"a", "\" ");
        blanks("/* a", "    ");
        blanks("r#\"a", "r#\" ");
    }

    #[test]
    fn a_word_is_not_found_in_a_longer_one() {
        assert_eq!(lines_with("unsafe_code\nunsafe {}", "unsafe"), [2]);
    }
}
