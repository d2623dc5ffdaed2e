//! What one account has spent and reserved. Sums alone: no lock, no clock.

use super::refusal::Why;
use super::{Amounts, Kind, Limits, Spend, Unit, UnitSet};

/// Invariant: of each unit `spent + reserved <= limit + overrun`.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) limits: Limits,
    pub(super) spent: Amounts,
    pub(super) reserved: Amounts,
    /// What was spent beyond what was reserved for it.
    pub(super) overrun: Amounts,
    /// Units of which more was spent than anybody knows.
    pub(super) unknown: UnitSet,
    /// Members, reservations and shares that are open.
    pub(super) holders: u64,
    /// Why nothing more is granted, whatever is left.
    pub(super) shut: Option<Why>,
}

/// A spend does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) unit: Unit,
    pub(super) asked: u64,
    pub(super) spent: u64,
    pub(super) reserved: u64,
    pub(super) limit: u64,
    pub(super) why: Why,
}

impl Books {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            spent: Amounts::ZERO,
            reserved: Amounts::ZERO,
            overrun: Amounts::ZERO,
            unknown: UnitSet::EMPTY,
            holders: 0,
            shut: None,
        }
    }

    /// Whether all of it fits, `elapsed_ms` after the account was opened.
    pub(super) fn check(&self, spend: &Spend, elapsed_ms: u64) -> Result<(), Short> {
        if let Some(why) = self.shut {
            let unit = spend.amounts.units().iter().next().unwrap_or(Unit::Messages);
            return Err(self.short(unit, spend.amounts.get(unit), elapsed_ms, why));
        }
        // Time goes by whatever is asked for.
        let units = spend.amounts.units().and(spend.unknown).with(Unit::WallMs);
        units.iter().try_for_each(|unit| {
            let asked = spend.amounts.get(unit);
            if spend.unknown.has(unit) && self.limits.get(unit).is_some() {
                return Err(self.short(unit, asked, elapsed_ms, Why::Unknown));
            }
            match self.fits(unit, asked, elapsed_ms) {
                true => Ok(()),
                false => Err(self.short(unit, asked, elapsed_ms, Why::Exhausted)),
            }
        })
    }

    pub(super) fn fits(&self, unit: Unit, asked: u64, elapsed_ms: u64) -> bool {
        let limit = self.limits.ceiling(unit);
        match unit.kind() {
            Kind::Height => asked <= limit,
            Kind::Elapsed => elapsed_ms.checked_add(asked).is_none_or(|end| end <= limit),
            // Nothing is asked for, which fits even where too much was spent.
            Kind::Sum | Kind::Level if asked == 0 => true,
            Kind::Sum | Kind::Level => {
                let reserved = self.reserved.get(unit).checked_add(asked);
                reserved.is_some_and(|reserved| {
                    let all = self.spent.get(unit).checked_add(reserved);
                    all.map_or(limit == u64::MAX, |all| all <= limit)
                })
            }
        }
    }

    /// Reserves what was [checked](Self::check).
    pub(super) fn reserve(&mut self, amounts: &Amounts) {
        for unit in amounts.units().within(UnitSet::ADDED_UP).iter() {
            let (before, asked) = (self.reserved.get(unit), amounts.get(unit));
            self.reserved.set(unit, before.saturating_add(asked));
        }
        self.holders += 1;
    }

    /// Counts one message more at this hop, and a holder, if they fit.
    pub(super) fn enter(&mut self, hop: u64) -> bool {
        let (spent, reserved) = (self.spent.get(Unit::Messages), self.reserved.get(Unit::Messages));
        let is_in = hop <= self.limits.ceiling(Unit::Hops)
            && spent.saturating_add(reserved) < self.limits.ceiling(Unit::Messages)
            && self.shut.is_none();
        if is_in {
            self.spent.set(Unit::Messages, spent + 1);
            self.holders += 1;
        }
        is_in
    }

    /// Why a message cannot [enter](Self::enter).
    pub(super) fn kept_out(&self, hop: u64) -> Short {
        match self.shut {
            Some(why) => self.short(Unit::Messages, 1, 0, why),
            None if self.fits(Unit::Hops, hop, 0) => {
                self.short(Unit::Messages, 1, 0, Why::Exhausted)
            }
            None => self.short(Unit::Hops, hop, 0, Why::Exhausted),
        }
    }

    /// One message that was counted was not sent.
    pub(super) fn take_back_message(&mut self) {
        let spent = self.spent.get(Unit::Messages);
        self.spent.set(Unit::Messages, spent.saturating_sub(1));
    }

    /// Books what a reservation has come to. Its holder leaves by itself.
    pub(super) fn settle(&mut self, reserved: &Amounts, actual: &Amounts) {
        let units = reserved.units().and(actual.units()).within(UnitSet::ADDED_UP);
        for unit in units.iter() {
            let (reserved, actual) = (reserved.get(unit), actual.get(unit));
            self.reserved.set(unit, self.reserved.get(unit).saturating_sub(reserved));
            if unit.kind() == Kind::Sum {
                self.spent.set(unit, self.spent.get(unit).saturating_add(actual));
                let more = actual.saturating_sub(reserved);
                self.overrun.set(unit, self.overrun.get(unit).saturating_add(more));
            }
        }
    }

    /// What can still be reserved of a sum.
    pub(super) fn left(&self, unit: Unit) -> u64 {
        let taken = self.spent.get(unit).saturating_add(self.reserved.get(unit));
        self.limits.ceiling(unit).saturating_sub(taken)
    }

    pub(super) fn short(&self, unit: Unit, asked: u64, elapsed_ms: u64, why: Why) -> Short {
        let is_time = unit.kind() == Kind::Elapsed;
        Short {
            unit,
            asked,
            spent: if is_time { elapsed_ms } else { self.spent.get(unit) },
            reserved: self.reserved.get(unit),
            limit: self.limits.ceiling(unit),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(unit: Unit, limit: u64) -> Books {
        Books::new(Limits::none().with(unit, limit))
    }

    #[track_caller]
    fn check(books: &Books, unit: Unit, asked: u64, elapsed_ms: u64, fits: bool) {
        let spend = Spend::from(Amounts::of(unit, asked));
        assert_eq!(books.check(&spend, elapsed_ms).is_ok(), fits, "{asked} {unit}");
    }

    #[test]
    fn a_limit_is_reached_and_not_passed() {
        let mut books = books(Unit::Tokens, 10);
        check(&books, Unit::Tokens, 10, 0, true);
        check(&books, Unit::Tokens, 11, 0, false);
        books.reserve(&Amounts::of(Unit::Tokens, 6));
        check(&books, Unit::Tokens, 5, 0, false);
        books.settle(&Amounts::of(Unit::Tokens, 6), &Amounts::of(Unit::Tokens, 5));
        check(&books, Unit::Tokens, 5, 0, true);
        check(&books, Unit::Tokens, 6, 0, false);
    }

    #[test]
    fn a_level_comes_back_and_a_height_is_compared_alone() {
        let mut memory = books(Unit::MemoryBytes, 10);
        let held = Amounts::of(Unit::MemoryBytes, 10);
        memory.reserve(&held);
        check(&memory, Unit::MemoryBytes, 1, 0, false);
        memory.settle(&held, &held);
        check(&memory, Unit::MemoryBytes, 10, 0, true);
        let mut depth = books(Unit::Depth, 3);
        depth.reserve(&Amounts::of(Unit::Depth, 3));
        check(&depth, Unit::Depth, 3, 0, true);
        check(&depth, Unit::Depth, 4, 0, false);
    }

    #[test]
    fn time_goes_by_whatever_is_asked_for() {
        let books = books(Unit::WallMs, 100);
        check(&books, Unit::WallMs, 40, 60, true);
        check(&books, Unit::WallMs, 41, 60, false);
        check(&books, Unit::WallMs, 0, 100, true);
        check(&books, Unit::WallMs, 0, 101, false);
        check(&books, Unit::Tokens, 1, 101, false);
    }

    #[test]
    fn sums_at_the_end_of_numbers_are_refused_and_not_wrapped() {
        let mut books = books(Unit::Messages, 5);
        check(&books, Unit::Tokens, u64::MAX, 0, true);
        books.reserve(&Amounts::of(Unit::Tokens, u64::MAX));
        check(&books, Unit::Tokens, 1, 0, false);
        books.settle(&Amounts::of(Unit::Tokens, u64::MAX), &Amounts::of(Unit::Tokens, u64::MAX));
        check(&books, Unit::Tokens, 1, 0, true);
        check(&books, Unit::WallMs, u64::MAX, u64::MAX, true);
    }

    #[test]
    fn what_is_unknown_is_refused_where_it_is_limited() {
        let spend = Spend::from(Amounts::of(Unit::Tokens, 1)).with_unknown(Unit::MicroUsd);
        let refused = books(Unit::MicroUsd, 5).check(&spend, 0).map_err(|short| short.why);
        assert_eq!(refused, Err(Why::Unknown));
        assert_eq!(books(Unit::Tokens, 5).check(&spend, 0), Ok(()));
    }
}
