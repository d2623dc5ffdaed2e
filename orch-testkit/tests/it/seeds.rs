//! Many seeds, and those that failed once.

use orch_testkit::simulate;

use crate::support::{for_each_seed, n_seeds, number};

/// Seeds that found something in the runtime once, and what; see also `stories`.
const FOUND_SOMETHING: &[u64] = &[
    52, 62, 95, // A retry was scheduled for an agent that had failed: the run never ended.
    25,
    49, // A letter waited for the closing of a session, and later messages were handed out before.
    638, 758, // A routed message was delivered, and a dead letter too, when the run was cut.
];

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("ORCH_SIM_SEED") {
        let report = simulate(seed);
        println!("{}", report.history);
        return report.assert_no_violation();
    }
    for_each_seed(n_seeds(), |seed| simulate(seed).assert_no_violation());
}

#[test]
fn seeds_that_found_something_once_find_nothing() {
    FOUND_SOMETHING.iter().for_each(|seed| simulate(*seed).assert_no_violation());
}

#[test]
fn the_same_seed_brings_the_same_history_about() {
    for_each_seed(n_seeds() / 10, |seed| {
        let (first, second) = (simulate(seed).history, simulate(seed).history);
        assert_eq!(first.hash(), second.hash(), "seed {seed} has two histories");
    });
    assert_ne!(simulate(1).history.hash(), simulate(2).history.hash());
}
