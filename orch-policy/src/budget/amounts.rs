//! Amounts of each unit, and limits on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Unit, UnitSet};

/// An amount of each unit, 0 where nothing is said. In JSON an object without the zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Unit, u64>", into = "BTreeMap<Unit, u64>")]
pub struct Amounts([u64; Unit::COUNT]);

impl Amounts {
    /// Nothing of anything.
    pub const ZERO: Self = Self([0; Unit::COUNT]);

    /// So much of one unit.
    #[must_use]
    pub const fn of(unit: Unit, amount: u64) -> Self {
        Self::ZERO.with(unit, amount)
    }

    /// These amounts with another one of `unit`.
    #[must_use]
    pub const fn with(mut self, unit: Unit, amount: u64) -> Self {
        self.0[unit.index()] = amount;
        self
    }

    /// How much of one unit.
    #[must_use]
    pub const fn get(&self, unit: Unit) -> u64 {
        self.0[unit.index()]
    }

    /// The units of which there is any.
    #[must_use]
    pub fn units(&self) -> UnitSet {
        let bit = |(index, amount): (usize, &u64)| u16::from(*amount > 0) << index;
        UnitSet::from_bits(self.0.iter().enumerate().map(bit).fold(0, |all, bit| all | bit))
    }

    pub(crate) const fn set(&mut self, unit: Unit, amount: u64) {
        self.0[unit.index()] = amount;
    }
}

impl From<BTreeMap<Unit, u64>> for Amounts {
    fn from(amounts: BTreeMap<Unit, u64>) -> Self {
        amounts.into_iter().fold(Self::ZERO, |all, (unit, amount)| all.with(unit, amount))
    }
}

impl From<Amounts> for BTreeMap<Unit, u64> {
    fn from(amounts: Amounts) -> Self {
        amounts.units().iter().map(|unit| (unit, amounts.get(unit))).collect()
    }
}

/// The most there may be of each unit; no limit where nothing is said. In JSON an object of the
/// limits alone.
///
/// A limit of `u64::MAX` is none: nothing can be counted beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Unit, u64>", into = "BTreeMap<Unit, u64>")]
pub struct Limits([u64; Unit::COUNT]);

impl Limits {
    /// No limit on anything.
    #[must_use]
    pub const fn none() -> Self {
        Self([u64::MAX; Unit::COUNT])
    }

    /// These limits with another one on `unit`.
    #[must_use]
    pub const fn with(mut self, unit: Unit, limit: u64) -> Self {
        self.0[unit.index()] = limit;
        self
    }

    /// The limit on one unit, if there is one.
    #[must_use]
    pub const fn get(&self, unit: Unit) -> Option<u64> {
        match self.ceiling(unit) {
            u64::MAX => None,
            limit => Some(limit),
        }
    }

    /// Whether there is no limit at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// The limit, or the largest figure.
    pub(crate) const fn ceiling(&self, unit: Unit) -> u64 {
        self.0[unit.index()]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::none()
    }
}

impl From<BTreeMap<Unit, u64>> for Limits {
    fn from(limits: BTreeMap<Unit, u64>) -> Self {
        limits.into_iter().fold(Self::none(), |all, (unit, limit)| all.with(unit, limit))
    }
}

impl From<Limits> for BTreeMap<Unit, u64> {
    fn from(limits: Limits) -> Self {
        let limited = Unit::ALL.into_iter().filter_map(|unit| Some((unit, limits.get(unit)?)));
        limited.collect()
    }
}

/// What is asked for before it is spent: the worst case of each unit, and the units of which nobody
/// knows one. An account with a limit on such a unit refuses, because a guess could be passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// The worst case where it is known.
    pub amounts: Amounts,
    /// Where it is not.
    pub unknown: UnitSet,
}

impl Spend {
    /// Says that nobody knows the worst case of this unit: the price of a model, say.
    #[must_use]
    pub const fn with_unknown(mut self, unit: Unit) -> Self {
        self.unknown = self.unknown.with(unit);
        self
    }
}

impl From<Amounts> for Spend {
    fn from(amounts: Amounts) -> Self {
        Self { amounts, unknown: UnitSet::EMPTY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_no_limit_and_no_amount() {
        let limits: Limits = serde_json::from_str(r#"{"tokens":5}"#).unwrap();
        assert_eq!((limits.get(Unit::Tokens), limits.get(Unit::CpuMs)), (Some(5), None));
        assert_eq!(serde_json::to_string(&limits).unwrap(), r#"{"tokens":5}"#);
        let amounts = Amounts::of(Unit::Hops, 3);
        assert_eq!(serde_json::to_string(&amounts).unwrap(), r#"{"hops":3}"#);
        assert_eq!(serde_json::from_str::<Amounts>("{}").unwrap(), Amounts::ZERO);
    }
}
