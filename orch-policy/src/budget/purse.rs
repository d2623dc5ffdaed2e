//! The accounts that one spend is charged to at once, and what is reserved in them.

use std::sync::Arc;

use orch_core::Timestamp;

use super::{Account, AccountName, Amounts, Kind, Refusal, Spend, Unit, UnitSet};
use crate::sync::lock;

/// The accounts that one spend is charged to at once, each once.
#[derive(Clone, Debug)]
pub struct Purse {
    /// Invariant: ascending by number. All who lock several lock them in this order.
    accounts: Arc<[Arc<Account>]>,
}

impl Purse {
    /// These accounts of one ledger, in any order. One that comes twice is charged once.
    #[must_use]
    pub fn of(accounts: impl IntoIterator<Item = Arc<Account>>) -> Self {
        let mut accounts: Vec<_> = accounts.into_iter().collect();
        accounts.sort_by_key(|account| account.number);
        accounts.dedup_by_key(|account| account.number);
        Self { accounts: accounts.into() }
    }

    /// The accounts, in the order in which they are asked.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.iter()
    }

    /// Reserves a spend in all accounts, or in none.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the first account that refuses; nothing is charged then.
    pub fn reserve(&self, now: Timestamp, spend: impl Into<Spend>) -> Result<Reservation, Refusal> {
        let spend = spend.into();
        let mut all: Vec<_> = self.accounts.iter().map(|account| lock(&account.books)).collect();
        let short = self.accounts.iter().zip(&all).find_map(|(account, books)| {
            let short = books.check(&spend, account.elapsed_ms(now)).err()?;
            Some((account, short))
        });
        if let Some((account, short)) = short {
            drop(all);
            return Err(account.refusal(short));
        }
        all.iter_mut().for_each(|books| books.reserve(&spend.amounts));
        drop(all);
        let Spend { amounts, unknown } = spend;
        Ok(Reservation { purse: self.clone(), amounts, unknown, is_open: true })
    }
}

/// What is set aside for a spend that is to come.
///
/// Dropped without a word it is settled at its full amount: whoever vanished may have spent it.
#[derive(Debug)]
#[must_use = "dropped, it counts as spent in full"]
pub struct Reservation {
    purse: Purse,
    amounts: Amounts,
    unknown: UnitSet,
    is_open: bool,
}

/// What became of a reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says whether the spend was dearer than its worst case"]
pub struct Settled {
    /// Where more was spent than was reserved. Empty, unless a worst case was none.
    pub overruns: Vec<Overrun>,
}

/// A spend that was dearer than its worst case. It was booked as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// In what.
    pub unit: Unit,
    /// What was reserved.
    pub reserved: u64,
    /// What it came to.
    pub actual: u64,
    /// The accounts that are above their limits by now.
    pub above: Vec<AccountName>,
}

impl Reservation {
    /// What is reserved; what to settle where nothing was reported.
    #[must_use]
    pub fn amounts(&self) -> &Amounts {
        &self.amounts
    }

    /// Books what it came to, and gives the rest back. What is held (memory, children) comes back
    /// whatever `actual` says of it.
    pub fn settle(mut self, actual: &Amounts) -> Settled {
        self.close(actual)
    }

    /// Gives all of it back: nothing was spent.
    pub fn release(self) {
        // Nothing can be dearer than nothing.
        let Settled { .. } = self.settle(&Amounts::ZERO);
    }

    fn close(&mut self, actual: &Amounts) -> Settled {
        self.is_open = false;
        let mut overruns = self.overruns(actual);
        // One account after another: each is right at every instant, and nobody needs them to agree.
        for account in self.purse.accounts.iter() {
            let mut books = lock(&account.books);
            books.settle(&self.amounts, actual);
            for unit in self.unknown.iter().filter(|unit| actual.get(*unit) == 0) {
                books.unknown = books.unknown.with(unit);
            }
            let is_above = |unit| books.limits.ceiling(unit) < books.spent.get(unit);
            for overrun in overruns.iter_mut().filter(|overrun| is_above(overrun.unit)) {
                overrun.above.push(account.name());
            }
            drop(books);
            account.leave();
        }
        Settled { overruns }
    }

    fn overruns(&self, actual: &Amounts) -> Vec<Overrun> {
        let dearer = actual.units().iter().filter(|unit| {
            let is_more = actual.get(*unit) > self.amounts.get(*unit);
            // What nobody knew before was not promised.
            unit.kind() == Kind::Sum && is_more && !self.unknown.has(*unit)
        });
        let overrun = |unit| Overrun {
            unit,
            reserved: self.amounts.get(unit),
            actual: actual.get(unit),
            above: Vec::new(),
        };
        dearer.map(overrun).collect()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_open {
            let all = self.amounts;
            let Settled { .. } = self.close(&all);
        }
    }
}
