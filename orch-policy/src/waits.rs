//! Who waits for whom: finds the wait that closes a ring, at the moment when it begins.
//!
//! A party that waits can go on once what it waits for can: all of it, or any of it. Parties that do
//! not wait can go on, and so can time and people, who stand for themselves and never wait. What can
//! never go on is a ring, and the wait that would close it is refused with the ring.
//!
//! Kept as waits come and go; each is looked at once, and only what can be reached from it. While
//! every ring is refused there is none, so whatever is found contains the new wait, and nobody who
//! could go on is ever refused.
//!
//! # Examples
//!
//! ```
//! use orch_core::AgentId;
//! use orch_policy::waits::{Party, WaitGraph};
//!
//! let [a, b] = [AgentId::new(), AgentId::new()].map(Party::Agent);
//! let mut graph = WaitGraph::new();
//! let asks = graph.begin(a, [b])?;
//! let ring = graph.begin(b, [a]).unwrap_err();
//! assert_eq!(ring.parties(), [b, a]);
//! assert_eq!(graph.end(asks), None);
//! assert!(graph.begin(b, [a]).is_ok());
//! # Ok::<(), orch_policy::waits::Ring>(())
//! ```

mod find;
mod ring;

use std::collections::HashMap;

use orch_core::{AgentId, ApprovalId, IdState};

use crate::budget::AccountName;

pub use ring::Ring;

/// Who waits, or is waited for.
///
/// What is shared waits as well: slots that are all taken wait for any of their holders, a budget that
/// is reserved for any of the reservations to settle, an agent that handles several messages at once,
/// and has no place left, for any of its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Party {
    /// An agent. One that handles one message at a time waits when its handler does.
    Agent(AgentId),
    /// One of the turns of an agent that handles several messages at once.
    Turn {
        /// Which agent.
        agent: AgentId,
        /// Which of its turns; the caller's number.
        number: u64,
    },
    /// A person who is asked for an approval. Never waits.
    Approval(ApprovalId),
    /// The rate of an agent's policy, which time refills. Never waits.
    Rate(AgentId),
    /// The money, or whatever else, in an account.
    Budget(AccountName),
    /// The slots in which handlers run.
    Slots,
}

/// What is enough for a wait to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    All,
    Any,
}

/// One wait that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "a wait that is never ended makes rings of others"]
pub struct WaitId {
    who: Party,
    number: u64,
}

/// Who waits for whom. Takes one lock's worth of work a wait: whoever shares it puts it behind one.
#[derive(Clone, Debug, Default)]
pub struct WaitGraph {
    waits: HashMap<Party, Vec<Wait>, IdState>,
    begun: u64,
}

#[derive(Clone, Debug)]
struct Wait {
    number: u64,
    needs: Needs,
    on: Vec<Party>,
}

impl WaitGraph {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `who` begins to wait for all of `on`. One that waits for nothing can go on.
    ///
    /// A party that waits already has several waits at once from then on, and goes on when the first
    /// of them ends: a handler may have asked several and take whatever comes. So a handler that needs
    /// all its answers is found late, when but one wait is left: see [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// [`Ring`] if `who` could never go on; the wait has not begun then.
    pub fn begin(
        &mut self,
        who: Party,
        on: impl IntoIterator<Item = Party>,
    ) -> Result<WaitId, Ring> {
        self.begin_needing(Needs::All, who, on)
    }

    /// `who` begins to wait for any of `on`. One that waits for any of nothing can never go on, but is
    /// no ring, and not refused.
    ///
    /// # Errors
    ///
    /// As of [`begin`](Self::begin).
    pub fn begin_any(
        &mut self,
        who: Party,
        on: impl IntoIterator<Item = Party>,
    ) -> Result<WaitId, Ring> {
        self.begin_needing(Needs::Any, who, on)
    }

    fn begin_needing(
        &mut self,
        needs: Needs,
        who: Party,
        on: impl IntoIterator<Item = Party>,
    ) -> Result<WaitId, Ring> {
        let number = self.begun;
        self.begun += 1;
        let wait = Wait { number, needs, on: on.into_iter().collect() };
        self.waits.entry(who).or_default().push(wait);
        let id = WaitId { who, number };
        match self.ring_of(who) {
            None => Ok(id),
            Some(ring) => {
                self.remove(id);
                Err(ring)
            }
        }
    }

    /// A wait is over: it was answered, given up, or failed. Told twice, it counts once.
    ///
    /// Answers a ring if the waits that `who` has left can never end; one of them is to be failed.
    pub fn end(&mut self, wait: WaitId) -> Option<Ring> {
        self.remove(wait);
        self.waits.contains_key(&wait.who).then(|| self.ring_of(wait.who)).flatten()
    }

    /// A party is gone, with all its waits. Whoever waits for it can go on: with an error.
    pub fn forget(&mut self, who: Party) {
        self.waits.remove(&who);
    }

    /// Whether it waits.
    #[must_use]
    pub fn is_waiting(&self, who: Party) -> bool {
        self.waits.contains_key(&who)
    }

    fn remove(&mut self, wait: WaitId) {
        if let Some(waits) = self.waits.get_mut(&wait.who) {
            waits.retain(|it| it.number != wait.number);
            if waits.is_empty() {
                self.waits.remove(&wait.who);
            }
        }
    }
}
