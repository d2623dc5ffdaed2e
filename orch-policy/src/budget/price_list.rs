//! The prices that come with `orch`: public list prices of one day.
//!
//! A constant and not a file: it cannot be missing or malformed at run time, and whoever has other
//! prices gives them in their team file. Left out is what one figure cannot say (a surcharge on long
//! contexts, a discount for batches) and what public lists did not agree on.

use super::Price;

/// The day on which the list was put together.
pub(super) const AS_OF: &str = "2026-03-21";

/// In millionths of a US dollar for each million tokens: what is read, read from a cache, written.
pub(super) const MODELS: &[(&str, Price)] = &[
    ("claude-haiku-4-5", cached(1_000_000, 100_000, 5_000_000)),
    ("claude-opus-4-1", cached(15_000_000, 1_500_000, 75_000_000)),
    ("claude-opus-4-5", cached(5_000_000, 500_000, 25_000_000)),
    ("claude-opus-4-6", cached(5_000_000, 500_000, 25_000_000)),
    ("claude-sonnet-4-6", cached(3_000_000, 300_000, 15_000_000)),
    ("gpt-4.1", Price::new(2_000_000, 500_000, 8_000_000)),
    ("gpt-4.1-mini", Price::new(400_000, 100_000, 1_600_000)),
    ("gpt-4o", Price::new(2_500_000, 1_250_000, 10_000_000)),
    ("gpt-4o-mini", Price::new(150_000, 75_000, 600_000)),
    ("gpt-5", Price::new(1_250_000, 125_000, 10_000_000)),
    ("gpt-5.1", Price::new(1_250_000, 125_000, 10_000_000)),
    ("o4-mini", Price::new(1_100_000, 275_000, 4_400_000)),
];

/// Of a provider who charges twice the price of reading for what is written into its cache for an
/// hour.
const fn cached(input: u64, cached_input: u64, output: u64) -> Price {
    Price { cache_write: Some(2 * input), ..Price::new(input, cached_input, output) }
}
