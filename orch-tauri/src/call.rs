//! How a command takes its arguments. Tauri would reject a wrong one with a bare text; this rejects
//! it with an [`Error`] that has a code and a hint.

use serde_json::{Map, Value};
use tauri::ipc::{CommandArg, CommandItem, InvokeBody, InvokeError};
use tauri::{Manager, Runtime};

use crate::args::Args;
use crate::error::{Error, ErrorCode};
use crate::orchestrators::Orchestrators;

/// A call of a command: its arguments, and the orchestrators that it is about.
#[derive(Debug)]
pub struct Call<T> {
    pub(crate) orchestrators: Orchestrators,
    pub(crate) args: T,
}

impl<'de, T: Args, R: Runtime> CommandArg<'de, R> for Call<T> {
    fn from_command(command: CommandItem<'de, R>) -> Result<Self, InvokeError> {
        let state = command.message.webview_ref().try_state::<Orchestrators>();
        let orchestrators = state.map(|state| state.inner().clone()).ok_or_else(not_managed)?;
        let args = read(command.message.payload())?;
        Ok(Self { orchestrators, args })
    }
}

fn not_managed() -> Error {
    Error::new(ErrorCode::NotManaged, "the app has no orchestrators").with_hint(
        "add the plugin orch_tauri::init(…) or orch_tauri::plain(…) to the app's builder",
    )
}

fn read<T: Args>(payload: &InvokeBody) -> Result<T, Error> {
    let InvokeBody::Json(value) = payload else {
        return Err(Error::invalid("the arguments are bytes").with_hint("pass an object"));
    };
    let none = Value::Object(Map::new());
    // `null` is what a caller without arguments may send.
    let value = if value.is_null() { &none } else { value };
    let Some(arguments) = value.as_object() else {
        return Err(Error::invalid("the arguments are no object").with_hint("pass an object"));
    };
    check_keys(arguments, T::KEYS)?;
    serde_path_to_error::deserialize(value).map_err(|error| wrong(&error, T::KEYS))
}

fn check_keys(arguments: &Map<String, Value>, known: &[&str]) -> Result<(), Error> {
    let Some(key) = arguments.keys().find(|key| !known.contains(&key.as_str())) else {
        return Ok(());
    };
    let snake = snake_case(key);
    let hint = if known.contains(&snake.as_str()) {
        format!("write `{snake}`: arguments are spelled in snake case")
    } else {
        format!("known are {}", known.join(", "))
    };
    Err(Error::invalid(format!("there is no argument `{}`", crate::text::shorten(key.clone(), 80)))
        .with_hint(hint))
}

fn wrong(error: &serde_path_to_error::Error<serde_json::Error>, known: &[&str]) -> Error {
    let path = error.path().to_string();
    let (path, hint) = match path.as_str() {
        "." => (String::new(), format!("the arguments are {}", known.join(", "))),
        path => (format!("`{path}`: "), format!("correct `{path}`")),
    };
    Error::invalid(format!("{path}{}", error.inner())).with_hint(hint)
}

fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for letter in key.chars().take(80) {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{AgentArgs, RegisterAgentArgs};

    fn error<T: Args>(payload: Value) -> Error {
        read::<T>(&InvokeBody::Json(payload)).err().expect("it is wrong")
    }

    #[test]
    fn a_wrong_argument_is_named_by_its_path() {
        let config =
            json!({ "name": "a", "role": "Worker", "connector_type": "x", "concurrency": -1 });
        let error = error::<RegisterAgentArgs>(json!({ "request": { "config": config } }));
        assert_eq!(error.code, ErrorCode::InvalidArguments);
        assert!(
            error.message.starts_with("`request.config`: invalid value: integer `-1`"),
            "{error}"
        );
    }

    #[test]
    fn camel_case_is_refused_with_the_right_spelling() {
        let error = error::<AgentArgs>(json!({ "agentId": "x" }));
        assert_eq!(error.hint.unwrap(), "write `agent_id`: arguments are spelled in snake case");
    }

    #[test]
    fn bytes_and_lists_are_refused() {
        assert!(read::<AgentArgs>(&InvokeBody::Raw(vec![1])).is_err());
        assert_eq!(error::<AgentArgs>(json!([])).message, "the arguments are no object");
        assert_eq!(error::<AgentArgs>(json!({})).message, "missing field `agent_id`");
    }
}
