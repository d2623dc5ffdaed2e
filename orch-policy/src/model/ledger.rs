//! Spends on several accounts at once.

use std::sync::Arc;

use orch_core::{AgentId, Timestamp};

use super::{check, spawn};
use crate::budget::{Account, AccountName, Amounts, Ledger, LedgerState, Limits, Purse, Unit};

const NOW: Timestamp = Timestamp::from_millis(0);

fn open(ledger: &Ledger, tokens: &[u64]) -> Vec<Arc<Account>> {
    let name = |at| if at == 0 { AccountName::Run } else { AccountName::Agent(AgentId::new()) };
    let limits = |tokens| Limits::none().with(Unit::Tokens, tokens);
    (0..).zip(tokens).map(|(at, tokens)| ledger.open(name(at), limits(*tokens), NOW)).collect()
}

fn tokens(amount: u64) -> Amounts {
    Amounts::of(Unit::Tokens, amount)
}

fn stands(account: &Account) -> u64 {
    let it = account.balance();
    it.spent.get(Unit::Tokens) + it.reserved.get(Unit::Tokens)
}

#[test]
fn three_spend_at_once_and_nobody_sees_more_than_the_limit() {
    check("ledger: three spend, one looks", || {
        let accounts = open(&Ledger::new(), &[5, 4, 4]);
        // In different orders, and each other's, so that a deadlock would be found.
        let purses =
            [[0, 1], [1, 2], [2, 0]].map(|of| Purse::of(of.map(|at| accounts[at].clone())));
        let spenders = purses.map(|purse| {
            spawn(move || {
                let granted = purse.reserve(NOW, tokens(3)).ok()?;
                let settled = granted.settle(&tokens(2));
                assert!(settled.overruns.is_empty());
                Some(2)
            })
        });
        for account in &accounts {
            let limit = account.balance().limits.get(Unit::Tokens).expect("it is limited");
            assert!(stands(account) <= limit);
        }
        let spent = spenders.map(|it| it.join().unwrap().unwrap_or(0));
        let [a, b, c] = spent;
        let expected = [a + c, a + b, b + c];
        let shown = |account: &Arc<Account>| (stands(account), account.balance().reserved);
        let stand: Vec<_> = accounts.iter().map(shown).collect();
        assert_eq!(stand, expected.map(|it| (it, Amounts::ZERO)));
    });
}

#[test]
fn nobody_is_refused_because_of_what_was_taken_back() {
    check("ledger: a refused spend hides nothing from others", || {
        // Account 1 never has enough, so whoever wants both gets neither; account 0 has enough for
        // the other, whatever happens.
        let accounts = open(&Ledger::new(), &[1, 0]);
        let both = Purse::of(accounts.iter().cloned());
        let refused = spawn(move || both.reserve(NOW, tokens(1)).is_err());
        let granted = Purse::of([accounts[0].clone()]).reserve(NOW, tokens(1));
        assert!(granted.is_ok());
        assert!(refused.join().unwrap());
    });
}

#[test]
fn one_of_two_gets_what_is_enough_for_one() {
    check("ledger: the last token", || {
        let accounts = open(&Ledger::new(), &[1, 9, 9]);
        let others = [1, 2].map(|at| {
            let purse = Purse::of([accounts[0].clone(), accounts[at].clone()]);
            spawn(move || purse.reserve(NOW, tokens(1)).map(drop).is_ok())
        });
        let granted = others.map(|it| it.join().unwrap());
        assert_eq!(granted.iter().filter(|it| **it).count(), 1);
        // Dropped without a word, so it is spent.
        assert_eq!(accounts.iter().map(|it| stands(it)).sum::<u64>(), 2);
    });
}

#[test]
fn what_is_exported_meanwhile_never_forgets_a_spend_that_was_granted() {
    check("ledger: export against spends", || {
        let ledger = Arc::new(Ledger::new());
        let run = open(&ledger, &[2]).remove(0);
        let first = Purse::of([run.clone()]).reserve(NOW, tokens(1)).expect("it fits");
        let exporter = spawn({
            let ledger = ledger.clone();
            move || ledger.export()
        });
        let settled = first.settle(&tokens(1));
        assert!(settled.overruns.is_empty());
        let LedgerState { accounts } = exporter.join().unwrap();
        let after = Ledger::new();
        after.import(LedgerState { accounts });
        let run = after.open(AccountName::Run, Limits::none().with(Unit::Tokens, 2), NOW);
        assert_eq!(run.balance().spent, tokens(1));
    });
}
