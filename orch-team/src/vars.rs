//! Variables: declared with their defaults in `[set]`, set from outside, used as `${name}`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::nearest::nearest;
use crate::problem::ProblemKind;

/// A `key=value` that has no `=` or no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` sets no variable; write key=value")]
pub struct BadSet(String);

/// Values for a team's variables, in place of the defaults in its `[set]`.
///
/// # Examples
///
/// ```
/// use orch_team::Sets;
///
/// let sets = Sets::new().with("top", "5").with_pair("repo=../other")?;
/// # let _ = sets;
/// # Ok::<(), orch_team::BadSet>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sets(BTreeMap<String, String>);

impl Sets {
    /// Every variable keeps its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one variable; the last value of a name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The names and their values, by name.
    pub fn into_pairs(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }

    /// Sets one variable as `key=value`; the value may be empty and may have further `=`.
    ///
    /// # Errors
    ///
    /// [`BadSet`] if there is no `=`, or nothing before it.
    pub fn with_pair(self, pair: &str) -> Result<Self, BadSet> {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(self.with(name.trim(), value)),
            _ => Err(BadSet(pair.to_owned())),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Shows the names but not the values, which may be secrets.
impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sets").field(&self.0.keys()).finish()
    }
}

/// The variables of one team with their values, and which of them were used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vars {
    values: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Vars {
    pub(crate) fn declare(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    pub(crate) fn unused(&self) -> impl Iterator<Item = &str> {
        self.values.keys().filter(|name| !self.used.contains(*name)).map(String::as_str)
    }

    /// `name` is not declared.
    pub(crate) fn unknown(&self, name: &str) -> ProblemKind {
        let nearest = nearest(name, self.values.keys().map(String::as_str));
        let nearest = nearest.map(str::to_owned);
        ProblemKind::UnknownVariable { name: name.to_owned(), nearest }
    }

    /// Puts values in place of `${name}`; `$${` stands for `${` itself.
    pub(crate) fn expand(&mut self, text: &str) -> Result<Expanded, BadExpansion> {
        let (mut out, mut rest, mut has_variables) =
            (String::with_capacity(text.len()), text, false);
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            let end = after.find('}').ok_or(BadExpansion::NotClosed)?;
            let name = after[..end].trim();
            let Some(value) = self.values.get(name) else {
                return Err(BadExpansion::Unknown(self.unknown(name)));
            };
            self.used.insert(name.to_owned());
            out.push_str(before);
            out.push_str(value);
            has_variables = true;
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(Expanded { text: out, has_variables })
    }
}

/// A text with its variables in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    pub(crate) has_variables: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadExpansion {
    NotClosed,
    Unknown(ProblemKind),
}

/// Writes a text so that expanding it gives it back.
pub(crate) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        let mut vars = Vars::default();
        vars.declare("top", "10".to_owned());
        vars.declare("odd", "${top}".to_owned());
        vars
    }

    #[track_caller]
    fn expands(text: &str, expected: &str) {
        assert_eq!(vars().expand(text).unwrap().text, expected);
    }

    #[test]
    fn values_stand_in_place_of_variables() {
        expands("${top} of ${ top }%", "10 of 10%");
        expands("no $variable {here} $5", "no $variable {here} $5");
    }

    #[test]
    fn two_dollars_stand_for_the_text_itself() {
        expands("$${HOME} ${top}", "${HOME} 10");
        expands(&escape("a ${top} $${x}"), "a ${top} $${x}");
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        expands("${odd}", "${top}");
    }

    #[test]
    fn an_undeclared_variable_is_refused_with_the_nearest() {
        let error = vars().expand("${tpo}").unwrap_err();
        let expected = "variable `tpo` is not declared in [set]; did you mean `top`?";
        assert!(matches!(error, BadExpansion::Unknown(kind) if kind.to_string() == expected));
        assert_eq!(vars().expand("a ${top"), Err(BadExpansion::NotClosed));
    }

    #[test]
    fn a_pair_needs_a_key() {
        assert_eq!(Sets::new().with_pair("a=b=c"), Ok(Sets::new().with("a", "b=c")));
        assert_eq!(Sets::new().with_pair("a="), Ok(Sets::new().with("a", "")));
        assert!(Sets::new().with_pair("=b").is_err() && Sets::new().with_pair("a").is_err());
    }
}
