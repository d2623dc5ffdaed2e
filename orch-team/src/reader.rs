//! Reads typed values out of TOML tables and collects what is wrong with them.
//!
//! A key is known because something asked for it: the list of known keys cannot fall behind.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::duration::parse_duration;
use crate::nearest::nearest;
use crate::problem::{Problem, ProblemKind};
use crate::source::Source;
use crate::vars::{BadExpansion, Vars};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), span: self.span }
    }
}

/// What all tables of one file share: the source, the variables, the problems so far.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) vars: Vars,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, vars: Vars::default(), problems: Vec::new() }
    }

    pub(crate) fn report(&mut self, span: Range<usize>, problem: impl Into<Problem>) {
        let place = Some(self.source.place(span));
        self.problems.push(Problem { file: self.source.file.clone(), place, ..problem.into() });
    }

    /// Reports a problem with what was given from outside of the file.
    pub(crate) fn report_outside(&mut self, problem: impl Into<Problem>) {
        self.problems.push(Problem { file: self.source.file.clone(), ..problem.into() });
    }

    /// A string with its variables in place.
    pub(crate) fn expand(
        &mut self,
        text: &str,
        span: Range<usize>,
        of: &Named<'_>,
    ) -> Option<Text> {
        let problem = match self.vars.expand(text) {
            Ok(expanded) => {
                let has_variables = expanded.has_variables;
                return Some(Text { at: At::new(expanded.text, span), has_variables });
            }
            Err(BadExpansion::Unknown(kind)) => {
                Problem::new(kind).with_hint("write $${ for the two characters themselves")
            }
            Err(BadExpansion::NotClosed) => {
                of.wrong("a variable `${` is not closed with `}`; write $${ for the text itself")
            }
        };
        self.report(span, problem);
        None
    }
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self::new(kind)
    }
}

/// A string from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) at: At<String>,
    /// Whether variables were put in, so that a number may have come as a string.
    pub(crate) has_variables: bool,
}

/// A key and its table, as messages name them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) key: &'a str,
    pub(crate) section: &'a str,
}

impl Named<'_> {
    pub(crate) fn wrong(&self, problem: impl Into<String>) -> Problem {
        let (key, section) = (self.key.to_owned(), self.section.to_owned());
        Problem::new(ProblemKind::WrongValue { key, section, problem: problem.into() })
    }

    pub(crate) fn wrong_type(&self, expected: &str, found: &DeValue<'_>) -> Problem {
        Problem::new(ProblemKind::WrongType {
            key: self.key.to_owned(),
            section: self.section.to_owned(),
            expected: expected.to_owned(),
            found: type_name(found).to_owned(),
        })
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    /// As messages name it: `[agents.lister]`.
    pub(crate) title: String,
    /// Where its name stands, for what the table lacks.
    pub(crate) span: Range<usize>,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(title: String, span: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        Self { title, span, entries, asked: Vec::new(), missing: Vec::new() }
    }

    pub(crate) fn named<'b>(&'b self, key: &'b str) -> Named<'b> {
        Named { key, section: &self.title }
    }

    /// The value of a key, which is known from now on.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.entries.get(key)
    }

    /// Where a key stands.
    pub(crate) fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.get_key_value(key).map(|(key, _)| key.span())
    }

    /// All entries in the order of the file; every key is known from now on.
    pub(crate) fn entries(&self) -> Vec<(At<&'a str>, &'a Spanned<DeValue<'a>>)> {
        let entries = self.entries.iter();
        let mut all: Vec<_> = entries
            .map(|(key, value)| (At::new(key.get_ref().as_ref(), key.span()), value))
            .collect();
        all.sort_by_key(|(key, _)| key.span.start);
        all
    }

    pub(crate) fn text(&mut self, r: &mut Reader<'_>, key: &'static str) -> Option<Text> {
        let value = self.value(key)?;
        self.as_text(r, key, value)
    }

    fn as_text(&self, r: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        match value.get_ref() {
            DeValue::String(text) => r.expand(text, value.span(), &self.named(key)),
            other => {
                r.report(value.span(), self.named(key).wrong_type("a string", other));
                None
            }
        }
    }

    /// A list of strings.
    pub(crate) fn texts(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<At<Vec<At<String>>>> {
        let value = self.value(key)?;
        let Some(items) = value.get_ref().as_array() else {
            let problem = self.named(key).wrong_type("a list of strings", value.get_ref());
            r.report(value.span(), problem);
            return None;
        };
        let texts = items.iter().map(|item| self.as_text(r, key, item).map(|text| text.at));
        // Read all of them, so that every wrong one is reported.
        let texts: Vec<_> = texts.collect();
        Some(At::new(texts.into_iter().collect::<Option<_>>()?, value.span()))
    }

    /// A whole number from `min` on; a string counts if variables were put into it.
    pub(crate) fn count(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        min: u32,
    ) -> Option<At<u32>> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::String(text) => {
                let text = r.expand(text, value.span(), &self.named(key))?;
                if !text.has_variables {
                    let problem = self.named(key).wrong_type("a whole number", value.get_ref());
                    r.report(value.span(), problem);
                    return None;
                }
                text.at.value
            }
            other => {
                r.report(value.span(), self.named(key).wrong_type("a whole number", other));
                return None;
            }
        };
        let number = text.trim().parse::<u32>().ok().filter(|number| min <= *number);
        if number.is_none() {
            let problem = format!("{text} is not a whole number from {min} to {}", u32::MAX);
            r.report(value.span(), self.named(key).wrong(problem));
        }
        number.map(|number| At::new(number, value.span()))
    }

    pub(crate) fn flag(&mut self, r: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            r.report(value.span(), self.named(key).wrong_type("true or false", value.get_ref()));
        }
        flag
    }

    /// A duration that is longer than nothing.
    pub(crate) fn duration(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<At<Duration>> {
        let value = self.value(key)?;
        let named = self.named(key);
        if let DeValue::Integer(number) = value.get_ref() {
            let hint = format!("a number needs a unit: \"{number}s\"");
            let problem = named.wrong_type("a duration", value.get_ref()).with_hint(hint);
            r.report(value.span(), problem);
            return None;
        }
        let text = self.as_text(r, key, value)?.at;
        match parse_duration(&text.value) {
            Ok(Duration::ZERO) => {
                r.report(text.span, named.wrong("it must be longer than nothing"));
            }
            Ok(duration) => return Some(At::new(duration, text.span)),
            Err(bad) => r.report(text.span, named.wrong(bad.to_string())),
        }
        None
    }

    /// Whether a key says `"unlimited"` in place of its figure.
    pub(crate) fn is_unlimited(&self, key: &str) -> bool {
        let value = self.entries.get(key).map(Spanned::get_ref);
        value.and_then(DeValue::as_str).is_some_and(|text| text.eq_ignore_ascii_case("unlimited"))
    }

    /// One of a few words; case, `-` and `_` make no difference.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(r, key)?.at;
        let found = choices.iter().find(|(name, _)| plain(name) == plain(&text.value));
        if found.is_none() {
            let problem = self.named(key).wrong(no_choice(&text.value, choices));
            r.report(text.span, problem);
        }
        found.map(|(_, choice)| *choice)
    }

    /// A table inside of this one.
    pub(crate) fn section(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        title: String,
    ) -> Option<Self> {
        let value = self.value(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            r.report(value.span(), self.named(key).wrong_type("a table", value.get_ref()));
            return None;
        };
        let span = self.key_span(key).unwrap_or(value.span());
        Some(Section::new(title, span, entries))
    }

    /// A list of tables inside of this one, each titled `title`.
    pub(crate) fn sections(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        title: &str,
    ) -> Option<Vec<Self>> {
        let value = self.value(key)?;
        let Some(items) = value.get_ref().as_array() else {
            r.report(value.span(), self.named(key).wrong_type("a list of tables", value.get_ref()));
            return None;
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(entries) => {
                    sections.push(Section::new(title.to_owned(), item.span(), entries));
                }
                None => {
                    r.report(item.span(), self.named(key).wrong_type("a table", item.get_ref()));
                }
            }
        }
        Some(sections)
    }

    /// Notes that a key is needed and not there, for [`finish`](Self::finish) to report.
    pub(crate) fn missing(&mut self, key: &'static str, hint: impl Into<String>) {
        self.missing.push((key, hint.into()));
    }

    /// Reports every key that nothing asked for, and every one that is missing, unless one of the
    /// former is a misspelling of it.
    pub(crate) fn finish(mut self, r: &mut Reader<'_>) {
        for (key, _) in self.entries() {
            if self.asked.contains(&key.value) {
                continue;
            }
            let meant = nearest(key.value, self.asked.iter().copied());
            self.missing.retain(|(missing, _)| Some(*missing) != meant);
            let mut problem = Problem::new(ProblemKind::UnknownKey {
                key: key.value.to_owned(),
                section: self.title.clone(),
                nearest: meant.map(str::to_owned),
            });
            if meant.is_none() {
                problem = problem.with_hint(format!("known here: {}", self.asked.join(", ")));
            }
            r.report(key.span, problem);
        }
        for (key, hint) in self.missing {
            let (key, section) = (key.to_owned(), self.title.clone());
            let problem = Problem::new(ProblemKind::MissingKey { key, section });
            r.report(self.span.clone(), problem.with_hint(hint));
        }
    }
}

fn plain(word: &str) -> String {
    word.replace(['-', '_'], "").to_lowercase()
}

pub(crate) fn no_choice<T>(wrong: &str, choices: &[(&str, T)]) -> String {
    let names = choices.iter().map(|(name, _)| *name);
    let known = names.clone().collect::<Vec<_>>().join(", ");
    let near = nearest(wrong, names);
    format!(
        "\"{wrong}\" is none of {known}{}",
        near.map(|it| format!("; did you mean \"{it}\"?")).unwrap_or_default()
    )
}
