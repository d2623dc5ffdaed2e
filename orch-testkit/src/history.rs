//! What happened in one simulation: the runtime's events and, beside them, what handlers and the
//! outside noted themselves, in one order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orch_core::{
    AgentConfig, AgentId, AgentMessage, Event, EventKind, LoopGuard, MessageId, Observer,
    StopReason, Timestamp,
};
use orch_runtime::FailurePolicy;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Everything that happened, oldest first, and the terms under which it did.
#[derive(Clone, Debug)]
pub struct History {
    /// What the orchestrator was told.
    pub terms: Terms,
    /// What happened.
    pub records: Vec<Record>,
}

/// What an orchestrator was told; the checks hold it to that.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The guards of every run.
    pub guard: LoopGuard,
    /// Handlers that run at once.
    pub max_concurrency: usize,
    /// What a failed agent means.
    pub failure_policy: FailurePolicy,
    /// The pause after a first failure, in milliseconds.
    pub backoff_base_ms: u64,
    /// The longest pause before jitter, in milliseconds.
    pub backoff_cap_ms: u64,
    /// How long a stop waits for handlers, in milliseconds.
    pub grace_ms: u64,
    /// How long opening or closing a session takes at most, in milliseconds.
    pub session_ms_max: u64,
    /// Whether answers that nobody asked for are passed on.
    pub has_router: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Milliseconds of virtual time since the simulation began.
    pub at: u64,
    /// What it was.
    pub what: What,
}

/// What can happen. A `handler` and a `send` are numbers of their own, never used twice.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The runtime told an observer.
    Told(EventKind),
    /// An agent was made, as this says.
    Made(AgentId, Box<AgentConfig>),
    /// A handler began.
    Began {
        /// Its number.
        handler: u64,
        /// Whose handler it is.
        agent: AgentId,
        /// What it handles.
        message: MessageId,
        /// Which attempt it was told that this is.
        attempt: u32,
    },
    /// A handler ended.
    Ended {
        /// Its number.
        handler: u64,
        /// How it ended.
        end: HandlerEnd,
    },
    /// A handler has to wait in a call to its context.
    WaitBegan {
        /// Its number.
        handler: u64,
    },
    /// That wait has returned.
    WaitEnded {
        /// Its number.
        handler: u64,
    },
    /// That wait was dropped: by the handler, or because the handler itself is.
    WaitDropped {
        /// Its number.
        handler: u64,
    },
    /// Somebody calls send, broadcast, publish, ask or resend.
    Sending {
        /// The call's number, with which the content of its messages begins.
        send: u64,
    },
    /// A send of one message returned.
    Sent {
        /// The call's number.
        send: u64,
        /// The message.
        message: MessageId,
        /// Whether the sender was told that it was accepted.
        accepted: bool,
        /// Whether an agent sent it to itself.
        to_itself: bool,
    },
    /// Somebody who asked has an answer, or was told that there is none.
    Answered {
        /// The question.
        question: MessageId,
        /// What was answered.
        answer: Result<String, String>,
    },
    /// `start` was called.
    StartCalled,
    /// `start` returned.
    StartReturned(Result<StopReason, String>),
    /// `start`'s future was dropped.
    StartDropped,
    /// `stop` or `stop_now` was called while a run was under way.
    StopCalled {
        /// Whether handlers get the grace.
        with_grace: bool,
    },
    /// A dead letter was sent again.
    Resent(MessageId),
    /// A dead letter was dropped on purpose.
    LetterDropped(MessageId),
    /// A mailbox was emptied after the last run: what was left in it.
    Left(AgentId, Vec<MessageId>),
    /// The dead letters after the last run.
    Letters(Vec<MessageId>),
    /// A run had not ended long after it had to; the last record.
    Stuck,
}

/// How a handler ended, by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerEnd {
    /// It reported that the message is handled, and answered this.
    Acked(Option<String>),
    /// It reported a failure that may be tried again, not before so many milliseconds.
    Failed {
        /// What its provider asked for.
        retry_after_ms: Option<u64>,
    },
    /// It reported a failure for good.
    FailedForGood,
    /// It panicked.
    Panicked,
    /// It was dropped while it waited: a timeout or a cut.
    Dropped,
}

/// The number of the call that sent a message with this content.
pub(crate) fn send_of(content: &str) -> Option<u64> {
    content.split_once(':')?.0.parse().ok()
}

impl History {
    /// A number that is equal for equal histories.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for record in &self.records {
            hasher.update(format!("{record:?}\n"));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One line a record, to be read by people.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:#?}", self.terms)?;
        for (i, record) in self.records.iter().enumerate() {
            writeln!(f, "{i:>5} {record}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  ", self.at)?;
        match &self.what {
            What::Told(kind) => write!(f, "{kind:?}"),
            what => write!(f, "    ~ {what:?}"),
        }
    }
}

/// Where everybody notes what happens. A clone notes in the same place.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    began: Instant,
    records: Vec<Record>,
    next_number: u64,
    is_sealed: bool,
}

impl Log {
    /// A log that begins now, in the virtual time of this thread's runtime.
    pub(crate) fn begin() -> Self {
        let began = Instant::now();
        let notes = Notes { began, records: Vec::new(), next_number: 0, is_sealed: false };
        Self(Arc::new(Mutex::new(notes)))
    }

    pub(crate) fn note(&self, what: What) {
        let mut notes = self.lock();
        if !notes.is_sealed {
            let at = u64::try_from(notes.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            notes.records.push(Record { at, what });
        }
    }

    /// A number that was not given before.
    pub(crate) fn number(&self) -> u64 {
        let mut notes = self.lock();
        notes.next_number += 1;
        notes.next_number
    }

    /// Takes no more notes: what comes now is the end of the tokio runtime, not of the simulation.
    pub(crate) fn seal(&self) {
        self.lock().is_sealed = true;
    }

    /// The first message that this agent's mailbox accepted.
    pub(crate) fn accepted_by(&self, agent: AgentId) -> Option<AgentMessage> {
        self.lock().records.iter().find_map(|record| match &record.what {
            What::Told(EventKind::Accepted { message }) if message.to() == agent => {
                Some(message.clone())
            }
            _ => None,
        })
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Log {
    fn on_event(&self, event: &Event) {
        self.note(What::Told(event.kind.clone()));
    }
}

/// The virtual time of a simulation as the wall clock of its ids and timestamps.
pub(crate) struct VirtualClock {
    pub(crate) began: Instant,
    pub(crate) seed: u64,
}

/// When a simulation begins, by its wall clock: any time after 1970.
pub(crate) const EPOCH_MS: u64 = 1_000_000_000_000;

impl orch_core::mint::Source for VirtualClock {
    fn now_ms(&mut self) -> u64 {
        EPOCH_MS + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }

    fn random(&mut self) -> u64 {
        self.seed
    }
}

/// The milliseconds of a simulation at which this timestamp lies.
pub(crate) fn since_epoch(at: Timestamp) -> u64 {
    at.as_millis().saturating_sub(EPOCH_MS)
}
