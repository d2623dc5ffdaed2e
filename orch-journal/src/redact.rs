//! Takes secrets out of what is written.

use std::borrow::Cow;
use std::fmt;

use orch_core::secret::{MASK, masked};
use serde_json::{Map, Value};

use crate::record::Record;

/// A value below this length is no secret worth hiding: masking it would tear words apart.
const BYTES_MIN: usize = 4;

/// Knows the secrets of a run: their values, wherever they stand in a text, and the keys under which
/// settings and arguments of tools hold some.
///
/// What is masked is masked for ever: a message that is recovered says `***` where it said a secret.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<Secret>,
}

#[derive(Clone)]
struct Secret {
    text: String,
    /// As it stands in JSON, without the quotes.
    escaped: String,
}

impl Redactor {
    /// Knows the keys alone, as [`orch_core::secret::is_secret_key`] does.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows these values too: keys and tokens from the environment or from variables of a team.
    /// Values of fewer than 4 bytes are ignored.
    #[must_use]
    pub fn with_secrets<S: Into<String>>(mut self, secrets: impl IntoIterator<Item = S>) -> Self {
        let new = secrets.into_iter().map(Into::into).filter(|it: &String| it.len() >= BYTES_MIN);
        self.secrets.extend(new.map(Secret::new));
        // The longest first, so that a secret that is part of another leaves none of it.
        self.secrets.sort_by_key(|it| std::cmp::Reverse(it.text.len()));
        self
    }

    /// The text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(&secret.text) {
                text = text.replace(&secret.text, MASK).into();
            }
        }
        text
    }

    /// Whether the JSON of something has a secret in one of its texts.
    pub(crate) fn is_in_json(&self, json: &str) -> bool {
        self.secrets.iter().any(|it| json.contains(&it.escaped))
    }

    /// The value without secrets in its texts.
    pub(crate) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(entries) => {
                let entries = entries.iter();
                // Not the keys: they are the names of our own fields.
                Value::Object(entries.map(|(key, it)| (key.clone(), self.value(it))).collect())
            }
            other => other.clone(),
        }
    }

    /// Masks what stands under secret keys: the settings of agents, the arguments of tools.
    pub(crate) fn mask_keys(&self, record: &mut Record) {
        match record {
            Record::AgentRegistered { config, .. } => {
                let settings = Value::Object(std::mem::take(&mut config.settings));
                config.settings = object(self.under_keys(&settings));
            }
            Record::ToolDecided { call, .. } => call.arguments = self.under_keys(&call.arguments),
            Record::Noted { event: orch_core::EventKind::ApprovalAsked { call, .. } } => {
                call.arguments = self.under_keys(&call.arguments);
            }
            _ => {}
        }
    }

    fn under_keys(&self, value: &Value) -> Value {
        masked(value, &|text| self.text(text).into_owned())
    }
}

impl Secret {
    fn new(text: String) -> Self {
        let quoted = Value::String(text.clone()).to_string();
        Self { escaped: quoted[1..quoted.len() - 1].to_owned(), text }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

/// Shows how many secrets it knows, and none of them.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("n_secrets", &self.secrets.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_within_another_leaves_nothing_of_it() {
        let redactor = Redactor::new().with_secrets(["s3cret", "s3cret-long", "abc"]);
        assert_eq!(redactor.text("a s3cret-long b s3cret abc"), "a *** b *** abc");
    }

    #[test]
    fn a_secret_is_found_as_json_writes_it() {
        let redactor = Redactor::new().with_secrets(["a\"b\n"]);
        assert!(redactor.is_in_json(&serde_json::json!({ "x": "1a\"b\n2" }).to_string()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Redactor::new().with_secrets(["s3cret"]));
        assert_eq!(shown, "Redactor { n_secrets: 1 }");
    }
}
