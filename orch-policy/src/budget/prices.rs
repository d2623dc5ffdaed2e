//! What tokens cost, so that a spend has a worst case in money.

use std::collections::BTreeMap;

use orch_core::Usage;
use serde::{Deserialize, Serialize};

use super::price_list;

/// What a model costs, in millionths of a US dollar for each million tokens: 3 USD a million are
/// 3,000,000 here, and 3 for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of tokens that are read.
    pub input: u64,
    /// Of tokens that are read from the provider's cache.
    pub cached_input: u64,
    /// Of tokens that are written.
    pub output: u64,
    /// Of tokens that are read and written into the provider's cache, if that costs more than
    /// reading them. [`Usage`] does not tell them apart, so only the worst case knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
}

impl Price {
    /// What costs nothing: a model on this machine, a function, a script.
    pub const FREE: Self = Self { input: 0, cached_input: 0, output: 0, cache_write: None };

    /// What is read, read from a cache, and written.
    #[must_use]
    pub const fn new(input: u64, cached_input: u64, output: u64) -> Self {
        Self { input, cached_input, output, cache_write: None }
    }

    /// The most that a call can cost which reads and writes so many tokens, rounded up.
    #[must_use]
    pub fn worst(&self, input_tokens: u64, output_tokens_max: u64) -> u64 {
        let dearest = self.input.max(self.cached_input).max(self.cache_write.unwrap_or(0));
        sum(&[(input_tokens, dearest), (output_tokens_max, self.output)])
    }

    /// What a usage cost: what its provider said, or else what its tokens cost, rounded up.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> u64 {
        if usage.cost_micro_usd > 0 {
            return usage.cost_micro_usd;
        }
        let cached = usage.cached_input_tokens;
        let fresh = usage.input_tokens.saturating_sub(cached);
        let output = (usage.output_tokens, self.output);
        sum(&[(fresh, self.input), (cached, self.cached_input), output])
    }
}

/// Tokens times their prices, as micro-dollars, rounded up once; the largest figure if it is larger.
fn sum(parts: &[(u64, u64)]) -> u64 {
    let product = |&(tokens, price): &(u64, u64)| u128::from(tokens) * u128::from(price);
    let all = parts.iter().map(product).try_fold(0_u128, u128::checked_add);
    all.map_or(u64::MAX, |all| u64::try_from(all.div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// Prices by model.
///
/// The list that comes with `orch` is data of one day: [`as_of`](Self::as_of). A price that has
/// changed since makes a ceiling in money wrong by as much; who relies on one gives the prices of
/// their contract with [`with`](Self::with).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    as_of: String,
    models: BTreeMap<String, Price>,
}

/// Nobody has said what a model costs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the price of model `{model}` is not known (the list is of {as_of}); add it to [prices]")]
pub struct UnknownPrice {
    /// The model.
    pub model: String,
    /// The day of the list.
    pub as_of: String,
}

impl Prices {
    /// No price at all, of a given day.
    #[must_use]
    pub fn none(as_of: impl Into<String>) -> Self {
        Self { as_of: as_of.into(), models: BTreeMap::new() }
    }

    /// The list that comes with `orch`.
    #[must_use]
    pub fn built_in() -> Self {
        let models = price_list::MODELS.iter().map(|(model, price)| ((*model).to_owned(), *price));
        Self { as_of: price_list::AS_OF.to_owned(), models: models.collect() }
    }

    /// Adds a price, or replaces it.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, price: Price) -> Self {
        self.models.insert(model.into(), price);
        self
    }

    /// The day of the list, as `2026-03-21`.
    #[must_use]
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// What a model costs. A name that ends in a date (`-20260115`, `-2026-01-15`) costs what the
    /// name without it costs, unless the list has it. Nothing else is guessed.
    ///
    /// # Errors
    ///
    /// [`UnknownPrice`] if the list has no such model.
    pub fn of(&self, model: &str) -> Result<Price, UnknownPrice> {
        let found = self.models.get(model).or_else(|| self.models.get(without_date(model)?));
        let unknown = || UnknownPrice { model: model.to_owned(), as_of: self.as_of.clone() };
        found.copied().ok_or_else(unknown)
    }
}

fn without_date(model: &str) -> Option<&str> {
    let is_date = |text: &str, form: &str| {
        let fits =
            |(it, shape): (u8, u8)| if shape == b'0' { it.is_ascii_digit() } else { it == shape };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    ["-00000000", "-0000-00-00"].into_iter().find_map(|form| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(form.len())?)?;
        is_date(date, form).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAR: Price = Price::new(3_000_000, 300_000, 15_000_000);

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            cost_micro_usd: 0,
        }
    }

    #[test]
    fn a_spend_is_rounded_up_once() {
        assert_eq!(DEAR.of(&usage(1, 1, 0)), 1);
        assert_eq!(DEAR.of(&usage(1_000, 400, 10)), 600 * 3 + 120 + 150);
        assert_eq!(Price::new(1, 1, 1).worst(1, 1), 1);
        assert_eq!(Price::FREE.worst(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn sums_that_are_too_large_are_the_largest_figure() {
        assert_eq!(Price::new(u64::MAX, 0, u64::MAX).worst(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(DEAR.worst(u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn no_usage_within_the_tokens_is_dearer_than_the_worst_case() {
        let odd = Price { cached_input: 4_000_000, cache_write: Some(3_750_000), ..DEAR };
        for price in [DEAR, odd, Price::FREE] {
            for (input, cached, output) in [(0, 0, 0), (10, 10, 10), (10, 3, 9), (9, 0, 10)] {
                assert!(price.of(&usage(input, cached, output)) <= price.worst(10, 10));
            }
        }
    }

    #[test]
    fn what_a_provider_says_it_cost_counts() {
        assert_eq!(DEAR.of(&Usage { cost_micro_usd: 7, ..usage(1_000_000, 0, 0) }), 7);
    }

    #[test]
    fn a_model_is_known_by_its_name_with_or_without_a_date_and_not_by_a_part_of_it() {
        let prices = Prices::none("2026-01-01").with("big", DEAR).with("big-20250101", Price::FREE);
        for (model, price) in [
            ("big", Some(DEAR)),
            ("big-20260301", Some(DEAR)),
            ("big-2026-03-01", Some(DEAR)),
            ("big-20250101", Some(Price::FREE)),
            ("big-mini", None),
            ("bigger", None),
            ("big-2026", None),
            ("", None),
            ("größe", None),
        ] {
            assert_eq!(prices.of(model).ok(), price, "{model}");
        }
        assert_eq!(
            prices.of("bigger").unwrap_err().to_string(),
            "the price of model `bigger` is not known (the list is of 2026-01-01); add it to [prices]"
        );
    }

    #[test]
    fn the_list_has_a_date_and_no_model_twice() {
        let prices = Prices::built_in();
        assert_eq!(prices.models.len(), price_list::MODELS.len());
        assert!(without_date(&format!("x-{}", prices.as_of())).is_some());
        let is_odd = |price: &Price| price.output < price.input || price.input < price.cached_input;
        assert!(!prices.models.values().any(is_odd));
    }
}
