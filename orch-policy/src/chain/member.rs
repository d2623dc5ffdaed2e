//! One message of a chain, and a branch that has none yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orch_core::AgentId;
use serde::{Deserialize, Serialize};

use super::fingerprint::{fingerprint, mix};
use super::progress::{Loop, Progress, ProgressLimits, Standing};
use super::{ChainRefusal, Trail};
use crate::budget::{Account, Refusal};

/// How a message has come here: a value of bounded size, which a journal can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    trail: Trail,
    progress: Progress,
}

impl Path {
    /// Of a chain's first message.
    #[must_use]
    pub fn new(to: AgentId, content: &str) -> Self {
        let mut progress = Progress::default();
        progress.step(mix(to, fingerprint(content)));
        Self { trail: Trail::new(to), progress }
    }

    /// One hop further.
    #[must_use]
    pub fn next(&self, to: AgentId, content: &str) -> Self {
        Self { trail: self.trail.then(to), progress: self.progress_to(to, content) }
    }

    fn progress_to(&self, to: AgentId, content: &str) -> Progress {
        let mut progress = self.progress;
        progress.step(mix(to, fingerprint(content)));
        progress
    }

    /// The agents on the way.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// How the path goes in circles, if it does.
    #[must_use]
    pub fn going_round(&self) -> Option<Loop> {
        self.progress.going_round()
    }
}

/// One message of a chain: its branch of the budget, and its path.
///
/// It holds its branch open until it is [settled](Self::settle), or dropped.
#[derive(Debug)]
pub struct Member {
    account: Arc<Account>,
    path: Path,
    is_settled: AtomicBool,
}

/// A message that may be sent.
#[derive(Debug)]
#[must_use = "a member that is dropped is settled"]
pub struct Sent {
    /// The message. Copies of it share one; it is settled once.
    pub member: Arc<Member>,
    /// The chain goes round in circles: it was seen often enough for a warning, this time exactly.
    pub warning: Option<Loop>,
}

impl Member {
    /// The first one of a chain.
    pub(super) fn first(
        account: Arc<Account>,
        path: Path,
        limits: ProgressLimits,
    ) -> Result<Sent, ChainRefusal> {
        let warning = standing(&account, &path.progress, limits, || path.trail)?;
        match account.enter(path.trail.hops()) {
            Ok(()) => Ok(Sent { member: Arc::new(Self::new(account, path)), warning }),
            Err(refusal) => Err(ChainRefusal::Budget { refusal, trail: path.trail.into() }),
        }
    }

    /// One that is sent in the handling of this one. Its path is written once, where it stays.
    pub(super) fn next(
        &self,
        account: &Arc<Account>,
        to: AgentId,
        content: &str,
        limits: ProgressLimits,
    ) -> Result<Sent, ChainRefusal> {
        let hop = self.path.trail.hops().saturating_add(1);
        // Costs a look at all of the content.
        let progress = match limits {
            ProgressLimits::OFF => self.path.progress,
            _ => self.path.progress_to(to, content),
        };
        let trail = || self.path.trail.then(to);
        let warning = standing(account, &progress, limits, trail)?;
        let entered = account.enter(hop);
        entered.map_err(|refusal| ChainRefusal::Budget { refusal, trail: trail().into() })?;
        let mut member = Self::new(account.clone(), self.path);
        member.path.trail.push(to);
        member.path.progress = progress;
        Ok(Sent { member: Arc::new(member), warning })
    }

    /// A message that was counted before a restart. The account of a chain is never closed, so it
    /// does not matter that this holder was not counted.
    pub(super) fn resumed(account: Arc<Account>, path: Path) -> Arc<Self> {
        Arc::new(Self::new(account, path))
    }

    fn new(account: Arc<Account>, path: Path) -> Self {
        Self { account, path, is_settled: AtomicBool::new(false) }
    }

    pub(super) fn refused(&self, refusal: Refusal) -> ChainRefusal {
        ChainRefusal::Budget { refusal, trail: self.path.trail.into() }
    }

    /// The account that whoever handles the message charges beside its own.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How it has come here.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The message is done with: acknowledged, or given up. A retry is the same message. Told twice,
    /// it counts once.
    pub fn settle(&self) {
        // Relaxed: one of all who come changes it, and the rest happens under the account's lock.
        if !self.is_settled.swap(true, Ordering::Relaxed) {
            self.account.leave();
        }
    }

    /// The message was not sent after all: it is not counted, and settled.
    pub fn take_back(&self) {
        if !self.is_settled.swap(true, Ordering::Relaxed) {
            self.account.take_back_message();
            self.account.leave();
        }
    }
}

/// Whether a chain may go on so. If not, its branch is stopped.
fn standing(
    account: &Account,
    progress: &Progress,
    limits: ProgressLimits,
    trail: impl FnOnce() -> Trail,
) -> Result<Option<Loop>, ChainRefusal> {
    match progress.standing(limits) {
        Standing::Goes => Ok(None),
        Standing::Warn(it) => Ok(Some(it)),
        Standing::Stop(round) => {
            account.stop();
            Err(ChainRefusal::NoProgress { account: account.name(), round, trail: trail().into() })
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.settle();
    }
}

/// A part of a chain's budget that was split off. It is over when it is dropped and all messages that
/// were sent in it are settled; what is left goes back then.
#[derive(Debug)]
#[must_use = "dropped, it gives back what it was given"]
pub struct Branch {
    account: Arc<Account>,
}

impl Branch {
    /// The account holds a place for it already.
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account }
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.account.leave();
    }
}
