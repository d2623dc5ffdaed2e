//! Chains: all messages with one first cause, held together by one budget however they spread, and
//! stopped when they go round in circles.
//!
//! Each message of a chain is a [`Member`]: it knows its branch of the budget and its [`Path`]. A
//! message that is sent in the handling of another is made from that one's member, one hop further.
//!
//! - **Hops, messages, tokens, money.** A chain has an [account](crate::budget::Account). Each member
//!   counts as a message of it; tokens and money are charged to it by whoever handles the member, in
//!   one [purse](crate::budget::Purse) with the run and the agent.
//! - **Branches.** Who sends to several can [split](Chains::split) what is left of its branch evenly,
//!   or give [a part](Chains::part) as it says. A branch spends what it was given and no more, so it
//!   cannot starve the others, and the sum of the branches never exceeds what they were split from.
//!   What it did not use goes back when its last message is settled and its last reservation closed.
//!   Without a split, all messages share the branch of the one in whose handling they were sent.
//! - **No progress.** The same messages, by recipient and content, that go round the same way
//!   again and again: a warning, then the branch is stopped. See [`ProgressLimits`].
//!
//! Nothing of this is shared between chains, and a message takes one uncontended lock when it is sent
//! and one when it is settled. The path is a value of some 200 bytes, whatever the length of the
//! chain: the first agent, the last eight, and a summary of what they said to each other.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//!
//! use orch_core::{AgentId, ChainId, Timestamp};
//! use orch_policy::budget::{Ledger, Limits, Unit};
//! use orch_policy::chain::{Chains, ProgressLimits};
//!
//! let (now, ledger) = (Timestamp::from_millis(0), Arc::new(Ledger::new()));
//! let limits = Limits::none().with(Unit::Hops, 2);
//! let chains = Chains::new(ledger, limits, ProgressLimits::default());
//!
//! let [planner, coder] = [AgentId::new(), AgentId::new()];
//! let first = chains.begin(ChainId::new(), planner, "build it", now)?.member;
//! let second = chains.send(&first, coder, "write the parser")?.member;
//! let third = chains.send(&second, planner, "done")?.member;
//! let refusal = chains.send(&third, coder, "thanks").unwrap_err();
//! assert!(refusal.to_string().contains("3 hops are more than the limit"));
//! # Ok::<(), orch_policy::chain::ChainRefusal>(())
//! ```

mod fingerprint;
mod member;
mod progress;
mod refusal;
mod trail;

use std::sync::Arc;

use orch_core::{AgentId, ChainId, Timestamp};

use crate::budget::{AccountName, Amounts, Ledger, Limits, Share};

pub use member::{Branch, Member, Path, Sent};
pub use progress::{Loop, Progress, ProgressLimits};
pub use refusal::ChainRefusal;
pub use trail::Trail;

/// Begins chains, and decides on each message of them.
#[derive(Clone, Debug)]
pub struct Chains {
    ledger: Arc<Ledger>,
    limits: Limits,
    progress: ProgressLimits,
}

impl Chains {
    /// Chains with these limits each, in the accounts of `ledger`.
    #[must_use]
    pub const fn new(ledger: Arc<Ledger>, limits: Limits, progress: ProgressLimits) -> Self {
        Self { ledger, limits, progress }
    }

    /// The first message of a chain, or of what is left of one after a restart.
    ///
    /// # Errors
    ///
    /// [`ChainRefusal`] if the limits allow no message at all, or an imported chain had none left.
    pub fn begin(
        &self,
        chain: ChainId,
        to: AgentId,
        content: &str,
        now: Timestamp,
    ) -> Result<Sent, ChainRefusal> {
        let account = self.ledger.open(AccountName::Chain(chain), self.limits, now);
        Member::first(account, Path::new(to, content), self.progress)
    }

    /// A message that was accepted before a restart, on the path that was kept of it. It was counted
    /// then, and is not again; if it was in a branch, it goes on in the chain.
    #[must_use]
    pub fn resume(&self, chain: ChainId, path: Path, now: Timestamp) -> Arc<Member> {
        Member::resumed(self.ledger.open(AccountName::Chain(chain), self.limits, now), path)
    }

    /// A message that is sent in the handling of `cause`, in the same branch.
    ///
    /// # Errors
    ///
    /// [`ChainRefusal`] if the branch has no message or hop left, or the chain goes round in circles:
    /// then the branch is stopped.
    pub fn send(&self, cause: &Member, to: AgentId, content: &str) -> Result<Sent, ChainRefusal> {
        cause.next(cause.account(), to, content, self.progress)
    }

    /// The same, in a branch that was split off.
    ///
    /// # Errors
    ///
    /// As of [`send`](Self::send).
    pub fn send_in(
        &self,
        branch: &Branch,
        cause: &Member,
        to: AgentId,
        content: &str,
    ) -> Result<Sent, ChainRefusal> {
        cause.next(branch.account(), to, content, self.progress)
    }

    /// Splits all that is left of the branch of `cause` evenly into `n`. What does not divide stays,
    /// and so does what is reserved.
    ///
    /// A branch that is dropped without a message gives its part back at once: who wants to keep a
    /// part for itself splits into one more.
    ///
    /// # Errors
    ///
    /// [`ChainRefusal`] if fewer than `n` messages are left; nothing is split then.
    pub fn split(&self, cause: &Member, n: u32) -> Result<Vec<Branch>, ChainRefusal> {
        let divided = cause.account().divide(n.into());
        let (limits, amounts) = divided.map_err(|refusal| cause.refused(refusal))?;
        Ok((0..n).map(|_| self.branch(cause, limits, amounts)).collect())
    }

    /// Gives so much of the branch of `cause` to another: messages, tokens, money. What is not said
    /// is nothing, where the chain has a limit on it, and unlimited where it has none.
    ///
    /// # Errors
    ///
    /// [`ChainRefusal`] if so much is not left; nothing is given then.
    pub fn part(&self, cause: &Member, amounts: &Amounts) -> Result<Branch, ChainRefusal> {
        let given = cause.account().part(amounts);
        let (limits, amounts) = given.map_err(|refusal| cause.refused(refusal))?;
        Ok(self.branch(cause, limits, amounts))
    }

    fn branch(&self, cause: &Member, limits: Limits, amounts: Amounts) -> Branch {
        let of = cause.account();
        let chain = of.name().chain().expect("the account of a member is a chain's or a branch's");
        let share = Share { of: of.clone(), amounts };
        Branch::new(self.ledger.open_branch(chain, limits, share))
    }
}
