//! How an attempt begins and ends in the journal.

use std::time::Duration;

use orch_bus::{QuestionFailure, Reserved, SendError};
use orch_core::{
    AgentMessage, AttemptError, Content, DeadLetter, DeadLetterReason, MessageId, Timestamp, Usage,
};
use orch_journal::{Illegal, Record};

use super::{Durable, Unwritten, accepted};
use crate::host::AttemptHost;
use crate::router::{REFUSALS_MAX, refused, routed};
use crate::run::Run;
use crate::scheduler::HandOut;
use crate::turn::whatever_observers_do;
use crate::verdict::Verdict;

/// An attempt that ends.
pub(crate) struct End<'a> {
    pub(crate) run: &'a Run,
    pub(crate) host: &'a AttemptHost,
    pub(crate) out: &'a HandOut<'a>,
    pub(crate) verdict: &'a Verdict,
    pub(crate) output: Option<&'a Content>,
    pub(crate) usage: Usage,
    pub(crate) now: Timestamp,
    pub(crate) handling: Duration,
}

/// Whether an attempt begins.
#[derive(Debug)]
pub(crate) enum Begin {
    Recorded,
    /// It could not be recorded.
    NotRecorded,
    /// The message was handled, or given up: that was recorded, and whoever was to see to it is gone.
    EndedBefore,
    /// Attempts ended of which nobody here knows: the next one would be this.
    FailedBefore {
        next: u32,
    },
}

/// What is accepted in the set that ends an attempt.
#[derive(Default)]
pub(super) struct GoesOn {
    pub(super) reserved: Vec<Reserved>,
    /// Accepted without a place in its lane, for which it waits afterwards.
    pub(super) late: Vec<AgentMessage>,
    pub(super) letters: Vec<DeadLetter>,
}

impl Durable {
    /// Records that an attempt begins, before its handler sees the message: one that kills the process
    /// is counted.
    pub(crate) async fn begin(&self, run: &Run, host: &AttemptHost, out: &HandOut<'_>) -> Begin {
        let agent = host.agent().entry.id;
        let message = out.delivery.id();
        let (attempt, round) = (out.attempt, out.round);
        let started = Record::AttemptStarted { agent, message, attempt, round };
        let illegal = match self.write(vec![started], &run.cut).await {
            Ok(_) => return Begin::Recorded,
            Err(Unwritten::Illegal(illegal)) => illegal,
            Err(_) => return Begin::NotRecorded,
        };
        // A panic, or the end of a tokio runtime, came between the record and what follows from it.
        tracing::error!(target: "orch", %illegal, "the journal knows more of a message");
        match illegal {
            Illegal::UnknownDelivery(_) => Begin::EndedBefore,
            Illegal::WrongAttempt { expected, .. } if expected > attempt => {
                Begin::FailedBefore { next: expected }
            }
            illegal => {
                self.stop_run(&format!("attempt {attempt} at {message} cannot begin: {illegal}"));
                Begin::NotRecorded
            }
        }
    }

    /// Puts back what was begun and never ended.
    pub(crate) fn abandon(&self, agent: orch_core::AgentId, message: MessageId) {
        self.tell(vec![Record::PutBack { agent, message }]);
    }

    /// Records the end of an attempt, with all that follows from it in one set, and lets that go on.
    /// False if it could not be recorded: then the attempt has not ended, and the message goes back.
    pub(crate) async fn end(&self, end: &End<'_>) -> bool {
        let letter = end.letter();
        // Held from the router's answer to the commit: what one end made of the router is on disk
        // before another end can follow from it, and a router that is told the recorded ends again, in
        // their order, is where it was. The slot is kept meanwhile: whoever has the turn waits for the
        // disk alone, and must not wait for a slot.
        let turn = match &end.run.options.router {
            Some(_) if end.is_final() => Some(self.turn.lock().await),
            _ => None,
        };
        let mut goes_on = self.goes_on(end, letter.as_ref());
        let mut answer = end.answer(self);
        loop {
            let mut set: Vec<Record> = goes_on.records().collect();
            set.extend(answer.iter().cloned());
            set.push(end.record(letter.clone()));
            match self.write(set, &end.run.cut).await {
                Ok(_) => break,
                // A message that is known already is on its way; there is no second copy of it.
                Err(Unwritten::Illegal(Illegal::Duplicate(known))) if goes_on.has(known) => {
                    goes_on.reserved.retain(|it| it.message().id() != known);
                    goes_on.late.retain(|it| it.id() != known);
                }
                // Whoever asked has gone meanwhile; the question is closed all the same, if it is open.
                Err(Unwritten::Illegal(_)) if !answer.is_empty() => drop(answer.remove(0)),
                Err(error) => {
                    if let Unwritten::Illegal(illegal) = &error {
                        let message = end.out.delivery.id();
                        self.stop_run(&format!("the end of {message} cannot be: {illegal}"));
                    }
                    return false;
                }
            }
        }
        if end.is_final() {
            self.forget_question(end.out.delivery.id());
        }
        // It is recorded: whatever observers do, all of it goes on.
        for reserved in goes_on.reserved {
            whatever_observers_do(|| {
                reserved.enter();
            });
        }
        for letter in goes_on.letters {
            whatever_observers_do(|| end.run.inner.keep_letter(letter));
        }
        // Until here, so that lanes have the order of acceptance.
        drop(turn);
        for message in goes_on.late {
            end.enter_late(message).await;
        }
        true
    }

    /// What the router says to it, with a place for each message that finds one at once: nobody waits
    /// for room who holds the turn, or the ends that make room would wait for the turn. One that can
    /// get none is a letter, of which the router hears in turn.
    fn goes_on(&self, end: &End<'_>, letter: Option<&DeadLetter>) -> GoesOn {
        let mut goes_on = GoesOn::default();
        let Some(router) = &end.run.options.router else { return goes_on };
        let agent = end.host.agent().entry.id;
        let said = match (end.verdict, letter) {
            (Verdict::Ack, _) => routed(|| router.settled(agent, &end.out.delivery, end.output)),
            (_, Some(letter)) => routed(|| router.given_up(letter)),
            _ => Vec::new(),
        };
        let mut messages = std::collections::VecDeque::from(said);
        let mut n_refused = 0;
        while let Some(message) = messages.pop_front() {
            // Only the end of this attempt could make room in its agent's own mailbox.
            let may_wait = message.to() != agent;
            match end.reserve(message) {
                Ok(reserved) => goes_on.reserved.push(reserved),
                Err(error) if may_wait && error.is_transient() => {
                    goes_on.late.push(error.into_message());
                }
                Err(error) => {
                    let letter = refused(error, end.run.now());
                    n_refused += 1;
                    if n_refused <= REFUSALS_MAX {
                        messages.extend(routed(|| router.given_up(&letter)));
                    }
                    goes_on.letters.push(letter);
                }
            }
        }
        goes_on
    }
}

impl GoesOn {
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let accepted = self.messages().map(|message| accepted(message.clone(), None));
        let letters = self.letters.iter().cloned();
        accepted.chain(letters.map(|letter| Record::DeadLettered { letter }))
    }

    fn messages(&self) -> impl Iterator<Item = &AgentMessage> {
        self.reserved.iter().map(Reserved::message).chain(&self.late)
    }

    pub(super) fn has(&self, message: MessageId) -> bool {
        self.messages().any(|it| it.id() == message)
    }
}

impl End<'_> {
    /// Whether the message ends with the attempt, and the router hears of it.
    fn is_final(&self) -> bool {
        matches!(self.verdict, Verdict::Ack | Verdict::GiveUp { .. })
    }

    fn letter(&self) -> Option<DeadLetter> {
        let Verdict::GiveUp { reason, error, .. } = self.verdict else { return None };
        let mut attempts = self.out.delivery.attempts().to_vec();
        if let Some(error) = error {
            attempts.push(AttemptError::new(self.out.attempt, error.clone(), self.now));
        }
        let message = AgentMessage::clone(&self.out.delivery);
        Some(DeadLetter::new(message, reason.clone(), self.now).with_attempts(attempts))
    }

    fn record(&self, letter: Option<DeadLetter>) -> Record {
        let (agent, message) = (self.host.agent().entry.id, self.out.delivery.id());
        let attempt = self.out.attempt;
        match (self.verdict, letter) {
            (_, Some(letter)) => Record::DeadLettered { letter },
            (Verdict::Retry { at, error }, _) => Record::RetryScheduled {
                agent,
                message,
                attempt,
                error: error.clone(),
                retry_at: *at,
            },
            (Verdict::PutBack, _) => Record::PutBack { agent, message },
            _ => Record::Settled {
                agent,
                message,
                attempt,
                output: self.output.cloned(),
                usage: self.usage,
                handling_ms: u64::try_from(self.handling.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }

    /// What whoever asked gets, in the set of the ack: or a restart between the two would forget it.
    fn answer(&self, durable: &Durable) -> Vec<Record> {
        let question = self.out.delivery.id();
        let Some((agent, key)) = durable.asked(question) else { return Vec::new() };
        match (self.verdict, self.output) {
            (Verdict::Ack, Some(output)) => vec![
                Record::StepAnswered { agent, key, output: output.clone() },
                Record::Answered { agent, question, answer: output.clone() },
            ],
            (Verdict::Ack, None) => {
                let error = QuestionFailure::NoAnswer(self.host.agent().entry.id).to_string();
                vec![Record::QuestionFailed { agent, question, error }]
            }
            (Verdict::GiveUp { reason, .. }, _) => {
                vec![Record::QuestionFailed { agent, question, error: reason.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    /// A place for a message of the router, if there is one now.
    fn reserve(&self, message: AgentMessage) -> Result<Reserved, SendError> {
        let from = message.from();
        self.run.inner.bus.try_reserve(self.host.sign(message).sent_by(from))
    }

    /// Puts a message into its lane that was accepted without a place: waits for room, and goes
    /// without when that takes too long or the run is cut off, because it must not be lost.
    async fn enter_late(&self, message: AgentMessage) {
        let bus = &self.run.inner.bus;
        let reserved = tokio::select! {
            biased; // What has room enters.
            reserved = self.host.waiting(bus.reserve(message.clone())) => reserved,
            () = self.run.cut.cancelled() => return self.enter_without_place(message),
        };
        match reserved {
            Ok(reserved) => {
                reserved.enter();
            }
            Err(error) => self.enter_without_place(error.into_message()),
        }
    }

    fn enter_without_place(&self, message: AgentMessage) {
        let left = match self.run.inner.bus.mailbox(message.to()) {
            Some(mailbox) => mailbox.restore(message, Vec::new()).err().map(|it| *it),
            None => Some(message),
        };
        if let Some(message) = left {
            // Its agent is gone since.
            let letter = DeadLetter::new(message, DeadLetterReason::Retired, self.run.now());
            if let Some(durable) = &self.run.durable {
                durable.tell(vec![Record::DeadLettered { letter: letter.clone() }]);
            }
            self.run.inner.keep_letter(letter);
        }
    }
}
