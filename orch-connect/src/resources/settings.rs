//! The setting `limits`, read and checked.

use orch_core::{Resource, ResourceLimits};
use serde_json::{Map, Value};

use super::ResourceControl;
use crate::ConnectError;
use crate::settings::Settings;

const KEYS: &[&str] = &["cpu", "memory", "processes", "enforce"];
const CPU_MS_MIN: u64 = 1_000;
const MEMORY_BYTES_MIN: u64 = 1 << 20;
const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// What the setting `limits` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitSettings {
    pub(crate) limits: ResourceLimits,
    /// Whether the user takes it that a limit is watched where it cannot be held.
    pub(crate) is_watch_enough: bool,
}

impl LimitSettings {
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, ConnectError> {
        match settings.object("limits")? {
            Some(table) => Self::read_table(table),
            None => Ok(Self::default()),
        }
    }

    fn read_table(table: &Map<String, Value>) -> Result<Self, ConnectError> {
        let limits = Settings::new(table, "limits.", KEYS)?;
        let is_watch_enough = match limits.text("enforce")? {
            None | Some("strict") => false,
            Some("watch") => true,
            Some(other) => {
                let problem = format!("is \"{other}\"; expected \"strict\" or \"watch\"");
                return Err(limits.bad("enforce", problem));
            }
        };
        let cpu_ms = measure(&limits, "cpu", TIMES, "\"30s\"")?;
        let memory_bytes = measure(&limits, "memory", SIZES, "\"512 MiB\"")?;
        let processes = limits.count("processes")?;
        at_least(&limits, "cpu", cpu_ms, CPU_MS_MIN, "one second (\"1s\")")?;
        at_least(&limits, "memory", memory_bytes, MEMORY_BYTES_MIN, "one \"1 MiB\"")?;
        at_least(&limits, "processes", processes, 1, "1, which is the program itself")?;
        let limits = ResourceLimits { cpu_ms, memory_bytes, processes };
        Ok(Self { limits, is_watch_enough })
    }

    /// Refuses limits that could be passed, unless the user said that watching is enough.
    pub(crate) fn refuse(&self, control: &ResourceControl) -> Result<(), ConnectError> {
        for resource in Resource::ALL {
            if self.limits.get(resource).is_none() {
                continue;
            }
            let control = control.get(resource);
            let reason = match control.held.reason() {
                None => continue,
                Some(_) if self.is_watch_enough && control.is_measured() => continue,
                Some(reason) => reason,
            };
            let way_out = match control.is_measured() {
                true => {
                    "say `enforce = \"watch\"` in `limits` to have it watched instead, which \
                         may come late; or remove it"
                }
                false => "remove it",
            };
            return Err(ConnectError::LimitNotEnforceable {
                limit: format!("limits.{}", resource.key()),
                reason: format!("{reason}; {way_out}"),
            });
        }
        Ok(())
    }
}

/// A whole number and one of `units`.
fn measure(
    limits: &Settings<'_>,
    key: &str,
    units: &[(&str, u64)],
    example: &str,
) -> Result<Option<u64>, ConnectError> {
    let Some(text) = limits.text(key)? else { return Ok(None) };
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let bad = || {
        let names = names.join(", ");
        let problem =
            format!("is \"{text}\"; expected a whole number and one of {names}, such as {example}");
        limits.bad(key, problem)
    };
    let digits_end = text.find(|it: char| !it.is_ascii_digit()).ok_or_else(bad)?;
    let (digits, unit) = text.split_at(digits_end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?;
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(*factor).map(Some).ok_or_else(bad)
}

fn at_least(
    limits: &Settings<'_>,
    key: &str,
    limit: Option<u64>,
    least: u64,
    shown: &str,
) -> Result<(), ConnectError> {
    match limit {
        Some(limit) if limit < least => {
            Err(limits.bad(key, format!("must be at least {shown}; leave it out for no limit")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::{Control, Held};

    fn read(limits: &Value) -> Result<LimitSettings, ConnectError> {
        let map = json!({ "limits": limits });
        let map = map.as_object().unwrap();
        LimitSettings::read(&Settings::new(map, "", &["limits"]).unwrap())
    }

    #[test]
    fn limits_are_read_with_their_units() {
        let read = read(&json!({ "cpu": "30s", "memory": "512 MiB", "processes": 32 })).unwrap();
        let limits = ResourceLimits {
            cpu_ms: Some(30_000),
            memory_bytes: Some(512 << 20),
            processes: Some(32),
        };
        assert_eq!(read, LimitSettings { limits, is_watch_enough: false });
    }

    #[test]
    fn a_wrong_limit_is_named_with_the_way_out() {
        let refuses = |limits: Value, expected: &str| {
            let error = read(&limits).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        refuses(json!(5), "setting `limits`: is a number; expected a table");
        refuses(json!({ "cpus": "1s" }), "setting `limits.cpus`: is unknown; did you mean `cpu`?");
        refuses(json!({ "cpu": 30 }), "setting `limits.cpu`: is a number; expected a text");
        refuses(
            json!({ "cpu": "30" }),
            "setting `limits.cpu`: is \"30\"; expected a whole number and one of ms, s, m, h, such",
        );
        refuses(json!({ "cpu": "999ms" }), "setting `limits.cpu`: must be at least one second");
        refuses(json!({ "memory": "1 MB" }), "setting `limits.memory`: is \"1 MB\"; expected");
        refuses(json!({ "memory": "99999999999 GiB" }), "setting `limits.memory`: is");
        refuses(json!({ "memory": "1 KiB" }), "setting `limits.memory`: must be at least");
        refuses(json!({ "processes": 0 }), "setting `limits.processes`: must be at least 1");
        refuses(json!({ "processes": "9" }), "setting `limits.processes`: is a text; expected");
        refuses(json!({ "enforce": "no" }), "setting `limits.enforce`: is \"no\"; expected");
    }

    #[test]
    fn what_cannot_be_held_is_refused_and_what_is_measured_can_be_watched() {
        let not = || Held::Not { reason: "there is no group".to_owned() };
        let control = |meter| ResourceControl {
            cpu: Control { meter, held: Held::Early },
            memory: Control { meter, held: not() },
            processes: Control { meter, held: not() },
        };
        let refusal = |limits: Value, control: &ResourceControl| {
            read(&limits).unwrap().refuse(control).map_err(|error| error.to_string())
        };
        let measured = control(orch_core::Meter::Proc);
        assert_eq!(refusal(json!({ "cpu": "1s" }), &measured), Ok(()));
        assert_eq!(
            refusal(json!({ "memory": "1 MiB" }), &measured),
            Err("the limit `limits.memory` cannot be held: there is no group; say `enforce = \
                 \"watch\"` in `limits` to have it watched instead, which may come late; or remove \
                 it"
            .to_owned())
        );
        let watch = json!({ "memory": "1 MiB", "enforce": "watch" });
        assert_eq!(refusal(watch.clone(), &measured), Ok(()));
        let refused = refusal(watch, &control(orch_core::Meter::Nothing)).unwrap_err();
        assert!(refused.ends_with("there is no group; remove it"), "{refused}");
    }
}
