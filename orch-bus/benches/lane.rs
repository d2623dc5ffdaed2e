//! What the `unsafe` of the lanes buys: linked lanes beside stacks that are turned round, and beside
//! `Mutex<[VecDeque; 4]>`, which needs none.
//!
//! `cargo run --release -p orch-bus --example lane [ROUNDS]`. The contenders are interleaved in each round, and
//! ratios are taken within a round, because the machine is shared and noisy; medians are printed.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

#[expect(dead_code, reason = "the lists of the crate, with more than a benchmark needs")]
#[path = "../src/lane.rs"]
mod lane;
#[expect(dead_code, reason = "lies in a lane, and is not measured")]
#[path = "../src/places.rs"]
mod places;
#[expect(dead_code, reason = "the lists of the crate, with more than a benchmark needs")]
#[path = "../src/stack.rs"]
mod stack;
#[expect(dead_code, unused_imports, reason = "the lists need little of it")]
#[path = "../src/sync.rs"]
mod sync;

use lane::{LANES, Lanes};
use stack::{Chain, Stack};

const LOW: usize = 0;
const CRITICAL: usize = 3;

/// As large as what lies in a lane.
type Message = [u64; 12];

/// Four lanes, somehow.
trait Queue: Sync {
    fn new() -> Self;
    fn push(&self, lane: usize, message: Message);
    /// The most urgent one.
    fn pop(&self) -> Option<Message>;
}

/// What the mailbox has.
struct Linked(Lanes<Message>);

impl Queue for Linked {
    fn new() -> Self {
        Self(Lanes::new())
    }

    fn push(&self, lane: usize, message: Message) {
        self.0.push(lane, message).expect("it is open");
    }

    fn pop(&self) -> Option<Message> {
        let mut turn = self.0.take_turn();
        (0..LANES).rev().find_map(|lane| turn.take(lane)).map(lane::Taken::into_value)
    }
}

/// What it had before: the receiver takes a whole stack and turns it round.
struct Turned {
    stacks: [Stack<Message>; LANES],
    turned: Mutex<[Chain<Message>; LANES]>,
}

impl Queue for Turned {
    fn new() -> Self {
        let stacks = [(); LANES].map(|()| Stack::new_closed());
        stacks.iter().for_each(Stack::open);
        Self { stacks, turned: Mutex::new([(); LANES].map(|()| Chain::new())) }
    }

    fn push(&self, lane: usize, message: Message) {
        self.stacks[lane].push(message).expect("it is open");
    }

    fn pop(&self) -> Option<Message> {
        let mut turned = self.turned.lock().expect("nobody panics");
        (0..LANES).rev().find_map(|lane| {
            turned[lane].pop_front().or_else(|| {
                turned[lane] = self.stacks[lane].take();
                turned[lane].pop_front()
            })
        })
    }
}

/// What needs no `unsafe`: a sender that is stopped stops all.
struct Locked(Mutex<[VecDeque<Message>; LANES]>);

impl Queue for Locked {
    fn new() -> Self {
        Self(Mutex::new([(); LANES].map(|()| VecDeque::new())))
    }

    fn push(&self, lane: usize, message: Message) {
        self.0.lock().expect("nobody panics")[lane].push_back(message);
    }

    fn pop(&self) -> Option<Message> {
        self.0.lock().expect("nobody panics").iter_mut().rev().find_map(VecDeque::pop_front)
    }
}

/// Every figure is of one message.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    linked: fn() -> Duration,
    turned: fn() -> Duration,
    locked: fn() -> Duration,
}

macro_rules! scenario {
    ($name:literal, $run:ident) => {
        Scenario {
            name: $name,
            linked: $run::<Linked>,
            turned: $run::<Turned>,
            locked: $run::<Locked>,
        }
    };
}

const SCENARIOS: [Scenario; 7] = [
    scenario!("push and pop in turns, one thread", in_turns),
    scenario!("1 sender, 1 receiver", one_to_one),
    scenario!("4 senders, 1 receiver", four_to_one),
    scenario!("1M in one lane, drained", drain),
    scenario!("the slowest pop of that drain", slowest_of_a_drain),
    scenario!("first Critical behind 1M Low", first_critical),
    scenario!("further ones, and Low between", further_critical),
];

fn main() {
    let rounds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(15);
    println!(
        "{rounds} rounds; medians in ns; ratios of linked lanes to the others, with quartiles"
    );
    for scenario in SCENARIOS {
        report(scenario, rounds);
    }
}

fn report(scenario: Scenario, rounds: usize) {
    let contenders = [scenario.linked, scenario.turned, scenario.locked];
    let mut took = [(); 3].map(|()| Vec::new());
    for round in 0..rounds {
        for n in 0..3 {
            // Each is first as often as the others.
            let n = (n + round) % 3;
            took[n].push(contenders[n]().as_secs_f64() * 1e9);
        }
    }
    let ratios = |other: &[f64]| {
        let ratios = took[0].iter().zip(other).map(|(linked, other)| linked / other);
        let [low, median, high] = quartiles(ratios.collect());
        format!("{median:.2} ({low:.2} to {high:.2})")
    };
    let [linked, turned, locked] = took.each_ref().map(|it| quartiles(it.clone())[1]);
    println!(
        "{:<36} linked {linked:>9.0}  turned {turned:>11.0}: {:<22}  locked {locked:>9.0}: {}",
        scenario.name,
        ratios(&took[1]),
        ratios(&took[2]),
    );
}

fn quartiles(mut all: Vec<f64>) -> [f64; 3] {
    all.sort_by(f64::total_cmp);
    [1, 2, 3].map(|n| all[all.len() * n / 4])
}

fn pop_one(queue: &impl Queue) {
    assert!(black_box(queue.pop()).is_some());
}

fn message(n: u64) -> Message {
    black_box([n; 12])
}

fn timed(n: u32, f: impl FnOnce()) -> Duration {
    let started = Instant::now();
    f();
    started.elapsed() / n
}

fn in_turns<Q: Queue>() -> Duration {
    const N: u32 = 500_000;
    let queue = Q::new();
    timed(N, || {
        for n in 0..N {
            queue.push((n % 4) as usize, message(n.into()));
            pop_one(&queue);
        }
    })
}

fn one_to_one<Q: Queue>() -> Duration {
    between_threads::<Q>(1)
}

fn four_to_one<Q: Queue>() -> Duration {
    between_threads::<Q>(4)
}

fn between_threads<Q: Queue>(senders: u32) -> Duration {
    const N: u32 = 400_000;
    let queue = Q::new();
    let started = std::sync::Barrier::new(senders as usize + 1);
    thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                started.wait();
                for n in 0..N / senders {
                    queue.push((n % 4) as usize, message(n.into()));
                }
            });
        }
        started.wait();
        timed(N, || {
            let mut n_left = N;
            while n_left != 0 {
                match black_box(queue.pop()) {
                    Some(_) => n_left -= 1,
                    None => thread::yield_now(),
                }
            }
        })
    })
}

const BACKLOG: u32 = 1_000_000;

fn with_backlog<Q: Queue>() -> Q {
    let queue = Q::new();
    (0..BACKLOG).for_each(|n| queue.push(LOW, message(n.into())));
    queue
}

fn drain<Q: Queue>() -> Duration {
    let queue: Q = with_backlog();
    timed(BACKLOG, || while black_box(queue.pop()).is_some() {})
}

fn slowest_of_a_drain<Q: Queue>() -> Duration {
    let queue: Q = with_backlog();
    // The first ones, where a stall would be; later ones are stopped by the system now and then.
    (0..100).map(|_| timed(1, || pop_one(&queue))).max().unwrap_or_default()
}

fn first_critical<Q: Queue>() -> Duration {
    let queue: Q = with_backlog();
    queue.push(CRITICAL, message(1));
    timed(1, || pop_one(&queue))
}

/// The middle one of some, each with a Low received before.
fn further_critical<Q: Queue>() -> Duration {
    let queue: Q = with_backlog();
    let mut took: Vec<_> = (0..101)
        .map(|n| {
            timed(2, || {
                pop_one(&queue);
                queue.push(CRITICAL, message(n));
                pop_one(&queue);
            })
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}
