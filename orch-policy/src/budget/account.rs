//! One account: its books behind a lock, and the share of another account that it was given.

use std::sync::Arc;

use orch_core::Timestamp;

use super::books::{Books, Short};
use super::refusal::Why;
use super::{AccountName, Amounts, Kind, Limits, Refusal, Unit, UnitSet};
use crate::sync::{Mutex, MutexGuard, lock};

/// What may be spent on one thing: a run, an agent, a spawn subtree, a chain or a branch of one.
#[derive(Debug)]
pub struct Account {
    /// Unlike all others of its ledger; the order in which accounts are locked.
    pub(super) number: u64,
    name: AccountName,
    opened_at: Timestamp,
    /// What it was given by the account that it was split off from.
    share: Option<Share>,
    pub(super) books: Mutex<Books>,
}

/// What one account has set aside for another.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) of: Arc<Account>,
    pub(crate) amounts: Amounts,
}

/// What stood in an account at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balance {
    /// The limits.
    pub limits: Limits,
    /// What was spent. What a branch spends stands in its own account until the branch is over.
    pub spent: Amounts,
    /// What is reserved: by spends that have not been settled, and for branches.
    pub reserved: Amounts,
    /// What was spent beyond what was reserved for it; a part of `spent`.
    pub overrun: Amounts,
    /// Units of which more may have been spent than `spent` says: nobody knew the worst case, and
    /// nobody said what it came to.
    pub unknown: UnitSet,
}

impl Account {
    pub(super) fn new(
        number: u64,
        name: AccountName,
        opened_at: Timestamp,
        books: Books,
        share: Option<Share>,
    ) -> Self {
        Self { number, name, opened_at, share, books: Mutex::new(books) }
    }

    /// Whose account it is.
    #[must_use]
    pub fn name(&self) -> AccountName {
        self.name
    }

    /// When it was opened; time runs from there.
    #[must_use]
    pub fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// What stands in it now.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let Books { limits, spent, reserved, overrun, unknown, .. } = *lock(&self.books);
        Balance { limits, spent, reserved, overrun, unknown }
    }

    /// Sets other limits. Those below what is spent and reserved take nothing back: they refuse all
    /// further spends.
    pub fn set_limits(&self, limits: Limits) {
        lock(&self.books).limits = limits;
    }

    pub(super) fn elapsed_ms(&self, now: Timestamp) -> u64 {
        now.as_millis().saturating_sub(self.opened_at.as_millis())
    }

    pub(super) fn refusal(&self, short: Short) -> Refusal {
        let Short { unit, asked, spent, reserved, limit, why } = short;
        Refusal { account: self.name, unit, asked, spent, reserved, limit, why }
    }

    /// Counts one message more, at this hop, and one more holder.
    pub(crate) fn enter(&self, hop: u64) -> Result<(), Refusal> {
        let mut books = lock(&self.books);
        if books.enter(hop) { Ok(()) } else { Err(self.kept_out(books, hop)) }
    }

    #[cold]
    fn kept_out(&self, books: MutexGuard<'_, Books>, hop: u64) -> Refusal {
        self.refusal(books.kept_out(hop))
    }

    /// One message that was counted was not sent. Its holder leaves by itself.
    pub(crate) fn take_back_message(&self) {
        lock(&self.books).take_back_message();
    }

    /// Refuses everything from now on; what is reserved can be settled.
    pub(crate) fn stop(&self) {
        lock(&self.books).shut.get_or_insert(Why::Stopped);
    }

    /// One holder less. The last one closes the account, if it is a share of another: what is left
    /// goes back there.
    #[inline]
    pub(crate) fn leave(&self) {
        // Who holds an account that is no share changes nothing.
        if self.share.is_some() {
            self.leave_share();
        }
    }

    fn leave_share(&self) {
        let mut owed = self.without_one_holder();
        // A loop, because a long chain of shares may end with one message.
        while let Some((share, spent)) = owed {
            let mut books = lock(&share.of.books);
            settle_share(&mut books, &share.amounts, &spent);
            drop(books);
            owed = share.of.without_one_holder();
        }
    }

    /// What goes back to which account, if that was the last holder.
    fn without_one_holder(&self) -> Option<(&Share, Amounts)> {
        let share = self.share.as_ref()?;
        let mut books = lock(&self.books);
        debug_assert!(books.holders > 0, "leave without enter");
        books.holders = books.holders.saturating_sub(1);
        if books.holders > 0 {
            return None;
        }
        // Nobody enters any more, so this happens once.
        books.shut = Some(Why::Closed);
        Some((share, books.spent))
    }

    /// Sets aside all that is left for `n` parts, evenly; the rest of the division stays. Answers
    /// the limits of a part, and what is set aside for each.
    pub(crate) fn divide(&self, n: u64) -> Result<(Limits, Amounts), Refusal> {
        let mut books = lock(&self.books);
        let part = shares().fold(Amounts::ZERO, |part, unit| match books.limits.get(unit) {
            Some(_) => part.with(unit, books.left(unit) / n.max(1)),
            None => part,
        });
        // A part without a message could not even begin.
        let begins = books.limits.get(Unit::Messages).is_none() || part.get(Unit::Messages) > 0;
        let short = match books.shut {
            None if begins => {
                let limits = set_aside(&mut books, &part, n);
                return Ok((limits, part));
            }
            why => books.short(Unit::Messages, n, 0, why.unwrap_or(Why::Exhausted)),
        };
        drop(books);
        Err(self.refusal(short))
    }

    /// Sets aside so much for one part. What is not limited here is not limited there, unless the
    /// part says so.
    pub(crate) fn part(&self, part: &Amounts) -> Result<(Limits, Amounts), Refusal> {
        let mut books = lock(&self.books);
        let wrong = shares().find(|unit| !books.fits(*unit, part.get(*unit), 0));
        let short = match (books.shut, wrong) {
            (None, None) => {
                let limits = set_aside(&mut books, part, 1);
                return Ok((limits, *part));
            }
            (why, unit) => {
                let unit = unit.unwrap_or(Unit::Messages);
                books.short(unit, part.get(unit), 0, why.unwrap_or(Why::Exhausted))
            }
        };
        drop(books);
        Err(self.refusal(short))
    }
}

impl Drop for Account {
    /// One after another: a share of a share of a share would else end in as many nested drops.
    fn drop(&mut self) {
        let mut share = self.share.take();
        while let Some(Share { of, .. }) = share {
            share = Arc::into_inner(of).and_then(|mut account| account.share.take());
        }
    }
}

/// What shares are made of.
fn shares() -> impl Iterator<Item = Unit> {
    Unit::ALL.into_iter().filter(|unit| unit.kind() == Kind::Sum)
}

/// Reserves `n` parts, each with a holder, and answers the limits of one.
fn set_aside(books: &mut Books, part: &Amounts, n: u64) -> Limits {
    let mut limits = books.limits;
    for unit in shares() {
        let (before, each) = (books.reserved.get(unit), part.get(unit));
        books.reserved.set(unit, before.saturating_add(each.saturating_mul(n)));
        if books.limits.get(unit).is_some() || each > 0 {
            limits = limits.with(unit, each);
        }
    }
    books.holders += n;
    limits
}

/// Takes back a share of which so much was spent. What is not limited was not set aside, and is no
/// overrun.
fn settle_share(books: &mut Books, share: &Amounts, spent: &Amounts) {
    let overrun = books.overrun;
    books.settle(share, spent);
    for unit in shares().filter(|unit| books.limits.get(*unit).is_none()) {
        books.overrun.set(unit, overrun.get(unit));
    }
}
