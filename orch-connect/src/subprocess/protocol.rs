//! The lines of `PROTOCOL.md`, in both directions.

use orch_core::{
    Access, AgentMessage, Content, Decision, Failure, MessageId, MessagePriority, StepKey,
    ToolCall, Usage,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{HostError, Idempotent, ToolBegun, ToolEnd};

/// A line from the program. Fields that are not known are ignored, so that a newer program can
/// speak to an older host.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Incoming {
    Send {
        id: Option<Value>,
        to: String,
        content: String,
        #[serde(default, deserialize_with = "priority")]
        priority: Option<MessagePriority>,
    },
    Ask {
        id: Value,
        to: String,
        content: String,
        timeout_ms: Option<u64>,
        #[serde(default, deserialize_with = "priority")]
        priority: Option<MessagePriority>,
    },
    Broadcast {
        id: Option<Value>,
        content: String,
    },
    Publish {
        id: Option<Value>,
        topic: String,
        content: String,
    },
    Tool {
        id: Value,
        tool: String,
        access: Access,
        #[serde(default)]
        paths: Vec<String>,
        #[serde(default)]
        arguments: Value,
        /// With it, the host records that the call begins, and is told how it ends.
        idempotent: Option<bool>,
    },
    ToolEnd {
        id: Option<Value>,
        key: String,
        output: Option<String>,
        error: Option<String>,
    },
    Reply {
        message: Option<String>,
        content: String,
    },
    Ack {
        message: Option<String>,
    },
    Fail {
        message: Option<String>,
        error: String,
        transient: Option<bool>,
        retry_after_ms: Option<u64>,
    },
    Usage(Usage),
    Log {
        text: String,
    },
}

impl Incoming {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with its beginning.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| {
            let start: String = String::from_utf8_lossy(line).chars().take(80).collect();
            format!("the program wrote a line that means nothing ({error}): {start:?}")
        })
    }

    /// Whether it may come between two turns.
    pub(super) fn is_beside_turns(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Log { .. })
    }
}

/// Priorities in any case: `"high"` as well as `"High"`.
fn priority<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MessagePriority>, D::Error> {
    let Some(name) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let mut all = MessagePriority::MOST_URGENT_FIRST.into_iter();
    let found = all.find(|priority| priority.to_string().eq_ignore_ascii_case(&name));
    let wrong = || {
        serde::de::Error::custom(format!(
            "priority `{name}` is none of critical, high, normal, low"
        ))
    };
    found.map(Some).ok_or_else(wrong)
}

pub(super) fn tool_call(
    tool: String,
    access: Access,
    paths: Vec<String>,
    arguments: Value,
) -> ToolCall {
    let mut call = ToolCall::new(tool, access).with_arguments(arguments);
    call.paths = paths;
    call
}

pub(super) const fn idempotent(yes: bool) -> Idempotent {
    if yes { Idempotent::Yes } else { Idempotent::No }
}

/// How a tool call ended, by its key.
///
/// # Errors
///
/// What is wrong with the line.
pub(super) fn tool_end(
    key: &str,
    output: Option<String>,
    error: Option<String>,
) -> Result<(StepKey, ToolEnd), String> {
    let key = key.parse().map_err(|error| format!("{error}"))?;
    match (output, error) {
        (Some(output), None) => Ok((key, ToolEnd::Done(output.into()))),
        (None, Some(error)) => Ok((key, ToolEnd::NotDone { error })),
        _ => Err("a `tool_end` has either an `output` or an `error`".to_owned()),
    }
}

pub(super) fn failure(
    error: String,
    transient: Option<bool>,
    retry_after_ms: Option<u64>,
) -> Failure {
    let is_transient = transient.unwrap_or(true);
    let mut failure = if is_transient { Failure::transient(error) } else { Failure::last(error) };
    failure.retry_after_ms = retry_after_ms;
    failure
}

pub(super) fn message(message: &AgentMessage, attempt: u32) -> Value {
    json!({
        "type": "message",
        "id": message.id().to_string(),
        // The message's id: the same for each attempt.
        "delivery_key": message.id().to_string(),
        "from": message.from().to_string(),
        "to": message.to().to_string(),
        "content": message.content(),
        "priority": message.priority().to_string().to_lowercase(),
        "attempt": attempt,
        "metadata": message.metadata(),
        "deadline_ms": message.deadline().map(orch_core::Timestamp::as_millis),
    })
}

pub(super) fn answer(id: &Value, content: &Content) -> Value {
    json!({ "type": "answer", "id": id, "content": content })
}

pub(super) fn sent(id: &Value, message: MessageId) -> Value {
    json!({ "type": "sent", "id": id, "message": message.to_string() })
}

pub(super) fn accepted(id: &Value, n_accepted: usize) -> Value {
    json!({ "type": "sent", "id": id, "n_accepted": n_accepted })
}

pub(super) fn error(id: Option<&Value>, error: &str, transient: bool) -> Value {
    json!({ "type": "error", "id": id, "error": error, "transient": transient })
}

pub(super) fn refused(id: Option<&Value>, refusal: &HostError) -> Value {
    error(id, &refusal.to_string(), refusal.is_transient())
}

pub(super) fn decision(id: &Value, decision: &Decision) -> Value {
    let mut line = json!({ "type": "decision", "id": id, "decision": "deny" });
    match decision {
        Decision::Allow => line["decision"] = "allow".into(),
        Decision::Deny { reason, possible_at } => {
            line["reason"] = reason.as_str().into();
            line["possible_at_ms"] = json!(possible_at.map(orch_core::Timestamp::as_millis));
        }
        _ => line["reason"] = "nobody decided".into(),
    }
    line
}

/// Answers a `tool` whose begin is recorded.
pub(super) fn begun(id: &Value, begun: ToolBegun) -> Value {
    match begun {
        ToolBegun::Call(key) => {
            let mut line = decision(id, &Decision::Allow);
            line["key"] = key.to_string().into();
            line
        }
        ToolBegun::Done(output) => {
            json!({ "type": "decision", "id": id, "decision": "done", "output": output })
        }
        ToolBegun::Denied { reason, possible_at } => {
            decision(id, &Decision::Deny { reason, possible_at })
        }
        ToolBegun::Unfinished(key) => {
            let reason = "an earlier attempt began it, and nobody knows how it ended";
            let mut line = decision(id, &Decision::deny(reason));
            line["key"] = key.to_string().into();
            line
        }
    }
}

pub(super) fn ended(id: &Value) -> Value {
    json!({ "type": "recorded", "id": id })
}

pub(super) fn stop() -> Value {
    json!({ "type": "stop" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Incoming::read(&line);
        }

        #[test]
        fn no_json_makes_the_reader_panic(
            kind in "send|ask|broadcast|publish|tool|tool_end|reply|ack|fail|usage|log|x",
            key in "id|to|content|priority|timeout_ms|access|paths|error|message",
            value in "[0-9]{1,25}|-1|1e400|null|\\[\\]|\\{\\}|\"[a-zé]{0,9}\"|true",
        ) {
            let _ = Incoming::read(format!(r#"{{"type":"{kind}","{key}":{value}}}"#).as_bytes());
        }
    }

    #[test]
    fn a_deep_line_is_an_error() {
        assert!(Incoming::read("[".repeat(1 << 20).as_bytes()).is_err());
        let deep = format!(
            r#"{{"type":"tool","id":1,"tool":"t","access":"read","arguments":{}"#,
            "[".repeat(1 << 20)
        );
        assert!(Incoming::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_unknown_type_is_answered_with_those_that_there_are() {
        let error = Incoming::read(br#"{"type":"repyl"}"#).unwrap_err();
        assert!(error.contains("`repyl`") && error.contains("`reply`"), "{error}");
    }

    #[test]
    fn a_priority_is_read_in_any_case_and_a_wrong_one_is_refused() {
        let read = |priority: &str| {
            let line =
                format!(r#"{{"type":"send","to":"a","content":"b","priority":"{priority}"}}"#);
            match Incoming::read(line.as_bytes()) {
                Ok(Incoming::Send { priority, .. }) => Ok(priority),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            }
        };
        assert_eq!(read("high"), Ok(Some(MessagePriority::High)));
        assert_eq!(read("Critical"), Ok(Some(MessagePriority::Critical)));
        assert!(read("urgent").unwrap_err().contains("`urgent`"));
    }
}
