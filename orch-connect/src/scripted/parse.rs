//! Reads a script from an agent's settings.

use std::time::Duration;

use orch_core::{Access, Content, Failure, ToolCall, Usage};
use serde_json::{Map, Value};

use super::step::{ASK_TIMEOUT, Action, End, Repeat, Script};
use crate::ConnectError;
use crate::settings::{Settings, bad_setting, kind_of, suggest};

/// The steps, each with the keys that it may have beside its own and `when`.
const STEPS: &[(&str, &[&str])] = &[
    ("reply", &[]),
    ("echo", &[]),
    ("reply_answer", &[]),
    ("done", &[]),
    ("fail", &["final", "retry_after_ms"]),
    ("panic", &[]),
    ("hang", &[]),
    ("delay_ms", &[]),
    ("block_ms", &[]),
    ("usage", &[]),
    ("say", &[]),
    ("send", &["to"]),
    ("ask", &["to", "timeout_ms"]),
    ("broadcast", &[]),
    ("publish", &["topic"]),
    ("tool", &["access", "paths", "arguments", "expect"]),
];

enum Step {
    Action(Action),
    End(End),
}

/// The script of these settings; `None` if they have none.
pub(super) fn script(settings: &Map<String, Value>) -> Result<Option<Script>, ConnectError> {
    let settings = Settings::new(settings, "", &["steps", "repeat"])?;
    let repeat = repeat(&settings)?;
    let Some(steps) = settings.get("steps") else {
        return if settings.get("repeat").is_some() { Err(no_steps()) } else { Ok(None) };
    };
    let Some(steps) = steps.as_array() else {
        return Err(settings.bad("steps", format!("is {}; expected a list", kind_of(steps))));
    };
    let mut script = Script { repeat, ..Script::default() };
    for (index, step) in steps.iter().enumerate() {
        add(&mut script, &format!("steps[{index}]"), step)?;
    }
    Ok(Some(script))
}

pub(super) fn no_steps() -> ConnectError {
    bad_setting("steps", "is missing; for example `steps = [{ reply = \"done\" }]`")
}

fn repeat(settings: &Settings<'_>) -> Result<Repeat, ConnectError> {
    match settings.get("repeat") {
        None | Some(Value::Bool(false)) => Ok(Repeat::No),
        Some(Value::Bool(true)) => Ok(Repeat::All),
        Some(Value::String(text)) if text == "last" => Ok(Repeat::Last),
        Some(_) => Err(settings.bad("repeat", "must be true, false or \"last\"")),
    }
}

fn add(script: &mut Script, place: &str, step: &Value) -> Result<(), ConnectError> {
    let Some(step) = step.as_object() else {
        let kind = kind_of(step);
        return Err(bad_setting(
            place,
            format!("is {kind}; expected a table such as {{ reply = \"a\" }}"),
        ));
    };
    let (name, options) = name_of(place, step)?;
    let mut known = vec![name, "when"];
    known.extend(options);
    let settings = Settings::new(step, format!("{place}."), &known)?;
    if let Some(text) = settings.text("when")?
        && !script.when(text.to_owned())
    {
        return Err(settings.bad("when", "must be on the first step of its turn"));
    }
    match read(&settings, name)? {
        Step::Action(action) => script.act(action),
        Step::End(end) => script.end(end),
    }
    Ok(())
}

/// Which step it is: the one key that is the name of a step.
fn name_of(
    place: &str,
    step: &Map<String, Value>,
) -> Result<(&'static str, &'static [&'static str]), ConnectError> {
    let mut named = STEPS.iter().filter(|(name, _)| step.contains_key(*name));
    match (named.next(), named.next()) {
        (Some(step), None) => Ok(*step),
        (Some((a, _)), Some((b, _))) => Err(bad_setting(
            place,
            format!("has both `{a}` and `{b}`; each step has a place of its own"),
        )),
        (None, _) => {
            let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
            let is_option = |key: &str| {
                key == "when" || STEPS.iter().any(|(_, options)| options.contains(&key))
            };
            let key = step.keys().find(|key| !is_option(key)).or_else(|| step.keys().next());
            Err(match key {
                Some(key) => {
                    bad_setting(place, format!("`{key}` is no step; {}", suggest(key, &names)))
                }
                None => bad_setting(place, format!("is empty; {}", suggest("", &names))),
            })
        }
    }
}

fn read(settings: &Settings<'_>, name: &'static str) -> Result<Step, ConnectError> {
    let text = || required(settings.text(name)?, settings, name);
    let content = || text().map(Content::from);
    let millis = || required(settings.count(name)?, settings, name).map(Duration::from_millis);
    Ok(match name {
        "reply" => Step::End(End::Reply(content()?)),
        "echo" => Step::End(switch(settings, name, End::Echo)?),
        "reply_answer" => Step::End(switch(settings, name, End::ReplyAnswer)?),
        "done" => Step::End(switch(settings, name, End::Done)?),
        "hang" => Step::End(switch(settings, name, End::Hang)?),
        "panic" => Step::End(End::Panic(text()?.to_owned())),
        "fail" => Step::End(End::Fail(failure(settings, text()?)?)),
        "delay_ms" => Step::Action(Action::Delay(millis()?)),
        "block_ms" => Step::Action(Action::Block(millis()?)),
        "say" => Step::Action(Action::Say(text()?.to_owned())),
        "usage" => Step::Action(Action::Usage(usage(settings)?)),
        "send" => Step::Action(Action::Send { to: to(settings)?, content: content()? }),
        "ask" => Step::Action(Action::Ask {
            to: to(settings)?,
            content: content()?,
            timeout: settings.count("timeout_ms")?.map_or(ASK_TIMEOUT, Duration::from_millis),
        }),
        "broadcast" => Step::Action(Action::Broadcast(content()?)),
        "publish" => {
            let topic = required(settings.text("topic")?, settings, "topic")?.to_owned();
            Step::Action(Action::Publish { topic, content: content()? })
        }
        // The last of `STEPS`, from which the name comes.
        _ => Step::Action(tool(settings, text()?)?),
    })
}

fn required<T>(value: Option<T>, settings: &Settings<'_>, key: &str) -> Result<T, ConnectError> {
    value.ok_or_else(|| settings.bad(key, "is missing"))
}

fn to(settings: &Settings<'_>) -> Result<String, ConnectError> {
    required(settings.text("to")?, settings, "to").map(str::to_owned)
}

fn switch(settings: &Settings<'_>, name: &str, end: End) -> Result<End, ConnectError> {
    match settings.flag(name)? {
        Some(true) => Ok(end),
        _ => Err(settings.bad(name, "must be true")),
    }
}

fn failure(settings: &Settings<'_>, error: &str) -> Result<Failure, ConnectError> {
    let is_final = settings.flag("final")?.unwrap_or(false);
    let mut failure = if is_final { Failure::last(error) } else { Failure::transient(error) };
    failure.retry_after_ms = settings.count("retry_after_ms")?;
    Ok(failure)
}

fn usage(settings: &Settings<'_>) -> Result<Usage, ConnectError> {
    const FIELDS: &[&str] =
        &["input_tokens", "cached_input_tokens", "output_tokens", "cost_micro_usd"];
    let fields = required(settings.object("usage")?, settings, "usage")?;
    let fields = Settings::new(fields, format!("{}usage.", settings.prefix()), FIELDS)?;
    let field = |key: &str| Ok(fields.count(key)?.unwrap_or(0));
    Ok(Usage {
        input_tokens: field("input_tokens")?,
        cached_input_tokens: field("cached_input_tokens")?,
        output_tokens: field("output_tokens")?,
        cost_micro_usd: field("cost_micro_usd")?,
    })
}

fn tool(settings: &Settings<'_>, name: &str) -> Result<Action, ConnectError> {
    let access = match settings.text("access")? {
        None | Some("read") => Access::Read,
        Some("write") => Access::Write,
        Some("execute") => Access::Execute,
        Some(_) => return Err(settings.bad("access", "must be \"read\", \"write\" or \"execute\"")),
    };
    let allowed = match settings.text("expect")? {
        None | Some("allow") => true,
        Some("deny") => false,
        Some(_) => return Err(settings.bad("expect", "must be \"allow\" or \"deny\"")),
    };
    let mut call = ToolCall::new(name, access);
    call.paths = settings.texts("paths")?.unwrap_or_default();
    call.arguments = settings.get("arguments").cloned().unwrap_or_default();
    Ok(Action::Tool { call, allowed })
}
