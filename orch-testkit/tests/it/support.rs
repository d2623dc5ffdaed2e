//! Which seeds are run, and how.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that every test run tries, unless `ORCH_SIM_SEEDS` says another number.
const SEEDS: u64 = 300;

/// How many seeds to run.
pub(crate) fn n_seeds() -> u64 {
    number("ORCH_SIM_SEEDS").unwrap_or(SEEDS)
}

/// The number in an environment variable; `None` if there is none.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

/// Calls `each` with all numbers below `n`, on as many threads as there are cores.
pub(crate) fn for_each_seed(n: u64, each: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= n {
                        return;
                    }
                    each(seed);
                }
            });
        }
    });
}
