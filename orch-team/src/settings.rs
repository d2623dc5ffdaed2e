//! A connector's settings: from TOML to JSON, with paths made absolute and secrets masked.

use std::path::{Path, PathBuf};

use orch_runtime::secret;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::DeValue;

use crate::reader::{Named, Reader};

/// A value as JSON, with variables in place; `None` if something in it was wrong and reported.
pub(crate) fn to_json(
    r: &mut Reader<'_>,
    named: &Named<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Option<Value> {
    let problem = match value.get_ref() {
        DeValue::String(text) => {
            return r.expand(text, value.span(), named).map(|text| text.at.value.into());
        }
        DeValue::Boolean(flag) => return Some((*flag).into()),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| to_json(r, named, item)).collect();
            return items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array);
        }
        DeValue::Table(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, item)| Some((key.get_ref().to_string(), to_json(r, named, item)?)))
                .collect();
            return entries.into_iter().collect::<Option<Map<_, _>>>().map(Value::Object);
        }
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => return Some(number.into()),
            Err(_) => named.wrong(format!("{number} is out of range")),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => return Some(Value::Number(number)),
            None => named.wrong(format!("{number} is not a number that can be passed on")),
        },
        DeValue::Datetime(_) => named.wrong("a date must be written as a string"),
    };
    r.report(value.span(), problem);
    None
}

/// Makes `cwd`, and a program path with a slash, relative to `folder` instead of to wherever the
/// process was started.
pub(crate) fn resolve_paths(settings: &mut Map<String, Value>, folder: &Path) {
    if let Some(Value::String(cwd)) = settings.get_mut("cwd") {
        *cwd = resolve(folder, cwd);
    }
    if let Some(Value::String(program)) = settings.get_mut("command").and_then(|it| it.get_mut(0))
        && program.contains('/')
    {
        *program = resolve(folder, program);
    }
}

/// `path` seen from `folder`, without the `.` and the `x/..` that need no look at the disk.
pub(crate) fn resolve(folder: &Path, path: &str) -> String {
    let joined = folder.join(path);
    // `components` drops every `.` but a leading one; `..` stays, since `x` may be a link.
    let clean: PathBuf = joined.components().collect();
    clean.to_string_lossy().into_owned()
}

/// The settings as they may be shown: strings under secret keys masked, and wherever else one of
/// `secrets` stands in a string.
pub(crate) fn masked(settings: &Map<String, Value>, secrets: &[&str]) -> Map<String, Value> {
    match secret::masked(&Value::Object(settings.clone()), &|text| mask_text(text, secrets)) {
        Value::Object(masked) => masked,
        _ => Map::new(),
    }
}

pub(crate) fn mask_text(text: &str, secrets: &[&str]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, it| text.replace(it, secret::MASK))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn paths_are_seen_from_the_folder_of_the_file() {
        let mut settings =
            map(json!({ "command": ["./bin/x", "y/z"], "cwd": "w", "other": "a/b" }));
        resolve_paths(&mut settings, Path::new("/t"));
        let expected = json!({ "command": ["/t/bin/x", "y/z"], "cwd": "/t/w", "other": "a/b" });
        assert_eq!(Value::Object(settings), expected);
    }

    #[test]
    fn a_program_without_a_slash_is_left_to_the_path() {
        let mut settings = map(json!({ "command": ["sh", "x/y.sh"], "cwd": "/abs" }));
        let before = settings.clone();
        resolve_paths(&mut settings, Path::new("/t"));
        assert_eq!(settings, before);
    }

    #[test]
    fn secrets_are_masked_by_key_at_any_depth_and_by_value() {
        let settings = json!({
            "api_key": "abc", "max_tokens": 5, "model": "m",
            "env": { "GITHUB_TOKEN": "def", "LANG": "C" },
            "command": ["curl", "-H", "X: s3cret"],
            "credentials": ["ghi"],
        });
        let expected = json!({
            "api_key": "***", "max_tokens": 5, "model": "m",
            "env": { "GITHUB_TOKEN": "***", "LANG": "C" },
            "command": ["curl", "-H", "X: ***"],
            "credentials": ["***"],
        });
        assert_eq!(Value::Object(masked(&map(settings), &["s3cret", ""])), expected);
    }
}
