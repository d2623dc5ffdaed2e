//! The place of a message in its flow.

use std::fmt;
use std::str::FromStr;

/// The place of a message in its flow: opaque, and the same for every delivery of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey(pub(super) Part);

/// All numbers count from 0 but rounds, which count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// An input at a stage of a pipe.
    Stage { input: usize, stage: usize },
    /// The list of a map is to be made.
    List,
    /// An item of a map.
    Item(usize),
    /// All outputs of a map are to be made into one.
    Reduce,
    /// The work of a round of a loop.
    Do(u32),
    /// The check of a round of a loop.
    Check(u32),
    /// An urgent message between the others.
    Urgent(usize),
}

impl FlowKey {
    /// The name under which a message's metadata carries its key.
    pub const METADATA: &str = "orch.flow";
}

/// Shows the form that metadata carries, such as `item.3`.
impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Part::Stage { input, stage } => write!(f, "stage.{input}.{stage}"),
            Part::List => f.write_str("list"),
            Part::Item(number) => write!(f, "item.{number}"),
            Part::Reduce => f.write_str("reduce"),
            Part::Do(round) => write!(f, "do.{round}"),
            Part::Check(round) => write!(f, "check.{round}"),
            Part::Urgent(number) => write!(f, "urgent.{number}"),
        }
    }
}

/// A text that is no key of a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a flow")]
pub struct ParseFlowKeyError(String);

impl FromStr for FlowKey {
    type Err = ParseFlowKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).ok_or_else(|| ParseFlowKeyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Part> {
    let words: Vec<&str> = text.split('.').collect();
    Some(match words[..] {
        ["list"] => Part::List,
        ["reduce"] => Part::Reduce,
        ["item", number] => Part::Item(number.parse().ok()?),
        ["urgent", number] => Part::Urgent(number.parse().ok()?),
        ["do", round] => Part::Do(round.parse().ok()?),
        ["check", round] => Part::Check(round.parse().ok()?),
        ["stage", input, stage] => {
            Part::Stage { input: input.parse().ok()?, stage: stage.parse().ok()? }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_metadata() {
        for part in [
            Part::Stage { input: 3, stage: 1 },
            Part::List,
            Part::Item(12),
            Part::Reduce,
            Part::Do(1),
            Part::Check(2),
            Part::Urgent(0),
        ] {
            assert_eq!(FlowKey(part).to_string().parse(), Ok(FlowKey(part)));
        }
        for text in ["", "item", "item.x", "item.1.2", "stage.1", "other"] {
            assert!(text.parse::<FlowKey>().is_err(), "{text}");
        }
    }
}
