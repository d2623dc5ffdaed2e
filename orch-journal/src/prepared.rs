//! Records made ready for a store, on the caller's thread: without secrets, and as text.

use std::collections::HashSet;

use orch_core::{Content, Timestamp};
use serde_json::Value;

use crate::hash::{BodySum, ContentHash};
use crate::record::Record;
use crate::redact::Redactor;
use crate::state::of_no_run;

/// Content of at least so many bytes is stored apart from its event, and once.
pub(crate) const APART_BYTES_MIN: usize = 1_024;

/// One set has at most so many bytes.
pub const SET_BYTES_MAX: usize = 256 << 20;

/// A set of records that is written whole or not at all.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) at: Timestamp,
    pub(crate) items: Vec<Item>,
}

/// A record as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// As it is read back.
    pub(crate) record: Record,
    /// Its JSON, with an empty text in the place of its content if that is stored apart.
    pub(crate) body: String,
    pub(crate) sum: BodySum,
    pub(crate) apart: Option<Apart>,
}

/// Content that is stored apart from its event.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(crate) text: Content,
    /// `None` for a conversation, whose store hashes only what is new.
    pub(crate) hash: Option<ContentHash>,
}

/// Why records cannot be written at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// There is none.
    #[error("a set of records needs at least one")]
    Empty,
    /// They are too long together.
    #[error("{bytes} bytes in one set, where {SET_BYTES_MAX} are the limit")]
    TooLarge {
        /// How long they are.
        bytes: usize,
    },
    /// Something in them has no JSON.
    #[error("a record has no JSON: {0}")]
    NoJson(#[from] serde_json::Error),
}

impl Prepared {
    /// Makes a set ready that happened at `at`.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if there is nothing in it, or too much.
    pub fn new(
        at: Timestamp,
        records: impl IntoIterator<Item = Record>,
        redactor: &Redactor,
    ) -> Result<Self, PrepareError> {
        let items = records.into_iter().map(|record| Item::new(record, redactor));
        let set = Self { at, items: items.collect::<Result<_, _>>()? };
        match set.bytes() {
            0 => Err(PrepareError::Empty),
            bytes if bytes > SET_BYTES_MAX => match set.distinct_bytes() {
                bytes if bytes > SET_BYTES_MAX => Err(PrepareError::TooLarge { bytes }),
                _ => Ok(set),
            },
            _ => Ok(set),
        }
    }

    /// As [`bytes`](Self::bytes), but each content once: copies of one message share it, and it is
    /// written once.
    #[cold]
    fn distinct_bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let apart = |item: &Item| {
            let apart = item.apart.as_ref()?;
            apart.hash.is_none_or(|hash| seen.insert(hash)).then_some(apart.text.len())
        };
        let contents: usize = self.items.iter().filter_map(apart).sum();
        contents + self.items.iter().map(|item| item.body.len()).sum::<usize>()
    }

    /// The records as they are written.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.items.iter().map(|item| &item.record)
    }

    /// When they happened.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn bytes(&self) -> usize {
        let apart = |item: &Item| item.apart.as_ref().map_or(0, |it| it.text.len());
        self.items.iter().map(|item| item.body.len() + apart(item)).sum()
    }
}

impl Item {
    fn sealed(record: Record, body: String, apart: Option<Apart>) -> Self {
        Self { sum: BodySum::of(&body), record, body, apart }
    }

    fn new(mut record: Record, redactor: &Redactor) -> Result<Self, PrepareError> {
        redactor.mask_keys(&mut record);
        if let Record::DeadLettered { letter } = &mut record {
            letter.message = of_no_run(letter.message.clone());
        }
        let is_conversation = matches!(record, Record::Conversed { .. });
        let length = record.content().map_or(0, |content| content.len());
        if length >= APART_BYTES_MIN || is_conversation {
            return Self::with_content_apart(record, redactor, is_conversation);
        }
        let body = serde_json::to_string(&record)?;
        if redactor.is_in_json(&body) {
            let value = redactor.value(&serde_json::to_value(&record)?);
            let body = value.to_string();
            return Ok(Self::sealed(serde_json::from_value(value)?, body, None));
        }
        Ok(Self::sealed(record, body, None))
    }

    fn with_content_apart(
        record: Record,
        redactor: &Redactor,
        is_conversation: bool,
    ) -> Result<Self, PrepareError> {
        let mut value = serde_json::to_value(&record)?;
        let place = Record::content_place(record.kind());
        let text = value.pointer_mut(place).map(Value::take);
        let mut body = write_without(place, &mut value);
        let mut content = record.content().cloned().unwrap_or_default();
        let mut record = record;
        let is_secret = text
            .as_ref()
            .and_then(Value::as_str)
            .is_some_and(|text| matches!(redactor.text(text), std::borrow::Cow::Owned(_)));
        if is_secret || redactor.is_in_json(&body) {
            content = redactor.text(&content).into_owned().into();
            value = redactor.value(&value);
            body = value.to_string();
            record = with_content(value, place, &content)?;
        }
        let hash = (!is_conversation).then(|| ContentHash::of(content.as_bytes()));
        Ok(Self::sealed(record, body, Some(Apart { text: content, hash })))
    }
}

fn write_without(place: &str, value: &mut Value) -> String {
    if let Some(text) = value.pointer_mut(place) {
        *text = Value::String(String::new());
    }
    value.to_string()
}

/// The record whose JSON is `value`, with its content put back in its place.
pub(crate) fn with_content(
    mut value: Value,
    place: &str,
    content: &str,
) -> Result<Record, serde_json::Error> {
    if let Some(text) = value.pointer_mut(place) {
        *text = Value::String(content.to_owned());
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use orch_core::{AgentId, AgentMessage};

    use super::*;

    #[test]
    fn copies_of_one_message_count_their_content_once() {
        let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "x".repeat(5_000));
        let accepted =
            |message| Record::Accepted { message, origin_run: 0, origin_round: 0, step: None };
        let copies = (0..3).map(|_| accepted(message.copy_to(AgentId::new())));
        let set = Prepared::new(Timestamp::default(), copies, &Redactor::new()).expect("it fits");
        assert_eq!(set.bytes() - set.distinct_bytes(), 10_000);
    }
}
