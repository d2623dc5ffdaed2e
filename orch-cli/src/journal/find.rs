//! Which agent or message somebody means.

use std::fmt::Display;

use orch_journal::{Letter, Of, Record, Seq, SqliteReader, State};
use orch_runtime::{AgentId, ChainId, MessageId};

use super::{Names, clean, unread};
use crate::exit::Stop;

/// A part of an id has at least so many characters.
const PART_MIN: usize = 4;
/// Ids that an error names.
const NAMED_MAX: usize = 5;

/// The agent of this name, id, or part of an id.
pub(crate) fn pick_agent(names: &Names, text: &str) -> Result<AgentId, Stop> {
    let named = |it: &(AgentId, &str)| it.1 == text;
    let mut found: Vec<AgentId> = names.agents().filter(named).map(|(id, _)| id).collect();
    if found.is_empty() {
        let all = names.agents().map(|(id, _)| id).chain([AgentId::OUTSIDE]);
        found = with_part(all, text, "agent-");
    }
    only(found, "agent", text, |id| format!("{} ({id})", names.agent(*id)))
}

/// The message that the event of this number is about, or that has this id, or this part of it.
pub(super) fn pick_message(
    reader: &SqliteReader,
    names: &Names,
    text: &str,
) -> Result<MessageId, Stop> {
    if let Some(seq) = number(text) {
        let events = reader.events(seq, 1).map_err(unread)?;
        let event = events.first().filter(|it| it.seq == seq);
        let event = event.ok_or_else(|| Stop::wrong_input(format_args!("there is no {seq}")))?;
        let message = event.record.message();
        return message.ok_or_else(|| Stop::wrong_input(format_args!("{seq} is about no message")));
    }
    let found = with_part(names.messages(), text, "message-");
    only(found, "message", text, |id| format!("{} ({id})", names.message(*id)))
}

/// The chain of this id, or that of a message.
pub(super) fn pick_chain(
    reader: &SqliteReader,
    names: &Names,
    text: &str,
) -> Result<ChainId, Stop> {
    if text.starts_with("chain-") {
        return text.parse().map_err(Stop::wrong_input);
    }
    let message = pick_message(reader, names, text)?;
    let events = reader.latest(Of::Message(message), usize::MAX).map_err(unread)?;
    let chain = events.iter().find_map(|entry| match &entry.record {
        Record::Accepted { message, .. } => Some(message.chain()),
        Record::DeadLettered { letter } => Some(letter.message.chain()),
        _ => None,
    });
    chain.ok_or_else(|| {
        Stop::wrong_input(format_args!(
            "{message} was pruned, and with it to which chain it belongs"
        ))
    })
}

/// The dead letters of a state.
pub(crate) struct Letters<'a>(pub(crate) &'a State);

impl<'a> Letters<'a> {
    /// The letter that has an event of this number, or whose message has this id, or this part of it.
    pub(crate) fn pick(&self, text: &str) -> Result<&'a Letter, Stop> {
        let found: Vec<&Letter> = match number(text) {
            Some(seq) => {
                let has = |it: &&Letter| it.seq == seq || it.accepted == Some(seq);
                self.0.letters().filter(has).collect()
            }
            None => {
                let is = |it: &&Letter| has_part(&it.letter.message.id(), text, "message-");
                self.0.letters().filter(is).collect()
            }
        };
        let show = |it: &&Letter| format!("{} ({})", it.seq.0, it.letter.message.id());
        only(found, "dead letter", text, show)
    }
}

/// A number of an event has no leading zero; ids of this century do.
fn number(text: &str) -> Option<Seq> {
    let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Seq)
}

fn with_part<T: Display>(all: impl Iterator<Item = T>, text: &str, prefix: &str) -> Vec<T> {
    all.filter(|id| has_part(id, text, prefix)).collect()
}

fn has_part(id: &impl Display, text: &str, prefix: &str) -> bool {
    let part = text.strip_prefix(prefix).unwrap_or(text).to_ascii_lowercase();
    part.len() >= PART_MIN && id.to_string()[prefix.len()..].contains(&part)
}

/// The only one that was found. Several are not chosen from.
fn only<T>(
    mut found: Vec<T>,
    what: &str,
    text: &str,
    show: impl Fn(&T) -> String,
) -> Result<T, Stop> {
    let text = clean(text);
    if found.len() > 1 {
        let mut shown: Vec<String> = found.iter().map(show).collect();
        shown.sort();
        let n_more = shown.len().saturating_sub(NAMED_MAX);
        shown.truncate(NAMED_MAX);
        let more = if n_more > 0 { format!(" and {n_more} more") } else { String::new() };
        return Err(Stop::wrong_input(format_args!(
            "`{text}` may be any of these: {}{more}",
            shown.join(", ")
        )));
    }
    found.pop().ok_or_else(|| Stop::wrong_input(format_args!("there is no {what} `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_id_is_found_with_and_without_its_prefix() {
        let id: MessageId = "0199f1c2-3a4b-7000-8000-00000000abcd".parse().unwrap();
        for text in ["0199f1c2", "message-0199", "ABCD", "message-0199f1c2-3a4b", "4b-70"] {
            assert!(has_part(&id, text, "message-"), "{text}");
        }
        for text in ["bcd", "message-", "sage-0199", "0198f1c2", ""] {
            assert!(!has_part(&id, text, "message-"), "{text}");
        }
    }

    #[test]
    fn a_number_is_that_of_an_event_unless_it_begins_as_an_id_does() {
        assert_eq!(number("12"), Some(Seq(12)));
        assert_eq!(number("0199"), None);
        assert_eq!(number("12ab"), None);
        assert_eq!(number("99999999999999999999999"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn several_that_fit_are_named_and_none_is_chosen() {
        let error = only(vec![1, 2, 3, 4, 5, 6, 7], "thing", "x", i32::to_string).unwrap_err();
        assert_eq!(error.message, "`x` may be any of these: 1, 2, 3, 4, 5 and 2 more");
        assert!(only(Vec::<i32>::new(), "thing", "x", i32::to_string).is_err());
    }
}
