//! What budgets are counted in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a budget is counted in. The last word of a name is its measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens read and written by models.
    Tokens,
    /// Money in millionths of a US dollar.
    MicroUsd,
    /// Milliseconds since the account was opened, by the clock on the wall.
    WallMs,
    /// Milliseconds of processor time.
    CpuMs,
    /// Bytes of memory that are held.
    MemoryBytes,
    /// Children that live at once.
    Children,
    /// How many parents lie above a child.
    Depth,
    /// How many messages of its chain lie before a message.
    Hops,
    /// Messages that are sent.
    Messages,
}

/// How amounts of a unit add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was spent stays spent.
    Sum,
    /// What is held comes back when its reservation is settled. Nothing is ever spent.
    Level,
    /// A figure that is compared and not added up.
    Height,
    /// Time goes by by itself; what is asked for must end within the limit. Spends at the same time
    /// do not add up.
    Elapsed,
}

impl Unit {
    /// All units, in the order of their indices.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Tokens,
        Self::MicroUsd,
        Self::WallMs,
        Self::CpuMs,
        Self::MemoryBytes,
        Self::Children,
        Self::Depth,
        Self::Hops,
        Self::Messages,
    ];

    /// How many there are.
    pub const COUNT: usize = 9;

    /// How amounts of it add up.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Tokens | Self::MicroUsd | Self::CpuMs | Self::Messages => Kind::Sum,
            Self::MemoryBytes | Self::Children => Kind::Level,
            Self::Depth | Self::Hops => Kind::Height,
            Self::WallMs => Kind::Elapsed,
        }
    }

    /// Its key in a team file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::MicroUsd => "money_usd",
            Self::WallMs => "wall_ms",
            Self::CpuMs => "cpu_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::Children => "children",
            Self::Depth => "depth",
            Self::Hops => "hops",
            Self::Messages => "messages",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// An amount as people read it: `2.50 USD`, `1500 tokens`.
    pub(crate) fn show(self, amount: u64) -> String {
        match self {
            Self::MicroUsd => show_usd(amount),
            Self::WallMs => format!("{amount} ms"),
            Self::CpuMs => format!("{amount} ms of CPU"),
            Self::MemoryBytes => format!("{amount} bytes"),
            _ => format!("{amount} {self}"),
        }
    }
}

/// With as many digits after the point as it needs, at least two.
fn show_usd(micros: u64) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    let digits = format!("{part:06}");
    let end = digits.trim_end_matches('0').len().max(2);
    format!("{whole}.{} USD", &digits[..end])
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "tokens",
            Self::MicroUsd => "money",
            Self::WallMs => "time",
            Self::CpuMs => "CPU time",
            Self::MemoryBytes => "memory",
            Self::Children => "children",
            Self::Depth => "depth",
            Self::Hops => "hops",
            Self::Messages => "messages",
        })
    }
}

/// Some of the units.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Unit>", into = "Vec<Unit>")]
pub struct UnitSet(u16);

impl UnitSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// What accounts keep: sums and levels.
    pub(crate) const ADDED_UP: Self = {
        let (mut set, mut at) = (Self::EMPTY, 0);
        while at < Unit::COUNT {
            if matches!(Unit::ALL[at].kind(), Kind::Sum | Kind::Level) {
                set = set.with(Unit::ALL[at]);
            }
            at += 1;
        }
        set
    };

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, unit: Unit) -> bool {
        self.0 & (1 << unit.index()) != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set with one more.
    #[must_use]
    pub const fn with(self, unit: Unit) -> Self {
        Self(self.0 | 1 << unit.index())
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Bit `i` stands for the unit with index `i`.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Those of both that are the same.
    #[must_use]
    pub(crate) const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Its units, in the order of [`Unit::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Unit> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = Unit::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*next)
        })
    }
}

impl fmt::Debug for UnitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Unit> for UnitSet {
    fn from_iter<T: IntoIterator<Item = Unit>>(units: T) -> Self {
        units.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl From<Vec<Unit>> for UnitSet {
    fn from(units: Vec<Unit>) -> Self {
        units.into_iter().collect()
    }
}

impl From<UnitSet> for Vec<Unit> {
    fn from(set: UnitSet) -> Self {
        set.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_stands_at_its_index() {
        assert!(Unit::ALL.iter().enumerate().all(|(index, unit)| unit.index() == index));
    }

    #[test]
    fn a_set_lists_what_it_has() {
        let all: UnitSet = Unit::ALL.into_iter().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Unit::ALL);
        assert_eq!(UnitSet::EMPTY.iter().next(), None);
        let kept: Vec<Unit> = UnitSet::ADDED_UP.iter().collect();
        assert!(
            Unit::ALL.iter().all(|it| {
                kept.contains(it) != matches!(it.kind(), Kind::Height | Kind::Elapsed)
            })
        );
    }

    #[test]
    fn money_is_shown_exactly() {
        assert_eq!(Unit::MicroUsd.show(2_500_000), "2.50 USD");
        assert_eq!(Unit::MicroUsd.show(1), "0.000001 USD");
        assert_eq!(Unit::Tokens.show(7), "7 tokens");
    }

    #[test]
    fn a_set_reads_back_from_json() {
        let set: UnitSet = [Unit::Messages, Unit::MicroUsd].into_iter().collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["micro_usd","messages"]"#);
        assert_eq!(serde_json::from_str::<UnitSet>(&json).unwrap(), set);
    }
}
