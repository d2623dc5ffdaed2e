//! Budgets: what may be spent in all, and is held whatever runs at once.
//!
//! A spend is charged to several accounts at once: the run, the agent, each spawn subtree that the
//! agent belongs to, and the chain that it works for. It is [reserved](Purse::reserve) at its worst
//! case before it happens, and [settled](Reservation::settle) at what it was:
//!
//! ```text
//! reserve(worst case) ──granted──▶ Reservation ──settle(actual)──▶ spent
//!         │                             │ dropped without a word
//!         └─refused: Refusal            └─────────────────────────▶ spent in full
//! ```
//!
//! `spent + reserved <= limit` holds in each account at every instant, whatever other threads do: all
//! accounts of a spend are locked at once, in the order of their numbers, and either all are charged
//! or none. So nobody is refused because of a reservation that was taken back a moment later.
//!
//! What breaks the sum is a spend that turns out dearer than its worst case. It is booked as it was,
//! and [`Settled`] says so to whoever settles: see [`Overrun`].
//!
//! # Examples
//!
//! ```
//! use orch_core::Timestamp;
//! use orch_policy::budget::{AccountName, Amounts, Ledger, Limits, Purse, Unit};
//!
//! let now = Timestamp::from_millis(0);
//! let ledger = Ledger::new();
//! let limits = Limits::none().with(Unit::Tokens, 1_000);
//! let purse = Purse::of([ledger.open(AccountName::Run, limits, now)]);
//!
//! let first = purse.reserve(now, Amounts::of(Unit::Tokens, 800))?;
//! let refusal = purse.reserve(now, Amounts::of(Unit::Tokens, 800)).unwrap_err();
//! assert!(refusal.is_transient(), "what is reserved may turn out cheaper");
//!
//! first.settle(&Amounts::of(Unit::Tokens, 150));
//! assert!(purse.reserve(now, Amounts::of(Unit::Tokens, 800)).is_ok());
//! # Ok::<(), orch_policy::budget::Refusal>(())
//! ```

mod account;
mod amounts;
mod books;
mod ledger;
mod name;
mod payer;
mod price_list;
mod prices;
mod processes;
mod purse;
mod refusal;
mod state;
mod unit;

pub use account::{Account, Balance};
pub use amounts::{Amounts, Limits, Spend};
pub use ledger::Ledger;
pub use name::AccountName;
pub use payer::{OwnLimits, Payer};
pub use prices::{Price, Prices, UnknownPrice};
pub use processes::ProcessBill;
pub use purse::{Overrun, Purse, Reservation, Settled};
pub use refusal::{Refusal, Why};
pub use state::{AccountState, LedgerState};
pub use unit::{Kind, Unit, UnitSet};

pub(crate) use account::Share;
