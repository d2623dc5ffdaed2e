//! The order of a run: every round has all scenarios, every scenario its contenders in an order of
//! its own, so that whatever disturbs the machine for a while disturbs all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use orch_core::Timestamp;

use super::machine::Machine;
use super::options::Options;
use super::results::{Cell, Results, Round};
use super::{cell, load};
use crate::contenders::Contender;

/// How long one round waits for others to become quiet, in all.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(options: &Options, machine: Machine) -> Result<Results> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let (scenarios, contenders) = (options.scenarios(), options.contenders()?);
    let mut random = Random(Timestamp::now().as_millis());
    let (rounds, cells) = (Vec::new(), Vec::new());
    let mut results = Results { machine, rounds, cells, ours: options.ours.clone() };
    for round in 1..=options.rounds {
        let mut budget = if options.no_wait { Duration::ZERO } else { WAIT_MAX };
        for &scenario in &scenarios {
            let others = load::wait_for_quiet(&mut budget);
            let is_noisy = load::is_noisy(others);
            results.rounds.push(Round { scenario, round, others, is_noisy });
            let mut order: Vec<&Contender> =
                contenders.iter().filter(|it| it.can(scenario)).collect();
            random.shuffle(&mut order);
            let noise =
                if is_noisy { format!(", others use {others:.1} cores") } else { String::new() };
            eprintln!("round {round} of {}: {}{noise}", options.rounds, scenario.name());
            for contender in order {
                let outcome = cell::in_child(&program, scenario, contender.name);
                if let Err(error) = &outcome {
                    eprintln!("{} failed: {error}", contender.name);
                }
                results.cells.push(Cell { scenario, contender: contender.name, round, outcome });
            }
        }
    }
    ensure!(!results.cells.is_empty(), "none of these contenders can express these scenarios");
    Ok(results)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let at = self.next() % (end as u64 + 1);
            items.swap(end, at as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_all_and_brings_each_to_the_front() {
        let mut random = Random(1);
        let mut fronts = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3, 4, 5];
            random.shuffle(&mut items);
            fronts.insert(items[0]);
            items.sort_unstable();
            assert_eq!(items, [1, 2, 3, 4, 5]);
        }
        assert_eq!(fronts.len(), 5);
    }
}
