//! Branches that are split off, used and given back.

use std::sync::Arc;

use orch_core::{AgentId, ChainId, Timestamp};

use super::{check, spawn};
use crate::budget::{Amounts, Ledger, Limits, Purse, Unit};
use crate::chain::{Chains, Member, ProgressLimits};

const NOW: Timestamp = Timestamp::from_millis(0);

fn begin(messages: u64) -> (Arc<Chains>, Arc<Member>) {
    let limits = Limits::none().with(Unit::Messages, messages).with(Unit::Tokens, 9);
    let chains = Chains::new(Arc::new(Ledger::new()), limits, ProgressLimits::OFF);
    let sent = chains.begin(ChainId::new(), AgentId::new(), "go", NOW).expect("it fits");
    (Arc::new(chains), sent.member)
}

fn messages(member: &Member) -> (u64, u64) {
    let it = member.account().balance();
    (it.spent.get(Unit::Messages), it.reserved.get(Unit::Messages))
}

#[test]
fn two_turns_share_what_is_left_of_a_branch() {
    check("chains: two send, one message is left", || {
        let (chains, first) = begin(2);
        let senders = [(); 2].map(|()| {
            let (chains, first) = (chains.clone(), first.clone());
            spawn(move || chains.send(&first, AgentId::new(), "on").is_ok())
        });
        let sent = senders.map(|it| it.join().unwrap());
        assert_eq!(sent.iter().filter(|it| **it).count(), 1);
        assert_eq!(messages(&first), (2, 0));
    });
}

#[test]
fn a_branch_gives_back_once_whoever_leaves_last() {
    check("chains: message, spend and handle of a branch end at once", || {
        let (chains, first) = begin(10);
        let branch = chains.split(&first, 2).expect("it fits").remove(0);
        let sent = chains.send_in(&branch, &first, AgentId::new(), "on").expect("it fits");
        let purse = Purse::of([branch.account().clone()]);
        let spend = purse.reserve(NOW, Amounts::of(Unit::Tokens, 4)).expect("four are its part");
        let settler = spawn(move || {
            sent.member.settle();
            drop(sent);
        });
        let spender = spawn(move || drop(spend.settle(&Amounts::of(Unit::Tokens, 3))));
        drop(branch);
        settler.join().unwrap();
        spender.join().unwrap();
        assert_eq!(messages(&first), (2, 0));
        let balance = first.account().balance();
        assert_eq!(balance.spent.get(Unit::Tokens), 3);
        assert_eq!(balance.reserved, Amounts::ZERO);
        // And nothing is spent in it any more.
        assert!(purse.reserve(NOW, Amounts::of(Unit::Tokens, 1)).is_err());
    });
}

#[test]
fn a_split_takes_what_a_send_has_left() {
    check("chains: split against send", || {
        let (chains, first) = begin(6);
        let sender = spawn({
            let (chains, first) = (chains.clone(), first.clone());
            move || chains.send(&first, AgentId::new(), "on").ok()
        });
        let branches = chains.split(&first, 2).expect("four at least are left");
        let limit = |at: usize| branches[at].account().balance().limits.get(Unit::Messages);
        let sent = sender.join().unwrap();
        let part = limit(0).expect("messages are limited");
        let (spent, reserved) = messages(&first);
        assert_eq!(reserved, 2 * part);
        assert_eq!(spent, 1 + u64::from(sent.is_some()));
        assert!(spent + reserved <= 6 && part == 2);
        drop(branches);
        assert_eq!(messages(&first).1, 0);
    });
}

#[test]
fn a_branch_of_a_branch_ends_with_its_last_message() {
    check("chains: nested branches end at once", || {
        let (chains, first) = begin(20);
        let outer = chains.split(&first, 2).expect("it fits").remove(0);
        let inside = chains.send_in(&outer, &first, AgentId::new(), "on").expect("it fits").member;
        let inner = chains.split(&inside, 2).expect("it fits");
        drop(outer);
        let droppers = inner.into_iter().map(|branch| spawn(move || drop(branch)));
        let droppers: Vec<_> = droppers.collect();
        drop(inside);
        droppers.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(messages(&first), (2, 0));
    });
}
