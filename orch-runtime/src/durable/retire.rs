//! How an agent is retired: what waited for it, what goes on in its stead, and its end are recorded
//! before anybody sees them.

use std::collections::VecDeque;
use std::sync::Arc;

use orch_core::{AgentId, DeadLetter, DeadLetterReason, Timestamp};
use orch_journal::{Illegal, Record};
use tokio_util::sync::CancellationToken;

use super::ends::GoesOn;
use super::{Durable, Unwritten};
use crate::error::RetireError;
use crate::family;
use crate::orchestrator::Inner;
use crate::router::{REFUSALS_MAX, refused, routed};

/// So much of what waited goes in one set. A crash between two leaves the agent with the rest.
const LETTERS_MAX: usize = 256;
const BYTES_MAX: usize = 32 << 20;

impl Durable {
    /// Retires an agent and its descendants, in one set with the step that does so; see
    /// [`family::retire`].
    pub(crate) async fn retire(
        self: &Arc<Self>,
        inner: &Arc<Inner>,
        agent: AgentId,
        step: Option<Record>,
    ) -> Result<(), RetireError> {
        let family = family::unregister_family(inner, agent)?;
        let (durable, inner) = (self.clone(), inner.clone());
        // A task: dropped half-way, messages would be in no mailbox and no letter.
        let retiring = self.rests.spawn(async move {
            let mut is_recorded = true;
            for member in family {
                // All of them, whatever becomes of one: nobody else would look into their mailboxes.
                let step = step.clone().filter(|_| member == agent);
                is_recorded &= durable.clear_out(&inner, member, step).await.is_ok();
            }
            is_recorded
        });
        match retiring.await {
            Ok(true) => Ok(()),
            _ => Err(RetireError::NotRecorded(agent)),
        }
    }

    async fn clear_out(
        &self,
        inner: &Arc<Inner>,
        member: AgentId,
        step: Option<Record>,
    ) -> Result<(), Unwritten> {
        let cut = inner.running().map_or_else(already_cut, |run| run.cut.clone());
        let mut letters = VecDeque::from(family::left_of(inner, member));
        while !letters.is_empty() {
            let goes_on = goes_on(inner, some_of(&mut letters));
            if let Err(error) = self.write_letters(inner, goes_on, &cut).await {
                letters.into_iter().for_each(|letter| self.keep_told(inner, letter));
                self.tell(retired(member, step));
                return Err(error);
            }
        }
        match self.write(retired(member, step.clone()), &cut).await {
            // Registered, and never recorded.
            Ok(_) | Err(Unwritten::Illegal(Illegal::UnknownAgent(_))) => Ok(()),
            Err(error) => {
                self.tell(retired(member, step));
                Err(error)
            }
        }
    }

    /// Keeps a letter that is recorded as soon as there is room: nobody else sees to its message.
    fn keep_told(&self, inner: &Inner, letter: DeadLetter) {
        self.tell_letter(&letter);
        inner.keep_letter(letter);
    }

    /// Records letters with what goes on as their consequence, and lets that go on.
    async fn write_letters(
        &self,
        inner: &Inner,
        mut goes_on: GoesOn,
        cut: &CancellationToken,
    ) -> Result<(), Unwritten> {
        let written = loop {
            match self.write(goes_on.records().collect(), cut).await {
                // A message that is known already is on its way; there is no second copy of it.
                Err(Unwritten::Illegal(Illegal::Duplicate(known))) if goes_on.has(known) => {
                    goes_on.reserved.retain(|it| it.message().id() != known);
                }
                written => break written,
            }
        };
        if let Err(error) = written {
            goes_on.letters.into_iter().for_each(|letter| self.keep_told(inner, letter));
            for message in goes_on.reserved {
                // What was to go on was not accepted.
                let reason = DeadLetterReason::Refused { error: error.to_string() };
                let message = message.message().clone();
                self.keep_told(inner, DeadLetter::new(message, reason, Timestamp::now()));
            }
            return Err(error);
        }
        for message in goes_on.reserved {
            message.enter();
        }
        for letter in goes_on.letters {
            self.fail_question_of(&letter);
            inner.keep_letter(letter);
        }
        Ok(())
    }
}

fn retired(agent: AgentId, step: Option<Record>) -> Vec<Record> {
    [Record::AgentRetired { agent }].into_iter().chain(step).collect()
}

/// Nothing runs that could be cut off: room is not waited for.
fn already_cut() -> CancellationToken {
    let cut = CancellationToken::new();
    cut.cancel();
    cut
}

fn some_of(letters: &mut VecDeque<DeadLetter>) -> Vec<DeadLetter> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while some.len() < LETTERS_MAX
        && bytes < BYTES_MAX
        && let Some(letter) = letters.pop_front()
    {
        bytes += letter.message.content().len();
        some.push(letter);
    }
    some
}

/// What the router says to letters, with a place for each message. Without waiting for room: nobody is
/// there who could. One that gets none is a letter, of which the router hears in turn.
fn goes_on(inner: &Inner, letters: Vec<DeadLetter>) -> GoesOn {
    let mut goes_on = GoesOn { letters, ..GoesOn::default() };
    let Some(router) = inner.options().router.clone() else { return goes_on };
    let (mut at, mut n_refused) = (0, 0);
    while let Some(letter) = goes_on.letters.get(at).cloned() {
        at += 1;
        for message in routed(|| router.given_up(&letter)) {
            match inner.bus.try_reserve(message) {
                Ok(reserved) => goes_on.reserved.push(reserved),
                Err(error) => {
                    n_refused += 1;
                    goes_on.letters.push(refused(error, Timestamp::now()));
                }
            }
        }
        if n_refused > REFUSALS_MAX {
            break;
        }
    }
    goes_on
}
