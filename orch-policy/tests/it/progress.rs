//! Loops without progress are found whatever their length, and whoever changes something is left
//! alone.

use orch_core::AgentId;
use orch_policy::chain::{Loop, Path, Progress};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::planted::{holds, is_caught};

/// How many messages go by until so many equal laps were seen; `None` if they are not.
type Find = fn(&mut dyn Iterator<Item = u64>, u32) -> Option<(usize, Loop)>;

/// A number like a hash.
fn number(of: u64) -> u64 {
    let product = u128::from(of ^ 0x9e37_79b9_7f4a_7c15) * 0xd1b5_4a32_d192_ed03;
    product as u64 ^ (product >> 64) as u64
}

fn find(messages: &mut dyn Iterator<Item = u64>, laps: u32) -> Option<(usize, Loop)> {
    let mut progress = Progress::default();
    for (index, message) in messages.enumerate() {
        progress.step(number(message));
        if let Some(it) = progress.going_round().filter(|it| laps <= it.laps) {
            return Some((index + 1, it));
        }
    }
    None
}

/// Messages before a loop, and the messages of a lap.
fn a_loop() -> impl Strategy<Value = (usize, usize)> {
    (0..200_usize, prop_oneof![3 => 1..20_usize, 1 => 20..500_usize])
}

/// Every loop of messages that differ is found, with its length, soon enough.
fn finds_every_loop(find: Find, &(before, length): &(usize, usize)) -> Result<(), String> {
    const LAPS: u32 = 5;
    let first = 0..before as u64;
    let round = (0..).map(|n| 1_000_000 + n % length as u64);
    // The anchor lies behind what came before, is old enough for a lap, and is met again.
    let within = 4 * (before + length + 4) + (LAPS as usize + 1) * length;
    let found = find(&mut first.chain(round).take(within), LAPS);
    match found {
        Some((_, it)) if (it.length as usize).is_multiple_of(length) && it.laps == LAPS => Ok(()),
        found => Err(format!("{before} and then {length}: {found:?} within {within}")),
    }
}

#[test]
fn every_loop_is_found_whatever_its_length() {
    holds(a_loop(), |it| finds_every_loop(find, it));
}

#[test]
fn a_pairwise_guard_is_caught() {
    // What others do: two agents that send each other the same.
    let pairwise: Find = |messages, laps| {
        let all: Vec<u64> = messages.collect();
        let laps = laps as usize;
        let same = |from: usize| (from..from + 2 * laps).all(|at| all[at] == all[from + at % 2]);
        let at = (0..all.len().saturating_sub(2 * laps)).find(|from| same(*from))?;
        Some((at, Loop { laps: laps as u32, length: 2 }))
    };
    is_caught(a_loop(), |it| finds_every_loop(pairwise, it));
}

/// Whether no four messages in a row occur twice in a lap.
fn is_told_apart(lap: &[u64]) -> bool {
    let four = |at: usize| [0, 1, 2, 3].map(|n| lap[(at + n) % lap.len()]);
    (0..lap.len()).all(|at| (0..at).all(|before| four(before) != four(at)))
}

#[test]
fn loops_with_messages_that_occur_several_times_are_found() {
    let laps = vec(0..3_u64, 1..12).prop_filter("told apart", |lap| is_told_apart(lap));
    holds((0..30_usize, laps), |(before, lap)| {
        let first = (0..*before as u64).map(|n| 100 + n);
        let round = lap.iter().copied().cycle();
        let within = 16 * (before + lap.len() + 8);
        match find(&mut first.chain(round).take(within), 3) {
            Some(_) => Ok(()),
            None => Err(format!("{before} and then {lap:?} is not found within {within}")),
        }
    });
}

/// Reviewers that say the same again and again, to a draft that changes.
fn reviews() -> impl Strategy<Value = (usize, usize, usize)> {
    (1..6_usize, 0..6_usize, 2..60_usize)
}

fn spares_reviewers(
    find: Find,
    &(n_same, n_agents, rounds): &(usize, usize, usize),
) -> Result<(), String> {
    let messages = (0..rounds as u64).flat_map(|round| {
        let same = (0..n_same as u64).map(|n| 10 + n);
        let draft = (0..=n_agents as u64).map(move |n| 1_000 * (round + 1) + n);
        same.chain(draft)
    });
    match find(&mut messages.into_iter(), 2) {
        None => Ok(()),
        Some(found) => Err(format!("{n_same} and {n_agents}: {found:?}")),
    }
}

#[test]
fn a_loop_whose_artefact_changes_is_never_tripped() {
    holds(reviews(), |it| spares_reviewers(find, it));
}

#[test]
fn a_guard_that_counts_repeated_messages_is_caught() {
    let counts: Find = |messages, laps| {
        let mut seen = std::collections::HashMap::<u64, u32>::new();
        let mut is_again = |message| {
            let count = seen.entry(message).or_default();
            *count += 1;
            *count > laps
        };
        let at = messages.enumerate().find(|(_, message)| is_again(*message))?.0;
        Some((at, Loop { laps, length: 1 }))
    };
    is_caught(reviews(), |it| spares_reviewers(counts, it));
}

#[test]
fn a_path_without_a_loop_is_never_tripped() {
    holds(vec(0..1_000_000_u64, 0..300), |messages| {
        let mut distinct = messages.clone();
        distinct.sort_unstable();
        distinct.dedup();
        match find(&mut distinct.into_iter(), 2) {
            None => Ok(()),
            Some(found) => Err(format!("{found:?}")),
        }
    });
}

/// Hops until a path of agents that say the same is seen to go round so often.
fn hops_until(agents: usize, laps: u32, say: impl Fn(usize) -> String) -> Option<u64> {
    let agents: Vec<AgentId> = (0..agents).map(|_| AgentId::new()).collect();
    let mut path = Path::new(agents[0], "please do it");
    for hop in 1..1_000 {
        path = path.next(agents[hop % agents.len()], &say(hop));
        if path.going_round().is_some_and(|it| laps <= it.laps) {
            return Some(path.trail().hops());
        }
    }
    None
}

#[test]
fn politeness_loops_of_two_three_and_seven_agents_are_found() {
    // The figures of docs/guards.md.
    let found = [2, 3, 7].map(|agents| hops_until(agents, 5, |_| "thank you".to_owned()));
    assert_eq!(found, [Some(16), Some(21), Some(41)]);
}

#[test]
fn one_hundred_reviewer_loops_that_change_their_artefact_are_not() {
    for n in 0..100 {
        let say = |hop: usize| match hop % 2 {
            0 => "please improve it".to_owned(),
            _ => format!("draft {} of {n}", hop / 2),
        };
        assert_eq!(hops_until(2, 2, say), None);
    }
}
