//! What must not be shown: which keys name a secret, and what stands in its place.

use serde_json::Value;

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// Whether a value under this key must not be shown: `api_key`, `GITHUB_TOKEN`, `password` …
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase();
    let words = ["key", "token", "secret", "password", "passwd", "credential", "authorization"];
    words.iter().any(|word| key.contains(word))
}

/// Masks every text under a secret key, at any depth, and passes all others to `mask_text`.
#[must_use]
pub fn masked(value: &Value, mask_text: &impl Fn(&str) -> String) -> Value {
    mask(false, value, mask_text)
}

fn mask(is_hidden: bool, value: &Value, mask_text: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(_) if is_hidden => MASK.into(),
        Value::String(text) => mask_text(text).into(),
        Value::Array(items) => items.iter().map(|item| mask(is_hidden, item, mask_text)).collect(),
        Value::Object(entries) => {
            let entries = entries.iter();
            let mask = |(key, item): (&String, &Value)| {
                (key.clone(), mask(is_hidden || is_secret_key(key), item, mask_text))
            };
            Value::Object(entries.map(mask).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_under_a_secret_key_is_masked_at_any_depth() {
        let value = json!({ "api_key": "a", "env": { "TOKEN": ["b", 1], "x": "c" } });
        let shown = masked(&value, &|text| text.to_uppercase());
        assert_eq!(shown, json!({ "api_key": "***", "env": { "TOKEN": ["***", 1], "x": "C" } }));
    }
}
