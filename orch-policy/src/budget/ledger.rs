//! All accounts, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use orch_core::{ChainId, Timestamp};

use super::books::Books;
use super::{Account, AccountName, AccountState, LedgerState, Limits, Share};
use crate::sync::{Mutex, lock};

/// All accounts, by name. The lock is taken to open and to list accounts, and not to spend.
#[derive(Debug, Default)]
pub struct Ledger {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    opened: u64,
    /// An account lives as long as somebody holds it. Invariant: at most about twice as many entries
    /// as live, and 64.
    accounts: BTreeMap<AccountName, Weak<Account>>,
    /// Those of the run and of agents, which live until they are forgotten.
    kept: Vec<Arc<Account>>,
    /// What accounts had before a restart, until they are opened.
    before: BTreeMap<AccountName, AccountState>,
    /// How many entries to have before the dead ones are looked for.
    purge_at: usize,
}

impl Ledger {
    /// Without an account.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The account of this name; it is opened with these limits if there is none. One that was
    /// imported goes on where it stood, under these limits.
    ///
    /// The accounts of chains and branches live as long as somebody holds them, the others until
    /// they are [forgotten](Self::forget).
    #[must_use]
    pub fn open(&self, name: AccountName, limits: Limits, now: Timestamp) -> Arc<Account> {
        let mut known = lock(&self.known);
        match known.accounts.get(&name).and_then(Weak::upgrade) {
            Some(account) => account,
            None => known.open(name, limits, now, None),
        }
    }

    /// No longer keeps the account of an agent that is gone. What it spent stays in the accounts
    /// above it.
    pub fn forget(&self, name: AccountName) {
        let mut known = lock(&self.known);
        known.kept.retain(|account| account.name() != name);
        known.before.remove(&name);
    }

    /// Opens a branch with a share of another account's.
    pub(crate) fn open_branch(&self, chain: ChainId, limits: Limits, share: Share) -> Arc<Account> {
        let mut known = lock(&self.known);
        // Its time has run since its chain began.
        let opened_at = share.of.opened_at();
        let name = AccountName::Branch { chain, number: known.opened };
        known.open(name, limits, opened_at, Some(share))
    }

    /// All accounts that live, by name.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        lock(&self.known).accounts.values().filter_map(Weak::upgrade).collect()
    }

    /// All that budgets are judged by, for a journal to keep. Accounts that others charge meanwhile
    /// are each right, and may be of different instants.
    #[must_use]
    pub fn export(&self) -> LedgerState {
        let mut accounts: BTreeMap<_, _> = lock(&self.known).before.clone();
        for account in self.accounts() {
            accounts.insert(account.name(), AccountState::of(&account));
        }
        LedgerState { accounts: accounts.into_values().collect() }
    }

    /// Takes over what stood in accounts before a restart. What was reserved then counts as spent in
    /// full, since nobody is left to say otherwise; what was held came back with its holders. What
    /// was set aside for branches counts as spent, too: their messages go on in what is left of the chain itself.
    ///
    /// Import before accounts are opened: one that is open already is left as it is.
    pub fn import(&self, state: LedgerState) {
        let mut known = lock(&self.known);
        for account in state.accounts {
            // A branch is a part of what was reserved in its chain, and counts there.
            if !matches!(account.name, AccountName::Branch { .. }) {
                known.before.insert(account.name, account);
            }
        }
    }
}

impl Known {
    fn open(
        &mut self,
        name: AccountName,
        limits: Limits,
        now: Timestamp,
        share: Option<Share>,
    ) -> Arc<Account> {
        let (opened_at, books) = match self.before.remove(&name) {
            Some(state) => (state.opened_at, state.books(limits)),
            None => (now, Books::new(limits)),
        };
        // Whoever opens a branch holds it.
        let books = Books { holders: u64::from(share.is_some()), ..books };
        let account = Arc::new(Account::new(self.opened, name, opened_at, books, share));
        self.opened += 1;
        if name.chain().is_none() {
            self.kept.push(account.clone());
        }
        self.accounts.insert(name, Arc::downgrade(&account));
        self.purge();
        account
    }

    fn purge(&mut self) {
        if self.accounts.len() < self.purge_at.max(64) {
            return;
        }
        self.accounts.retain(|_, account| account.strong_count() > 0);
        self.purge_at = self.accounts.len().saturating_mul(2);
    }
}
