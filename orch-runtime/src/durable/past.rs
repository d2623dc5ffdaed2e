//! What a journal says of messages, for whoever has to know what was done before: a router that goes on
//! where an earlier process ended.

use orch_core::{AgentMessage, Content, DeadLetter, MessageId};
use orch_journal::{CommitError, Entry, Record, Seq, StoreError};

use super::Durable;

/// Something that happened to a message, now or in an earlier process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Past {
    /// It was accepted.
    Accepted(AgentMessage),
    /// It was handled, with this output.
    Settled {
        /// Which message.
        message: MessageId,
        /// What answers it.
        output: Option<Content>,
    },
    /// It was given up, accepted or not.
    GivenUp(DeadLetter),
    /// Its dead letter was sent again.
    SentAgain(MessageId),
}

/// Why the past cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastError {
    /// There is no journal.
    #[error("there is no journal that could tell what was done before")]
    NoJournal,
    /// Some of it was pruned.
    #[error("what was done before {0} was pruned")]
    Pruned(Seq),
    /// The journal does not answer.
    #[error("failed to ask the journal: {0}")]
    Closed(#[from] CommitError),
    /// The journal cannot be read.
    #[error("failed to read the journal: {0}")]
    Store(#[from] StoreError),
}

/// Events that are read at once; commits wait meanwhile.
const PAGE: usize = 1_000;

impl Past {
    fn of(record: Record) -> Option<Self> {
        Some(match record {
            Record::Accepted { message, .. } => Self::Accepted(message),
            Record::Settled { message, output, .. } => Self::Settled { message, output },
            Record::DeadLettered { letter } => Self::GivenUp(letter),
            Record::SentAgain { message, .. } => Self::SentAgain(message),
            _ => return None,
        })
    }
}

impl Durable {
    /// What the journal says of messages, from its first event on.
    pub(crate) async fn past(&self) -> Result<Vec<Past>, PastError> {
        let (mut past, mut next) = (Vec::new(), Seq(1));
        loop {
            let from = next;
            let page = self.journal.ask(move |store| store.events(from, PAGE)).await??;
            let is_last = page.len() < PAGE;
            for Entry { seq, record, .. } in page {
                if seq != next {
                    return Err(PastError::Pruned(seq));
                }
                next = next.next();
                past.extend(Past::of(record));
            }
            if is_last {
                return Ok(past);
            }
        }
    }
}
