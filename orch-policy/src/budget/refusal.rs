//! Why a spend is refused, and the way out.

use std::fmt;

use super::{AccountName, Kind, Unit};

/// A spend that an account does not allow. Nothing was charged to any account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose account; the first one of those that refuse.
    pub account: AccountName,
    /// Of what there is not enough.
    pub unit: Unit,
    /// How much was asked for.
    pub asked: u64,
    /// How much is spent: for [`Unit::WallMs`], how long the account is open.
    pub spent: u64,
    /// How much is reserved and not settled yet.
    pub reserved: u64,
    /// The limit.
    pub limit: u64,
    /// Why.
    pub why: Why,
}

/// Why an account refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It would be more than the limit.
    Exhausted,
    /// There is a limit, and nobody knows how much it would be.
    Unknown,
    /// It is a part of a chain all of whose messages are settled.
    Closed,
    /// The chain was stopped.
    Stopped,
}

impl Refusal {
    /// Whether the same may be granted once others have settled what they reserved.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let adds_up = matches!(self.unit.kind(), Kind::Sum | Kind::Level);
        let without_others = self.spent.checked_add(self.asked);
        self.why == Why::Exhausted && adds_up && without_others.is_some_and(|all| all <= self.limit)
    }

    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, unit, asked, spent, reserved, limit, .. } = self;
        let [asked, spent, reserved, limit] =
            [asked, spent, reserved, limit].map(|amount| unit.show(*amount));
        match unit.kind() {
            Kind::Height => write!(f, "{asked} are more than the limit of {account}, {limit}"),
            Kind::Elapsed => write!(
                f,
                "{asked} do not fit into the time of {account}: {spent} of {limit} are over"
            ),
            Kind::Sum => write!(
                f,
                "{asked} do not fit into the budget of {account}: of {limit}, {spent} are spent \
                 and {reserved} reserved"
            ),
            Kind::Level => write!(
                f,
                "{asked} do not fit into the budget of {account}: of {limit}, {reserved} are in use"
            ),
        }
    }

    fn way_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, section) = (self.unit.key(), self.account.section());
        if self.is_transient() {
            f.write_str("wait until others settle, or ")?;
        }
        write!(f, "raise `{unit}` in [{section}]")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, unit, limit, .. } = self;
        match self.why {
            Why::Exhausted => {
                self.figures(f)?;
                f.write_str("; ")?;
                self.way_out(f)
            }
            Why::Unknown => write!(
                f,
                "nobody knows how much {unit} it may take, and {account} has a limit of {}; say \
                 what it may take at most (for money, the price of the model), or take `{}` out of \
                 [{}]",
                unit.show(*limit),
                unit.key(),
                account.section()
            ),
            Why::Closed => write!(
                f,
                "all messages of {account} are settled, and what it had left went back to its \
                 chain; spend before the message is settled"
            ),
            Why::Stopped => write!(f, "{account} was stopped; begin another chain"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(unit: Unit, why: Why) -> Refusal {
        Refusal {
            account: AccountName::Run,
            unit,
            asked: 250_000,
            spent: 400_000,
            reserved: 500_000,
            limit: 1_000_000,
            why,
        }
    }

    #[track_caller]
    fn check(refusal: &Refusal, expected: &str) {
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn a_refusal_names_account_unit_figure_limit_and_the_way_out() {
        check(
            &refusal(Unit::MicroUsd, Why::Exhausted),
            "0.25 USD do not fit into the budget of the run: of 1.00 USD, 0.40 USD are spent and \
             0.50 USD reserved; wait until others settle, or raise `money_usd` in [budget.run]",
        );
        check(
            &Refusal { asked: 700_000, ..refusal(Unit::Tokens, Why::Exhausted) },
            "700000 tokens do not fit into the budget of the run: of 1000000 tokens, 400000 tokens \
             are spent and 500000 tokens reserved; raise `tokens` in [budget.run]",
        );
        check(
            &refusal(Unit::MicroUsd, Why::Unknown),
            "nobody knows how much money it may take, and the run has a limit of 1.00 USD; say what \
             it may take at most (for money, the price of the model), or take `money_usd` out of \
             [budget.run]",
        );
    }

    #[test]
    fn only_what_others_may_give_back_is_worth_waiting_for() {
        assert!(refusal(Unit::Tokens, Why::Exhausted).is_transient());
        assert!(!refusal(Unit::Depth, Why::Exhausted).is_transient());
        assert!(!refusal(Unit::Tokens, Why::Unknown).is_transient());
        assert!(
            !Refusal { asked: 600_001, ..refusal(Unit::Tokens, Why::Exhausted) }.is_transient()
        );
    }
}
