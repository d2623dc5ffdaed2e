//! Runs one check many times over random input: on the real thing, and on planted mistakes.

use std::cell::Cell;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

/// Whether the check holds for every input that was tried. The inputs are the same at every run;
/// `PROPTEST_CASES` adds more.
#[track_caller]
pub(crate) fn holds<S: Strategy>(input: S, check: impl Fn(&S::Value) -> Result<(), String>) {
    if let Err(found) = run(input, check) {
        panic!("{found}");
    }
}

/// Whether the check finds the planted mistake. A panic of the mistake itself is no finding.
#[track_caller]
pub(crate) fn is_caught<S: Strategy>(input: S, check: impl Fn(&S::Value) -> Result<(), String>) {
    let is_found = Cell::new(false);
    let _ = run(input, |value| check(value).inspect_err(|_| is_found.set(true)));
    assert!(is_found.get(), "the planted mistake was not found");
}

fn run<S: Strategy>(
    input: S,
    check: impl Fn(&S::Value) -> Result<(), String>,
) -> Result<(), TestError<S::Value>>
where
    S::Value: Debug,
{
    let config = Config::default();
    let cases = config.cases.max(1_000);
    let config = Config { cases, failure_persistence: None, ..config };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner.run(&input, |value| check(&value).map_err(TestCaseError::fail))
}
