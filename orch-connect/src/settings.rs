//! Reads the settings of an agent, with errors that name the key and the way out.

use serde_json::{Map, Value};

use crate::ConnectError;

/// Reads one JSON object whose keys are known.
pub(crate) struct Settings<'a> {
    map: &'a Map<String, Value>,
    /// What stands before a key in an error: empty, or `steps[2].`.
    prefix: String,
}

impl<'a> Settings<'a> {
    /// Settings with no other keys than the known ones.
    ///
    /// # Errors
    ///
    /// [`ConnectError::BadSetting`] for a key that is not known, with the nearest one that is.
    pub(crate) fn new(
        map: &'a Map<String, Value>,
        prefix: impl Into<String>,
        known: &[&str],
    ) -> Result<Self, ConnectError> {
        let settings = Self { map, prefix: prefix.into() };
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(settings.bad(key, format!("is unknown; {}", suggest(key, known)))),
            None => Ok(settings),
        }
    }

    pub(crate) fn bad(&self, key: &str, problem: impl Into<String>) -> ConnectError {
        bad_setting(format!("{}{key}", self.prefix), problem)
    }

    /// What stands before a key in an error.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, ConnectError> {
        self.typed(key, "a text", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ConnectError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>, ConnectError> {
        self.typed(key, "a whole number, 0 or more", Value::as_u64)
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, ConnectError> {
        self.typed(key, "a table", Value::as_object)
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ConnectError> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.typed(key, "a list of texts", |value| value.as_array()?.iter().map(text).collect())
    }

    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConnectError> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.bad(key, format!("is {}; expected {wanted}", kind_of(value)))),
        }
    }
}

pub(crate) fn bad_setting(setting: impl Into<String>, problem: impl Into<String>) -> ConnectError {
    ConnectError::BadSetting { setting: setting.into(), problem: problem.into() }
}

/// "did you mean `x`? known are …"
pub(crate) fn suggest(wrong: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(wrong, known) {
        Some(near) => format!("did you mean `{near}`? known are {list}"),
        None => format!("known are {list}"),
    }
}

/// The known word that is a slip or two away.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips_max = (wrong.chars().count() / 3).max(1);
    let near = known.iter().map(|word| (distance(wrong, word), *word)).min()?;
    (near.0 <= slips_max).then_some(near.1)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slip_is_named_and_a_far_word_is_not() {
        let known = ["command", "mode", "cwd"];
        assert_eq!(nearest("comand", &known), Some("command"));
        assert_eq!(nearest("comamnd", &known), Some("command"));
        assert_eq!(nearest("Mode", &known), Some("mode"));
        assert_eq!(nearest("cdw", &known), Some("cwd"));
        assert_eq!(nearest("timeout", &known), None);
    }

    #[test]
    fn an_error_says_the_key_what_it_is_and_what_it_should_be() {
        let value = json!({ "command": "ls" });
        let map = value.as_object().unwrap();
        let settings = Settings::new(map, "", &["command"]).unwrap();
        let error = settings.texts("command").unwrap_err();
        assert_eq!(error.to_string(), "setting `command`: is a text; expected a list of texts");
    }
}
