//! How a program ended, and what that means for the message that it ran for.

use std::fmt;

use orch_core::{Failure, LimitReached, Outcome};
use serde::{Deserialize, Serialize};

use super::once::Captured;
use super::stderr::Tail;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// The exit codes of `sysexits.h` that say: the same again would fail again.
const FINAL: &[(i32, &str)] =
    &[(64, "EX_USAGE"), (65, "EX_DATAERR"), (77, "EX_NOPERM"), (78, "EX_CONFIG")];
const EX_TEMPFAIL: i32 = 75;

impl Exit {
    fn is_final(self) -> bool {
        matches!(self, Self::Code(code) if FINAL.iter().any(|(known, _)| *known == code))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::Code(code) => {
                write!(f, "exited with {code}")?;
                let named = FINAL.iter().copied().chain([(EX_TEMPFAIL, "EX_TEMPFAIL")]);
                match named.into_iter().find(|(known, _)| known == code) {
                    Some((_, name)) => write!(f, " ({name})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What becomes of a message whose program ended like this.
pub(super) fn outcome(exit: Option<Exit>, captured: Captured, stderr: &Tail) -> Outcome {
    match exit {
        None => Failure::transient("the program was lost together with its keeper").into(),
        Some(Exit::Code(0)) => answer(captured, stderr),
        Some(exit) => {
            let error = stderr.explain(format!("the program {exit}"));
            if exit.is_final() { Failure::last(error) } else { Failure::transient(error) }.into()
        }
    }
}

/// What becomes of a message whose program reached a limit. The same again would reach it again, unless
/// other messages had used a part of it before.
pub(super) fn stopped(reached: LimitReached, is_first: bool) -> Outcome {
    let error = format!("the program was stopped: {reached}");
    let failure = if is_first { Failure::last(error) } else { Failure::transient(error) };
    failure.with_limit(reached).into()
}

fn answer(captured: Captured, stderr: &Tail) -> Outcome {
    match captured {
        Captured::Text(text) if text.is_empty() => {
            let error = stderr.explain("the program exited with 0 without an answer");
            Failure::transient(error).into()
        }
        Captured::Text(text) => Outcome::output(text),
        Captured::NotUtf8 => Failure::last("the program's output is not UTF-8").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_core::FailureKind::{Final, Transient};

    #[test]
    fn every_end_with_every_output_has_its_outcome() {
        let outputs = || [Captured::NotUtf8, Captured::Text("a".into()), Captured::Text("".into())];
        for code in -1..256 {
            for captured in outputs() {
                let is_final = match (code, &captured) {
                    (0, Captured::Text(text)) if !text.is_empty() => {
                        let expected = Outcome::output("a");
                        assert_eq!(
                            outcome(Some(Exit::Code(0)), captured, &Tail::default()),
                            expected
                        );
                        continue;
                    }
                    (0, Captured::NotUtf8) | (64 | 65 | 77 | 78, _) => true,
                    _ => false,
                };
                let got = outcome(Some(Exit::Code(code)), captured, &Tail::default());
                let kind = if is_final { Final } else { Transient };
                assert!(matches!(&got, Outcome::Nack(it) if it.kind == kind), "{code}: {got:?}");
            }
        }
        for captured in outputs() {
            let got = outcome(Some(Exit::Signal(9)), captured, &Tail::default());
            let expected = Failure::transient("the program was killed by signal 9");
            assert_eq!(got, Outcome::Nack(expected));
        }
    }
}
