//! Random runs of random flows, cut off between any two sets of a journal, and again and again: the flow
//! goes on where it was.

use std::collections::{BTreeMap, HashMap, HashSet};

use orch_runtime::{
    AgentId, AgentMessage, Content, DeadLetter, DeadLetterReason, LoopGuard, MessageId, Past,
    Router, Timestamp,
};

use crate::flow::{FlowAnswer, FlowKey, FlowSpec, Over, Split};
use crate::name::AgentName;
use crate::router::{FlowRouter, key_of};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }
}

fn name(text: &str) -> AgentName {
    AgentName::try_new(text).unwrap()
}

/// What a run is about.
struct Plan {
    spec: FlowSpec,
    inputs: Vec<Content>,
    /// One in so many messages is given up the first time that it is handled; 0 for none.
    failing: usize,
    /// One in so many messages finds no mailbox; 0 for none.
    refused: usize,
}

impl Plan {
    fn roll(dice: &mut Dice) -> Self {
        let inputs = (0..1 + dice.roll(4)).map(|n| format!("in{n}").into()).collect();
        let spec = match dice.roll(4) {
            0 => FlowSpec::pipe(vec![name("a"), name("b"), name("c")]),
            1 => FlowSpec::map(vec![name("a"), name("b")], Over::Inputs, Some(name("c"))),
            2 => {
                let over = Over::Agent { agent: name("c"), split: Split::Lines };
                FlowSpec::map(vec![name("a"), name("b")], over, Some(name("b")))
            }
            _ => FlowSpec::repeat(name("a"), name("b"), "OK", 5),
        };
        let spec = match dice.roll(3) {
            0 => spec.with_urgent(name("c"), "now", 1 + dice.roll(3) as u64),
            _ => spec,
        };
        let (failing, refused) = ([0, 0, 5][dice.roll(3)], [0, 0, 9][dice.roll(3)]);
        Self { spec, inputs, failing, refused }
    }
}

/// What outlives a process: the journal, and the agents' ids.
struct World {
    plan: Plan,
    agents: BTreeMap<AgentName, AgentId>,
    past: Vec<Past>,
    /// Accepted and not ended.
    live: Vec<AgentMessage>,
    letters: Vec<MessageId>,
    settled: HashSet<MessageId>,
    failed: HashMap<(FlowKey, Content), u32>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let agents = ["a", "b", "c"].map(|it| (name(it), AgentId::new())).into();
        let (past, live, letters) = (Vec::new(), Vec::new(), Vec::new());
        let (settled, failed) = (HashSet::new(), HashMap::new());
        Self { plan, agents, past, live, letters, settled, failed }
    }

    fn router(&self) -> FlowRouter {
        let guards = LoopGuard::unlimited();
        FlowRouter::new(&self.plan.spec, guards, self.agents.clone(), BTreeMap::new())
    }

    fn accept(&mut self, message: AgentMessage) {
        self.past.push(Past::Accepted(message.clone()));
        self.live.push(message);
    }

    /// A process that begins or goes on: some of what it sends first may not be accepted before it is
    /// cut off, which is the next call.
    fn take_up(&mut self, dice: &mut Dice) -> FlowRouter {
        self.recover(dice);
        let router = self.router();
        let missing = router.take_up(self.plan.inputs.clone(), self.past.clone()).unwrap();
        let n_accepted = dice.roll(missing.len() * 2 + 1);
        let all = missing.len() <= n_accepted;
        missing.into_iter().take(n_accepted).for_each(|message| self.accept(message));
        if all { router } else { self.take_up(dice) }
    }

    /// A message that killed its process in all its attempts is given up before there is a router.
    fn recover(&mut self, dice: &mut Dice) {
        if self.plan.failing > 0 && !self.live.is_empty() && dice.roll(6) == 0 {
            let message = self.live.remove(dice.roll(self.live.len()));
            self.past.push(Past::GivenUp(letter(&message, "exhausted")));
            self.letters.push(message.id());
        }
    }

    /// Handles a message, whichever is ready first; one set.
    fn handle(&mut self, router: &FlowRouter, dice: &mut Dice) {
        let message = self.live.remove(dice.roll(self.live.len()));
        let fails = self.fails(&message, dice);
        let mut end = match fails {
            true => Past::GivenUp(letter(&message, "broken")),
            false => Past::Settled { message: message.id(), output: output(&message) },
        };
        let mut said = match &mut end {
            Past::GivenUp(letter) => router.given_up(letter),
            Past::Settled { output, .. } => {
                assert!(self.settled.insert(message.id()), "{message:?} is handled once");
                router.settled(message.to(), &message, output.as_ref())
            }
            _ => unreachable!(),
        };
        let mut letters = Vec::new();
        while !said.is_empty() {
            let next = said.remove(0).caused_by(&message);
            if self.plan.refused > 0 && dice.roll(self.plan.refused) == 0 {
                let letter = letter(&next, "full");
                said.extend(router.given_up(&letter));
                letters.push(letter);
            } else {
                self.accept(next);
            }
        }
        self.past.extend(letters.into_iter().map(Past::GivenUp));
        self.past.push(end);
        if fails {
            self.letters.push(message.id());
        }
    }

    /// Whether this is given up: only the first time that this is said at this place.
    fn fails(&mut self, message: &AgentMessage, dice: &mut Dice) -> bool {
        let said = (key_of(message).unwrap(), message.content().clone());
        let n_before = self.failed.entry(said).or_default();
        let fails = *n_before == 0 && self.plan.failing > 0 && dice.roll(self.plan.failing) == 0;
        *n_before += 1;
        fails
    }

    /// An operator sends all dead letters again, before the next process.
    fn resend(&mut self) {
        for id in std::mem::take(&mut self.letters) {
            let message = self.past.iter().find_map(|it| match it {
                Past::Accepted(message) if message.id() == id => Some(message.clone()),
                _ => None,
            });
            self.past.push(Past::SentAgain(id));
            self.live.push(message.unwrap());
        }
    }

    /// Runs to the end, in processes of at most so many sets each.
    fn run(&mut self, sets_max: usize, dice: &mut Dice) -> FlowAnswer {
        loop {
            let router = self.take_up(dice);
            for _ in 0..dice.roll(sets_max) + 1 {
                if self.live.is_empty() {
                    return router.answer_so_far();
                }
                self.handle(&router, dice);
            }
        }
    }
}

fn letter(message: &AgentMessage, error: &str) -> DeadLetter {
    let reason = DeadLetterReason::Refused { error: error.to_owned() };
    DeadLetter::new(message.clone(), reason, Timestamp::now())
}

/// What agents answer: a function of what they are told.
fn output(message: &AgentMessage) -> Option<Content> {
    let text = match key_of(message).unwrap().to_string().split('.').collect::<Vec<_>>()[..] {
        ["list"] => "x\ny\nz".to_owned(),
        ["check", "4"] => "OK".to_owned(),
        _ => format!("<{}>", message.content().replace('\n', "|")),
    };
    Some(text.into())
}

/// The answer of a run that nobody cut off and in which nothing failed.
fn undisturbed(plan: &Plan) -> FlowAnswer {
    let (spec, inputs) = (plan.spec.clone(), plan.inputs.clone());
    let plan = Plan { spec, inputs, failing: 0, refused: 0 };
    World::new(plan).run(usize::MAX >> 1, &mut Dice(0))
}

fn n_cases() -> u64 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000)
}

#[test]
fn a_flow_that_is_cut_off_again_and_again_comes_to_the_answer_of_one_that_is_not() {
    for seed in 0..n_cases() {
        let mut dice = Dice(seed);
        let plan = Plan { failing: 0, refused: 0, ..Plan::roll(&mut dice) };
        let expected = undisturbed(&plan);
        assert!(!expected.partial, "{expected:?}");
        let found = World::new(plan).run(4, &mut dice);
        assert_eq!((found.content, found.partial), (expected.content, false), "seed {seed}");
    }
}

/// The answers of one process and of many are the same, whatever is given up on the way.
#[test]
fn what_was_given_up_is_given_up_after_a_restart_too() {
    for seed in 0..n_cases() {
        let mut dice = Dice(seed);
        let mut world = World::new(Plan::roll(&mut dice));
        let live = world.run(4, &mut dice);
        let again = world.router();
        assert_eq!(again.take_up(world.plan.inputs.clone(), world.past.clone()).unwrap(), []);
        assert_eq!(again.answer_so_far(), live, "seed {seed}");
        assert_eq!(again.progress().1, 0, "seed {seed}: nothing is open: {live:?}");
    }
}

#[test]
fn dead_letters_that_are_sent_again_make_the_answer_whole() {
    for seed in 0..n_cases() {
        let mut dice = Dice(seed);
        let plan = Plan { failing: 3, refused: 0, ..Plan::roll(&mut dice) };
        let expected = undisturbed(&plan);
        let mut world = World::new(plan);
        let mut found = world.run(4, &mut dice);
        while !world.letters.is_empty() {
            world.resend();
            // It is mended.
            world.plan.failing = 0;
            found = world.run(4, &mut dice);
        }
        assert_eq!((found.content, found.partial), (expected.content, false), "seed {seed}");
    }
}
