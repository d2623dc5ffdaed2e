//! Accounts as values, so that a journal can keep them across a restart.

use orch_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::books::Books;
use super::{Account, AccountName, Amounts, Kind, Limits, Unit, UnitSet};

/// All that budgets are judged by; see [`Ledger::export`](super::Ledger::export).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LedgerState {
    /// The accounts, by name.
    pub accounts: Vec<AccountState>,
}

/// What stood in one account. Its limits are not kept: they are those of whoever opens it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Whose account.
    pub name: AccountName,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What was spent.
    #[serde(default)]
    pub spent: Amounts,
    /// What was reserved.
    #[serde(default)]
    pub reserved: Amounts,
    /// What was spent beyond what was reserved for it.
    #[serde(default)]
    pub overrun: Amounts,
    /// Units of which more may have been spent.
    #[serde(default)]
    pub unknown: UnitSet,
}

impl AccountState {
    pub(super) fn of(account: &Account) -> Self {
        let super::Balance { spent, reserved, overrun, unknown, .. } = account.balance();
        let (name, opened_at) = (account.name(), account.opened_at());
        Self { name, opened_at, spent, reserved, overrun, unknown }
    }

    /// The books after a restart.
    pub(super) fn books(&self, limits: Limits) -> Books {
        let sums = Unit::ALL.into_iter().filter(|unit| unit.kind() == Kind::Sum);
        let spent = sums.fold(Amounts::ZERO, |spent, unit| {
            spent.with(unit, self.spent.get(unit).saturating_add(self.reserved.get(unit)))
        });
        let (overrun, unknown) = (self.overrun, self.unknown);
        Books { spent, overrun, unknown, ..Books::new(limits) }
    }
}
