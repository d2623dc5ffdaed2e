//! Nothing overshoots by one: random schedules of spends over trees of accounts, against a model, and
//! against a meter as a provider keeps it.

use std::collections::BTreeMap;

use orch_core::{AgentId, Timestamp};
use orch_policy::budget::{
    AccountName, Amounts, Ledger, LedgerState, Limits, OwnLimits, Payer, Prices, Purse,
    Reservation, Settled, Spend, Unit, UnitSet, Why,
};

use crate::dice::{Dice, cases};

/// The units of the schedules; one of each way to add up.
const UNITS: [Unit; 3] = [Unit::Tokens, Unit::MicroUsd, Unit::Children];

/// A family of agents below one run. Account 0 is the run's; each other one is the subtree of an
/// agent, and its parent stands before it.
#[derive(Clone, Debug)]
struct Tree {
    parents: Vec<usize>,
    limits: Vec<[u64; 3]>,
}

impl Tree {
    fn random(dice: &mut Dice) -> Self {
        let n = dice.below(5) as usize + 1;
        let parents = (0..n).map(|at| dice.below(at as u64) as usize).collect();
        let mut limit = || [4, 9, 20, u64::MAX][dice.below(4) as usize];
        let limits = (0..n).map(|_| [limit(), limit(), limit()]).collect();
        Self { parents, limits }
    }

    /// The accounts that a spend of this agent is charged to.
    fn charged(&self, agent: usize) -> Vec<usize> {
        let above = |at: &usize| (*at > 0).then(|| self.parents[*at]);
        std::iter::successors(Some(agent), above).collect()
    }

    fn limits(&self, account: usize) -> Limits {
        let each = UNITS.iter().zip(self.limits[account]);
        each.fold(Limits::none(), |limits, (unit, limit)| limits.with(*unit, limit))
    }
}

/// What is tested: a ledger, or a mistaken one.
trait Books {
    fn reserve(&mut self, charged: &[usize], asked: [u64; 3]) -> Option<u64>;
    /// Settles at what it came to, or without a word.
    fn settle(&mut self, id: u64, actual: Option<[u64; 3]>);
    /// Is killed, and comes back from what a journal kept.
    fn restart(&mut self);
    /// What is spent and reserved of one unit in one account.
    fn stands(&self, account: usize, unit: usize) -> (u64, u64);
}

struct Real {
    tree: Tree,
    ledger: Ledger,
    open: BTreeMap<u64, Reservation>,
    reserved: u64,
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn amounts(of: [u64; 3]) -> Amounts {
    UNITS.iter().zip(of).fold(Amounts::ZERO, |all, (unit, amount)| all.with(*unit, amount))
}

fn name(account: usize) -> AccountName {
    let uuid = AgentId::OUTSIDE.as_uuid();
    let agent = AgentId::from_uuid(format!("{account:0>32}").parse().unwrap_or(uuid));
    if account == 0 { AccountName::Run } else { AccountName::Subtree(agent) }
}

impl Real {
    fn new(tree: Tree) -> Self {
        Self { tree, ledger: Ledger::new(), open: BTreeMap::new(), reserved: 0 }
    }

    fn account(&self, at: usize) -> std::sync::Arc<orch_policy::budget::Account> {
        self.ledger.open(name(at), self.tree.limits(at), NOW)
    }
}

impl Books for Real {
    fn reserve(&mut self, charged: &[usize], asked: [u64; 3]) -> Option<u64> {
        let purse = Purse::of(charged.iter().map(|at| self.account(*at)));
        let reservation = purse.reserve(NOW, amounts(asked)).ok()?;
        self.reserved += 1;
        self.open.insert(self.reserved, reservation);
        Some(self.reserved)
    }

    fn settle(&mut self, id: u64, actual: Option<[u64; 3]>) {
        let reservation = self.open.remove(&id).expect("it is open");
        match actual {
            Some(actual) => drop(reservation.settle(&amounts(actual))),
            None => drop(reservation),
        }
    }

    fn restart(&mut self) {
        let json = serde_json::to_string(&self.ledger.export()).expect("a ledger is JSON");
        // Those in flight die with the process, and say nothing to the new ledger.
        self.ledger = Ledger::new();
        self.open.clear();
        let state: LedgerState = serde_json::from_str(&json).expect("the JSON is a ledger");
        self.ledger.import(state);
    }

    fn stands(&self, account: usize, unit: usize) -> (u64, u64) {
        let balance = self.account(account).balance();
        (balance.spent.get(UNITS[unit]), balance.reserved.get(UNITS[unit]))
    }
}

/// What the world has seen: the spends that were made, whoever kept books of them.
#[derive(Default)]
struct Meter {
    /// In flight, by id.
    flying: BTreeMap<u64, Flight>,
    /// By account.
    spent: Vec<[u64; 3]>,
}

struct Flight {
    charged: Vec<usize>,
    asked: [u64; 3],
    /// What it will come to.
    cost: [u64; 3],
}

impl Meter {
    /// Levels go up by what flies alone.
    fn figure(&self, account: usize, unit: usize) -> u64 {
        let flies = self.flying.values().filter(|it| it.charged.contains(&account));
        let worst: u64 = flies.map(|it| it.asked[unit]).sum();
        worst + if UNITS[unit] == Unit::Children { 0 } else { self.spent[account][unit] }
    }

    fn land(&mut self, id: u64, cost: Option<[u64; 3]>) {
        let Flight { charged, asked, .. } = self.flying.remove(&id).expect("it flies");
        for account in charged {
            for unit in 0..UNITS.len() {
                self.spent[account][unit] += cost.unwrap_or(asked)[unit];
            }
        }
    }
}

/// Spawns, sends, failures, retries and timeouts come down to this: spends begin, by agents anywhere
/// in the tree; they end, cheaper than feared; they fail before anything was spent and are tried
/// again; whoever made them vanishes; the process is killed.
fn runs(make: &dyn Fn(Tree) -> Box<dyn Books>, seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let tree = Tree::random(&mut dice);
    let mut books = make(tree.clone());
    let mut meter = Meter { spent: vec![[0; 3]; tree.parents.len()], ..Meter::default() };
    for step in 0..dice.below(30) {
        one_step(&tree, &mut *books, &mut meter, &mut dice)?;
        for account in 0..tree.parents.len() {
            for unit in 0..UNITS.len() {
                let figure = meter.figure(account, unit);
                let (limit, stands) = (tree.limits[account][unit], books.stands(account, unit));
                if figure > limit {
                    return Err(format!("step {step}: {figure} of {limit} in account {account}"));
                }
                if stands.0 + stands.1 != figure {
                    return Err(format!("step {step}: {stands:?} in the books, {figure} in fact"));
                }
            }
        }
    }
    Ok(())
}

fn one_step(
    tree: &Tree,
    books: &mut dyn Books,
    meter: &mut Meter,
    dice: &mut Dice,
) -> Result<(), String> {
    let flying: Vec<u64> = meter.flying.keys().copied().collect();
    match dice.below(20) {
        0 => {
            books.restart();
            // Nobody heard of them again, so they count in full; what they held is gone with them.
            flying.into_iter().for_each(|id| meter.land(id, None));
        }
        1..=8 if !flying.is_empty() => {
            let id = dice.one_of(&flying);
            let cost = match dice.below(4) {
                0 => None,
                1 => Some([0; 3]),
                _ => Some(meter.flying[&id].cost),
            };
            books.settle(id, cost);
            meter.land(id, cost);
        }
        _ => {
            let asked = [dice.below(6), dice.below(6), dice.below(3)];
            let cost = asked.map(|it| dice.below(it + 1));
            let charged = tree.charged(dice.below(tree.parents.len() as u64) as usize);
            let fits = charged.iter().all(|at| {
                (0..UNITS.len()).all(|unit| {
                    asked[unit] == 0
                        || meter.figure(*at, unit) + asked[unit] <= tree.limits[*at][unit]
                })
            });
            match (books.reserve(&charged, asked), fits) {
                (Some(id), _) => drop(meter.flying.insert(id, Flight { charged, asked, cost })),
                (None, true) => return Err(format!("{asked:?} was refused and fits")),
                (None, false) => {}
            }
        }
    }
    Ok(())
}

fn first_mistake(n: u64, make: &dyn Fn(Tree) -> Box<dyn Books>) -> Option<String> {
    (0..n).find_map(|seed| Some(format!("seed {seed}: {}", runs(make, seed).err()?)))
}

#[test]
fn no_account_overshoots_by_one_and_nothing_is_refused_that_fits() {
    let mistake = first_mistake(cases(100_000), &|tree| Box::new(Real::new(tree)));
    assert_eq!(mistake, None);
}

/// A ledger with a mistake: one function of [`Real`] is another.
struct Mistaken {
    real: Real,
    mistake: Mistake,
}

#[derive(Clone, Copy, Debug)]
enum Mistake {
    /// Gives a reservation back that was dropped.
    ForgetsDropped,
    /// Charges the agent, and not those above it.
    ChargesTheAgentAlone,
    /// Forgets what was reserved when the process was killed.
    ForgetsAtRestart,
    /// Lets one more through.
    OneTooMany,
}

impl Books for Mistaken {
    fn reserve(&mut self, charged: &[usize], asked: [u64; 3]) -> Option<u64> {
        match self.mistake {
            Mistake::ChargesTheAgentAlone => self.real.reserve(&charged[..1], asked),
            Mistake::OneTooMany => {
                let less = [asked[0].saturating_sub(1), asked[1], asked[2]];
                self.real.reserve(charged, less)
            }
            _ => self.real.reserve(charged, asked),
        }
    }

    fn settle(&mut self, id: u64, actual: Option<[u64; 3]>) {
        let actual = match self.mistake {
            Mistake::ForgetsDropped => Some(actual.unwrap_or_default()),
            _ => actual,
        };
        self.real.settle(id, actual);
    }

    fn restart(&mut self) {
        if let Mistake::ForgetsAtRestart = self.mistake {
            let open = std::mem::take(&mut self.real.open);
            open.into_values().for_each(Reservation::release);
        }
        self.real.restart();
    }

    fn stands(&self, account: usize, unit: usize) -> (u64, u64) {
        self.real.stands(account, unit)
    }
}

/// What others do: what was spent is looked at, and what is being spent is not.
struct Snapshot {
    tree: Tree,
    spent: Vec<[u64; 3]>,
    open: BTreeMap<u64, (Vec<usize>, [u64; 3])>,
    reserved: u64,
}

impl Books for Snapshot {
    fn reserve(&mut self, charged: &[usize], asked: [u64; 3]) -> Option<u64> {
        let limits = &self.tree.limits;
        let fits = |at: &usize| (0..3).all(|it| self.spent[*at][it] + asked[it] <= limits[*at][it]);
        charged.iter().all(fits).then(|| {
            self.reserved += 1;
            self.open.insert(self.reserved, (charged.to_vec(), asked));
            self.reserved
        })
    }

    fn settle(&mut self, id: u64, actual: Option<[u64; 3]>) {
        let (charged, asked) = self.open.remove(&id).expect("it is open");
        for at in charged {
            (0..2).for_each(|unit| self.spent[at][unit] += actual.unwrap_or(asked)[unit]);
        }
    }

    fn restart(&mut self) {
        let open: Vec<u64> = self.open.keys().copied().collect();
        open.into_iter().for_each(|id| self.settle(id, None));
    }

    fn stands(&self, account: usize, unit: usize) -> (u64, u64) {
        let flies = self.open.values().filter(|(charged, _)| charged.contains(&account));
        (self.spent[account][unit], flies.map(|(_, asked)| asked[unit]).sum())
    }
}

#[test]
fn planted_mistakes_are_caught() {
    for mistake in [
        Mistake::ForgetsDropped,
        Mistake::ChargesTheAgentAlone,
        Mistake::ForgetsAtRestart,
        Mistake::OneTooMany,
    ] {
        let make =
            |tree| -> Box<dyn Books> { Box::new(Mistaken { real: Real::new(tree), mistake }) };
        assert!(first_mistake(2_000, &make).is_some(), "{mistake:?} was not found");
    }
}

#[test]
fn a_ledger_that_counts_after_the_spend_is_caught() {
    let found = first_mistake(2_000, &|tree| {
        let spent = vec![[0; 3]; tree.parents.len()];
        Box::new(Snapshot { tree, spent, open: BTreeMap::new(), reserved: 0 })
    });
    assert!(found.as_ref().is_some_and(|found| found.contains(" in account ")), "{found:?}");
}

#[test]
fn an_account_that_comes_twice_is_charged_once() {
    let account = Ledger::new().open(AccountName::Run, Limits::none().with(Unit::Tokens, 10), NOW);
    let purse = Purse::of([account.clone(), account]);
    assert!(purse.reserve(NOW, Amounts::of(Unit::Tokens, 10)).is_ok());
}

#[test]
fn sixty_four_children_on_one_ceiling_spend_no_micro_dollar_more() {
    let ledger = Ledger::new();
    let limits = Limits::none().with(Unit::MicroUsd, 1_000);
    let run = Payer::run(&ledger, limits, NOW);
    let meter = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for child in 0..64_u64 {
            let payer = run.child(&ledger, AgentId::new(), OwnLimits::default(), NOW);
            let (meter, purse) = (&meter, payer.purse(None));
            scope.spawn(move || {
                for call in 0..20 {
                    let worst = 1 + (child + call) % 7;
                    let asked = Amounts::of(Unit::MicroUsd, worst);
                    let Ok(reservation) = purse.reserve(NOW, asked) else { continue };
                    let cost = worst / 2;
                    meter.fetch_add(cost, std::sync::atomic::Ordering::Relaxed);
                    let settled = reservation.settle(&Amounts::of(Unit::MicroUsd, cost));
                    assert_eq!(settled, Settled::default());
                }
            });
        }
    });
    let spent = ledger.open(AccountName::Run, limits, NOW).balance().spent.get(Unit::MicroUsd);
    assert_eq!(spent, meter.into_inner());
    assert!((990..=1_000).contains(&spent), "{spent}");
}

#[test]
fn what_comes_to_more_than_its_worst_case_is_booked_and_said() {
    let ledger = Ledger::new();
    let limits = Limits::none().with(Unit::Tokens, 100);
    let payer = Payer::run(&ledger, limits, NOW);
    let agent = AgentId::new();
    let child = payer.child(&ledger, agent, OwnLimits::default(), NOW);
    let reservation = child.purse(None).reserve(NOW, Amounts::of(Unit::Tokens, 90)).expect("fits");
    let settled = reservation.settle(&Amounts::of(Unit::Tokens, 130));
    let [overrun] = &settled.overruns[..] else { panic!("{settled:?}") };
    assert_eq!((overrun.unit, overrun.reserved, overrun.actual), (Unit::Tokens, 90, 130));
    assert_eq!(overrun.above, [AccountName::Run]);
    let balance = ledger.open(AccountName::Run, limits, NOW).balance();
    assert_eq!((balance.spent.get(Unit::Tokens), balance.overrun.get(Unit::Tokens)), (130, 40));
    let refusal = child.purse(None).reserve(NOW, Amounts::of(Unit::Tokens, 1)).expect_err("above");
    assert!(!refusal.is_transient());
}

#[test]
fn an_unknown_price_is_refused_where_money_is_limited_and_marked_where_it_is_not() {
    let ledger = Ledger::new();
    assert!(Prices::built_in().of("a-model-of-tomorrow").is_err());
    let spend = Spend::from(Amounts::of(Unit::Tokens, 5)).with_unknown(Unit::MicroUsd);
    let agent = AgentId::new();
    let limited = OwnLimits { agent: Limits::none().with(Unit::MicroUsd, 5), ..Default::default() };
    let run = Payer::run(&ledger, Limits::none(), NOW);
    let refusal = run
        .child(&ledger, agent, limited, NOW)
        .purse(None)
        .reserve(NOW, spend)
        .expect_err("unknown");
    assert_eq!((refusal.account, refusal.why), (AccountName::Agent(agent), Why::Unknown));
    let granted = run.purse(None).reserve(NOW, spend).expect("money is not limited");
    drop(granted.settle(&Amounts::of(Unit::Tokens, 5)));
    let balance = ledger.open(AccountName::Run, Limits::none(), NOW).balance();
    assert_eq!(balance.unknown, UnitSet::EMPTY.with(Unit::MicroUsd));
}

#[test]
fn a_grandchild_is_charged_to_every_family_above_it_once() {
    let ledger = Ledger::new();
    let [parent, child] = [AgentId::new(), AgentId::new()];
    let subtree = |tokens| OwnLimits {
        subtree: Limits::none().with(Unit::Tokens, tokens),
        ..OwnLimits::default()
    };
    let run = Payer::run(&ledger, Limits::none(), NOW);
    let above = run.child(&ledger, parent, subtree(10), NOW);
    let below = above.child(&ledger, child, subtree(8), NOW);
    let spend = Amounts::of(Unit::Tokens, 6);
    drop(below.purse(None).reserve(NOW, spend).expect("fits").settle(&spend));
    let refusal = below.purse(None).reserve(NOW, Amounts::of(Unit::Tokens, 3)).expect_err("family");
    assert_eq!(refusal.account, AccountName::Subtree(child));
    let refusal = above.purse(None).reserve(NOW, Amounts::of(Unit::Tokens, 5)).expect_err("family");
    assert_eq!((refusal.account, refusal.spent), (AccountName::Subtree(parent), 6));
    let own = |name| ledger.open(name, Limits::none(), NOW).balance().spent.get(Unit::Tokens);
    assert_eq!([own(AccountName::Run), own(AccountName::Agent(parent))], [6, 0]);
}

#[test]
fn an_agent_that_is_forgotten_leaves_what_it_spent_to_those_above() {
    let ledger = Ledger::new();
    let run = Payer::run(&ledger, Limits::none(), NOW);
    for _ in 0..1_000 {
        let agent = AgentId::new();
        let purse = run.child(&ledger, agent, OwnLimits::default(), NOW).purse(None);
        drop(purse.reserve(NOW, Amounts::of(Unit::Tokens, 1)));
        drop(purse);
        ledger.forget(AccountName::Agent(agent));
    }
    let accounts = ledger.accounts();
    let [account] = &accounts[..] else { panic!("{} accounts", accounts.len()) };
    assert_eq!(account.balance().spent.get(Unit::Tokens), 1_000);
}
