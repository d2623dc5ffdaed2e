//! Chains hold together however they spread: random trees of sends, splits, spends and failures.

use std::sync::Arc;

use orch_core::{AgentId, ChainId, Timestamp};
use orch_policy::budget::{Amounts, Ledger, Limits, Purse, Reservation, Unit};
use orch_policy::chain::{Branch, ChainRefusal, Chains, Member, ProgressLimits};

use crate::dice::{Dice, cases};

const NOW: Timestamp = Timestamp::from_millis(0);

/// What a mistaken runtime, or a mistaken chain, would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Each delegation begins with fresh counters.
    FreshCounters,
    /// Each branch gets all that is left, and not a part of it.
    AllToEach,
    /// What a branch did not use is lost.
    NothingComesBack,
    /// A message that was not sent is counted.
    CountsWhatWasNotSent,
}

/// A chain on its way through agents, and what the world saw of it.
struct Storm {
    mistake: Mistake,
    chains: Chains,
    messages_max: u64,
    tokens_max: u64,
    hops_max: u64,
    members: Vec<Arc<Member>>,
    branches: Vec<Branch>,
    flying: Vec<(Reservation, u64, u64)>,
    first: Arc<orch_policy::budget::Account>,
    messages: u64,
    /// What was spent, and may be spent at most by what flies.
    tokens: u64,
    worst: u64,
}

impl Storm {
    fn new(mistake: Mistake, dice: &mut Dice) -> Result<Self, String> {
        let (messages_max, tokens_max) = (dice.below(30) + 1, dice.below(60));
        let hops_max = dice.below(12);
        let limits = Limits::none()
            .with(Unit::Messages, messages_max)
            .with(Unit::Tokens, tokens_max)
            .with(Unit::Hops, hops_max);
        let chains = Chains::new(Arc::new(Ledger::new()), limits, ProgressLimits::OFF);
        let begun = chains.begin(ChainId::new(), AgentId::new(), "go", NOW);
        let first = begun.map_err(|refusal| refusal.to_string())?.member;
        Ok(Self {
            mistake,
            chains,
            messages_max,
            tokens_max,
            hops_max,
            first: first.account().clone(),
            members: vec![first],
            branches: Vec::new(),
            flying: Vec::new(),
            messages: 1,
            tokens: 0,
            worst: 0,
        })
    }

    fn step(&mut self, dice: &mut Dice) {
        if self.members.is_empty() {
            return;
        }
        let at = dice.below(self.members.len() as u64) as usize;
        match dice.below(12) {
            0..=3 => self.send(at, dice),
            4 => self.split(at, dice),
            5 => self.give_a_part(at, dice),
            6..=7 => self.spend(at, dice),
            8..=9 => self.settle_spend(dice),
            // Handled, given up, or retired: the same to the chain.
            _ => self.members.swap_remove(at).settle(),
        }
    }

    fn send(&mut self, at: usize, dice: &mut Dice) {
        let to = AgentId::new();
        let from = &self.members[at];
        let sent = match self.branches.len() {
            _ if self.mistake == Mistake::FreshCounters => {
                self.chains.begin(ChainId::new(), to, "on", NOW)
            }
            0 => self.chains.send(from, to, "on"),
            n => self.chains.send_in(&self.branches[dice.below(n as u64) as usize], from, to, "on"),
        };
        let Ok(sent) = sent else { return };
        if dice.below(5) == 0 {
            // Its mailbox was full.
            match self.mistake {
                Mistake::CountsWhatWasNotSent => sent.member.settle(),
                _ => sent.member.take_back(),
            }
            return;
        }
        self.messages += 1;
        self.members.push(sent.member);
    }

    fn split(&mut self, at: usize, dice: &mut Dice) {
        let n = dice.below(4) as u32 + 1;
        let member = &self.members[at];
        if self.mistake == Mistake::AllToEach {
            for _ in 0..n {
                let left = |unit| {
                    let it = member.account().balance();
                    let limit = it.limits.get(unit).expect("it is limited");
                    limit - it.spent.get(unit) - it.reserved.get(unit)
                };
                let all = Amounts::of(Unit::Messages, left(Unit::Messages));
                let other = self.chains.begin(ChainId::new(), AgentId::new(), "", NOW);
                let other = other.expect("a chain may begin").member;
                let part = self.chains.part(&other, &all);
                self.branches.extend(part.ok());
            }
            return;
        }
        self.branches.extend(self.chains.split(member, n).into_iter().flatten());
        if dice.below(2) == 0 {
            self.drop_branches();
        }
    }

    fn give_a_part(&mut self, at: usize, dice: &mut Dice) {
        let amounts = Amounts::of(Unit::Messages, dice.below(8)).with(Unit::Tokens, dice.below(20));
        self.branches.extend(self.chains.part(&self.members[at], &amounts).ok());
    }

    fn drop_branches(&mut self) {
        let branches = std::mem::take(&mut self.branches);
        if self.mistake == Mistake::NothingComesBack {
            branches.into_iter().for_each(std::mem::forget);
        }
    }

    fn spend(&mut self, at: usize, dice: &mut Dice) {
        let worst = dice.below(10);
        let cost = dice.below(worst + 1);
        let purse = Purse::of([self.members[at].account().clone()]);
        if let Ok(reservation) = purse.reserve(NOW, Amounts::of(Unit::Tokens, worst)) {
            self.worst += worst;
            self.flying.push((reservation, worst, cost));
        }
    }

    fn settle_spend(&mut self, dice: &mut Dice) {
        if self.flying.is_empty() {
            return;
        }
        let at = dice.below(self.flying.len() as u64) as usize;
        let (reservation, worst, cost) = self.flying.swap_remove(at);
        self.worst -= worst;
        if dice.below(3) == 0 {
            drop(reservation);
            self.tokens += worst;
        } else {
            drop(reservation.settle(&Amounts::of(Unit::Tokens, cost)));
            self.tokens += cost;
        }
    }

    fn check(&self) -> Result<(), String> {
        let Self { messages, messages_max, tokens_max, .. } = self;
        if messages > messages_max {
            return Err(format!("{messages} messages of {messages_max}"));
        }
        let tokens = self.tokens + self.worst;
        if tokens > *tokens_max {
            return Err(format!("{tokens} tokens of {tokens_max}"));
        }
        let deepest = self.members.iter().map(|it| it.path().trail().hops()).max().unwrap_or(0);
        if deepest > self.hops_max {
            return Err(format!("hop {deepest} of {}", self.hops_max));
        }
        // The sum of the branches lies within what is reserved for them, and so on down.
        let accounts = self.members.iter().map(|it| it.account()).chain([&self.first]);
        for account in accounts {
            let it = account.balance();
            for unit in [Unit::Messages, Unit::Tokens] {
                let sum = it.spent.get(unit) + it.reserved.get(unit);
                if sum > it.limits.get(unit).unwrap_or(u64::MAX) {
                    return Err(format!("{sum} {unit} in {}", account.name()));
                }
            }
        }
        Ok(())
    }

    /// When all is over, the chain has what the world saw, and nothing is set aside.
    fn end(mut self, dice: &mut Dice) -> Result<(), String> {
        while !self.flying.is_empty() {
            self.settle_spend(dice);
        }
        self.drop_branches();
        self.members.clear();
        self.check()?;
        let it = self.first.balance();
        let expected = Amounts::of(Unit::Messages, self.messages).with(Unit::Tokens, self.tokens);
        match (it.spent == expected, it.reserved == Amounts::ZERO) {
            (true, true) => Ok(()),
            _ => Err(format!("{it:?}, but {expected:?} was spent")),
        }
    }
}

fn storm(seed: u64, mistake: Mistake) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let mut storm = Storm::new(mistake, &mut dice)?;
    for _ in 0..dice.below(60) {
        storm.step(&mut dice);
        storm.check()?;
    }
    storm.end(&mut dice)
}

fn first_mistake(n: u64, mistake: Mistake) -> Option<String> {
    (0..n).find_map(|seed| Some(format!("seed {seed}: {}", storm(seed, mistake).err()?)))
}

#[test]
fn the_sum_of_the_branches_never_exceeds_the_chain_and_what_is_left_comes_back() {
    assert_eq!(first_mistake(cases(100_000), Mistake::None), None);
}

#[test]
fn planted_mistakes_are_caught() {
    for mistake in [
        Mistake::FreshCounters,
        Mistake::AllToEach,
        Mistake::NothingComesBack,
        Mistake::CountsWhatWasNotSent,
    ] {
        assert!(first_mistake(2_000, mistake).is_some(), "{mistake:?} was not found");
    }
}

fn chains(limits: Limits, progress: ProgressLimits) -> Chains {
    Chains::new(Arc::new(Ledger::new()), limits, progress)
}

fn left(branch: &Branch, unit: Unit) -> Option<u64> {
    branch.account().balance().limits.get(unit)
}

#[test]
fn a_split_is_even_and_the_rest_stays() {
    let limits = Limits::none().with(Unit::Messages, 12).with(Unit::Tokens, 100);
    let chains = chains(limits, ProgressLimits::OFF);
    let first = chains.begin(ChainId::new(), AgentId::new(), "go", NOW).expect("fits").member;
    let branches = chains.split(&first, 3).expect("eleven messages are left");
    let parts: Vec<_> = branches.iter().map(|it| left(it, Unit::Messages)).collect();
    assert_eq!(parts, [Some(3); 3]);
    assert!(branches.iter().all(|it| left(it, Unit::Tokens) == Some(33)));
    assert!(branches.iter().all(|it| left(it, Unit::MicroUsd).is_none()), "money is not limited");
    let balance = first.account().balance();
    assert_eq!((balance.spent.get(Unit::Messages), balance.reserved.get(Unit::Messages)), (1, 9));
    drop(branches);
    assert_eq!(first.account().balance().reserved, Amounts::ZERO);
}

#[test]
fn a_split_into_more_parts_than_messages_is_refused() {
    let chains = chains(Limits::none().with(Unit::Messages, 4), ProgressLimits::OFF);
    let first = chains.begin(ChainId::new(), AgentId::new(), "go", NOW).expect("fits").member;
    assert!(chains.split(&first, 3).is_ok());
    let refusal = chains.split(&first, 4).expect_err("three are left");
    assert!(refusal.to_string().starts_with("4 messages do not fit"), "{refusal}");
}

#[test]
fn hops_are_counted_however_long_the_chain() {
    let chains = chains(Limits::none().with(Unit::Hops, 1_000), ProgressLimits::OFF);
    let begun = chains.begin(ChainId::new(), AgentId::new(), "go", NOW);
    let mut member = begun.expect("the first hop is 0").member;
    for _ in 0..2_000 {
        match chains.send(&member, AgentId::new(), "on") {
            Ok(sent) => member = sent.member,
            Err(_) => break,
        }
    }
    assert_eq!(member.path().trail().hops(), 1_000);
    assert_eq!(member.account().balance().spent.get(Unit::Messages), 1_001);
}

#[test]
fn branches_of_branches_may_be_as_deep_as_they_like() {
    let chains = chains(Limits::none(), ProgressLimits::OFF);
    let first = chains.begin(ChainId::new(), AgentId::new(), "go", NOW).expect("no limit").member;
    let mut member = first.clone();
    for _ in 0..100_000 {
        let branch = chains.part(&member, &Amounts::ZERO).expect("no limit");
        member = chains.send_in(&branch, &member, AgentId::new(), "on").expect("no limit").member;
    }
    assert_eq!(first.account().balance().spent.get(Unit::Messages), 1);
    drop(member);
    assert_eq!(first.account().balance().spent.get(Unit::Messages), 100_001);
}

#[test]
fn a_branch_that_runs_away_starves_nobody_else() {
    let chains = chains(Limits::none().with(Unit::Messages, 101), ProgressLimits::OFF);
    let first = chains.begin(ChainId::new(), AgentId::new(), "go", NOW).expect("fits").member;
    let branches = chains.split(&first, 2).expect("fits");
    let mut storm = vec![chains.send_in(&branches[0], &first, AgentId::new(), "a").expect("fits")];
    let refusal = loop {
        assert!(storm.len() < 10_000, "nothing stops the branch");
        match chains.send(&storm[storm.len() - 1].member, AgentId::new(), "again") {
            Ok(sent) => storm.push(sent),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(storm.len(), 50);
    assert_eq!(refusal.chain(), first.account().name().chain());
    assert_eq!(refusal.trail().hops(), 51);
    assert!(chains.send_in(&branches[1], &first, AgentId::new(), "b").is_ok());
}

/// Seventeen agents that forward the same to each other in triangles, as was seen in the wild: 398
/// forwards in ten hours.
fn triangle_storm(chains: &Chains) -> (u64, ChainRefusal) {
    let agents: Vec<AgentId> = (0..17).map(|_| AgentId::new()).collect();
    let chain = ChainId::new();
    let first = chains.begin(chain, agents[0], "please look at this", NOW).expect("it fits");
    let mut waiting = std::collections::VecDeque::from([(0, first.member)]);
    let mut messages = 1;
    while let Some((agent, member)) = waiting.pop_front() {
        assert!(messages < 10_000, "nothing stops the storm");
        // Each forwards to the two that come after it, and those of its triangle send back to it.
        for to in [(agent + 1) % 17, (agent / 3 * 3 + (agent + 1) % 3) % 17] {
            match chains.send(&member, agents[to], "please look at this") {
                Ok(sent) => {
                    messages += 1;
                    waiting.push_back((to, sent.member));
                }
                Err(refusal) => return (messages, refusal),
            }
        }
    }
    panic!("the storm died down by itself")
}

#[test]
fn a_triangle_storm_of_seventeen_agents_stops_within_its_messages_hops_and_laps() {
    let of = |unit, limit| chains(Limits::none().with(unit, limit), ProgressLimits::OFF);
    let (messages, refusal) = triangle_storm(&of(Unit::Messages, 40));
    assert_eq!(messages, 40, "{refusal}");
    let (messages, refusal) = triangle_storm(&of(Unit::Hops, 6));
    assert!(messages < 1 << 7 && refusal.trail().hops() == 7, "{messages}: {refusal}");
}

#[test]
fn a_loop_warns_once_and_then_stops_its_branch() {
    let chains = chains(Limits::none(), ProgressLimits::default());
    let agents = [AgentId::new(), AgentId::new(), AgentId::new()];
    let chain = ChainId::new();
    let mut member = chains.begin(chain, agents[0], "hello", NOW).expect("it fits").member;
    let mut warnings = Vec::new();
    let refusal = loop {
        let hop = member.path().trail().hops() as usize + 1;
        assert!(hop < 10_000, "nothing stops the loop");
        match chains.send(&member, agents[hop % 3], "thank you") {
            Ok(sent) => {
                warnings.extend(sent.warning);
                member = sent.member;
            }
            Err(refusal) => break refusal,
        }
    };
    let [warning] = warnings[..] else { panic!("{warnings:?}") };
    assert_eq!((warning.laps, warning.length), (3, 3));
    let text = refusal.to_string();
    assert!(text.contains("the same 3 messages went round 5 times without a change"), "{text}");
    assert!(text.contains(&chain.to_string()), "{text}");
    assert!(refusal.trail().hops() <= 22, "{text}");
    let after = chains.send(&member, AgentId::new(), "something new").expect_err("it is stopped");
    assert!(after.to_string().contains("was stopped"), "{after}");
}

#[test]
fn a_path_survives_a_restart() {
    let (before, chain) =
        (chains(Limits::none().with(Unit::Messages, 3), ProgressLimits::OFF), ChainId::new());
    let first = before.begin(chain, AgentId::new(), "go", NOW).expect("fits").member;
    let second = before.send(&first, AgentId::new(), "on").expect("fits").member;
    let json = serde_json::to_string(second.path()).expect("a path is JSON");
    let path = serde_json::from_str(&json).expect("the JSON is a path");
    let after = chains(Limits::none().with(Unit::Messages, 3), ProgressLimits::OFF);
    let second = after.resume(chain, path, NOW);
    let third = after.send(&second, AgentId::new(), "on").expect("fits").member;
    assert_eq!(third.path().trail().hops(), 2);
}
