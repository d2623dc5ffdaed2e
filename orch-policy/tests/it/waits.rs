//! The wait that closes a ring is found, and no other: as brute force finds it, over random graphs.

use std::collections::{BTreeMap, BTreeSet};

use orch_core::AgentId;
use orch_policy::waits::{Party, Ring, WaitGraph, WaitId};

use crate::dice::{Dice, cases};

/// What begins, what ends, and what was said to it.
trait Finder {
    fn begin(&mut self, is_any: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>>;
    fn end(&mut self, wait: u64) -> Option<Vec<Party>>;
}

#[derive(Default)]
struct Real {
    graph: WaitGraph,
    ids: BTreeMap<u64, WaitId>,
    begun: u64,
}

impl Finder for Real {
    fn begin(&mut self, is_any: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>> {
        let on = on.iter().copied();
        let begun = match is_any {
            true => self.graph.begin_any(who, on),
            false => self.graph.begin(who, on),
        };
        self.begun += 1;
        let id = begun.map_err(|ring| ring.parties().to_vec())?;
        self.ids.insert(self.begun, id);
        Ok(self.begun)
    }

    fn end(&mut self, wait: u64) -> Option<Vec<Party>> {
        let id = self.ids.remove(&wait).expect("it has begun");
        self.graph.end(id).map(|ring: Ring| ring.parties().to_vec())
    }
}

/// All waits, and brute force over them.
#[derive(Clone, Default)]
struct Model {
    /// By number: who, whether any is enough, and on whom.
    waits: BTreeMap<u64, (Party, bool, Vec<Party>)>,
}

impl Model {
    /// Takes away who can go on, over all parties, until nobody more can.
    fn stuck(&self) -> BTreeSet<Party> {
        let mut stuck: BTreeSet<Party> = self.waits.values().map(|(who, ..)| *who).collect();
        loop {
            let ends = |(_, is_any, on): &(Party, bool, Vec<Party>)| match is_any {
                true => on.iter().any(|it| !stuck.contains(it)),
                false => on.iter().all(|it| !stuck.contains(it)),
            };
            let can = |who: &Party| self.waits.values().any(|wait| wait.0 == *who && ends(wait));
            let Some(goes) = stuck.iter().copied().find(can) else { return stuck };
            stuck.remove(&goes);
        }
    }

    fn check_ring(&self, ring: &[Party], who: Party) -> Result<(), String> {
        let waits_for = |a: Party, b: Party| {
            self.waits.values().any(|(who, _, on)| *who == a && on.contains(&b))
        };
        let closed = ring.iter().zip(ring.iter().cycle().skip(1));
        let is_ring = closed.into_iter().all(|(a, b)| waits_for(*a, *b));
        let stuck = self.stuck();
        if ring.first() == Some(&who) && is_ring && ring.iter().all(|it| stuck.contains(it)) {
            return Ok(());
        }
        Err(format!("{ring:?} is no ring of {who}"))
    }
}

/// One random graph that grows and shrinks, in which each answer is as brute force says.
fn agrees(finder: &mut dyn Finder, dice: &mut Dice) -> Result<(), String> {
    let n_parties = dice.below(6) + 2;
    let parties: Vec<Party> =
        (0..n_parties).map(|number| Party::Turn { agent: AgentId::OUTSIDE, number }).collect();
    let mut model = Model::default();
    for _ in 0..dice.below(24) {
        let is_end = dice.below(4) == 0 && !model.waits.is_empty();
        if is_end {
            end_one(finder, &mut model, dice)?;
        } else {
            begin_one(finder, &mut model, &parties, dice)?;
        }
    }
    Ok(())
}

fn begin_one(
    finder: &mut dyn Finder,
    model: &mut Model,
    parties: &[Party],
    dice: &mut Dice,
) -> Result<(), String> {
    let who = dice.one_of(parties);
    let n_on = [1, 1, 1, 2, 3][dice.below(5) as usize];
    let on: Vec<Party> = (0..n_on).map(|_| dice.one_of(parties)).collect();
    let is_any = dice.below(2) == 0;
    let mut after = model.clone();
    after.waits.insert(u64::MAX, (who, is_any, on.clone()));
    let is_stuck = after.stuck().contains(&who);
    match (finder.begin(is_any, who, &on), is_stuck) {
        (Ok(id), false) => {
            model.waits.insert(id, (who, is_any, on));
            Ok(())
        }
        (Err(ring), true) => after.check_ring(&ring, who),
        (said, _) => Err(format!("{said:?}, but stuck is {is_stuck}: {:?}", after.waits)),
    }
}

fn end_one(finder: &mut dyn Finder, model: &mut Model, dice: &mut Dice) -> Result<(), String> {
    let numbers: Vec<u64> = model.waits.keys().copied().collect();
    let number = dice.one_of(&numbers);
    let (who, ..) = model.waits.remove(&number).expect("it is one of them");
    match (finder.end(number), model.stuck().contains(&who)) {
        (None, false) => Ok(()),
        (Some(ring), true) => {
            model.check_ring(&ring, who)?;
            // As whoever is told does: the waits that are left fail.
            let left = model.waits.iter().filter(|(_, wait)| wait.0 == who);
            let left: Vec<u64> = left.map(|(number, _)| *number).collect();
            for number in left {
                model.waits.remove(&number);
                let _ = finder.end(number);
            }
            Ok(())
        }
        (said, is_stuck) => Err(format!("at an end: {said:?}, but stuck is {is_stuck}")),
    }
}

/// The first of so many graphs in which the finder errs.
fn first_mistake(n: u64, make: impl Fn() -> Box<dyn Finder>) -> Option<String> {
    (0..n).find_map(|seed| {
        let found = agrees(&mut *make(), &mut Dice::new(seed)).err()?;
        Some(format!("seed {seed}: {found}"))
    })
}

#[test]
fn the_ring_finder_agrees_with_brute_force_on_random_graphs() {
    let mistake = first_mistake(cases(100_000), || Box::new(Real::default()));
    assert_eq!(mistake, None);
}

/// Takes a wait for any of several for a wait for all of them.
#[derive(Default)]
struct AllForAny(Real);
impl Finder for AllForAny {
    fn begin(&mut self, _: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>> {
        self.0.begin(false, who, on)
    }

    fn end(&mut self, wait: u64) -> Option<Vec<Party>> {
        self.0.end(wait)
    }
}

/// Looks at the first that a party waits for, and at no other.
#[derive(Default)]
struct FirstAlone(Real);
impl Finder for FirstAlone {
    fn begin(&mut self, is_any: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>> {
        self.0.begin(is_any, who, &on[..1])
    }

    fn end(&mut self, wait: u64) -> Option<Vec<Party>> {
        self.0.end(wait)
    }
}

/// Does not look again when a wait ends.
#[derive(Default)]
struct BlindAtTheEnd(Real);
impl Finder for BlindAtTheEnd {
    fn begin(&mut self, is_any: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>> {
        self.0.begin(is_any, who, on)
    }

    fn end(&mut self, wait: u64) -> Option<Vec<Party>> {
        let _ = self.0.end(wait);
        None
    }
}

/// Keeps waits that are over.
#[derive(Default)]
struct Forgetful(Real);
impl Finder for Forgetful {
    fn begin(&mut self, is_any: bool, who: Party, on: &[Party]) -> Result<u64, Vec<Party>> {
        self.0.begin(is_any, who, on)
    }

    fn end(&mut self, wait: u64) -> Option<Vec<Party>> {
        self.0.ids.remove(&wait);
        None
    }
}

#[test]
fn planted_mistakes_are_caught() {
    assert!(first_mistake(2_000, || Box::new(AllForAny::default())).is_some());
    assert!(first_mistake(2_000, || Box::new(FirstAlone::default())).is_some());
    assert!(first_mistake(2_000, || Box::new(BlindAtTheEnd::default())).is_some());
    assert!(first_mistake(2_000, || Box::new(Forgetful::default())).is_some());
}

#[test]
fn a_ring_of_asks_is_told_to_the_one_that_closes_it_whatever_its_length() {
    for length in 2..=50 {
        let agents: Vec<Party> = (0..length).map(|_| Party::Agent(AgentId::new())).collect();
        let mut graph = WaitGraph::new();
        for pair in agents.windows(2) {
            let _ = graph.begin(pair[0], [pair[1]]).expect("the ring is open");
        }
        let last = agents[length - 1];
        let ring = graph.begin(last, [agents[0]]).expect_err("it closes the ring");
        let expected: Vec<Party> =
            [last].into_iter().chain(agents[..length - 1].to_vec()).collect();
        assert_eq!(ring.parties(), expected);
        assert!(!graph.is_waiting(last), "the refused wait has not begun");
    }
}

#[test]
fn slots_budgets_and_people_take_part() {
    let [a, b] = [AgentId::new(), AgentId::new()].map(Party::Agent);
    let mut graph = WaitGraph::new();
    // Two slots, held by `a` and `b`: whoever waits for one can go on as long as one of them can.
    let _ = graph.begin_any(Party::Slots, [a, b]).expect("both work");
    let _ = graph.begin(a, [Party::Slots]).expect("b works");
    let person = Party::Approval(orch_core::ApprovalId::new());
    let approval = graph.begin(b, [person]).expect("a person decides");
    assert_eq!(graph.end(approval), None);
    let ring = graph.begin(b, [Party::Slots]).expect_err("nobody would give a slot back");
    assert_eq!(ring.parties(), [b, Party::Slots]);
    let budget = Party::Budget(orch_policy::budget::AccountName::Run);
    let _ = graph.begin_any(budget, [a]).expect("a holds a reservation");
    assert!(graph.begin(b, [budget]).is_err(), "a waits for b's slot");
}

#[test]
fn a_party_that_is_gone_keeps_nobody() {
    let [a, b] = [AgentId::new(), AgentId::new()].map(Party::Agent);
    let mut graph = WaitGraph::new();
    let _ = graph.begin(a, [b]).expect("b works");
    graph.forget(a);
    assert!(graph.begin(b, [a]).is_ok());
}

#[test]
fn a_long_ring_is_told_in_few_words() {
    let agents: Vec<Party> = (0..1_000).map(|_| Party::Agent(AgentId::new())).collect();
    let mut graph = WaitGraph::new();
    for pair in agents.windows(2) {
        let _ = graph.begin(pair[0], [pair[1]]).expect("the ring is open");
    }
    let text = graph.begin(agents[999], [agents[0]]).expect_err("it closes").to_string();
    assert!(text.contains("984 more → ") && text.len() < 1_000, "{text}");
}
