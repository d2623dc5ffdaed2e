//! What the processes of one attempt are charged: processor time, which stays spent, and memory, which
//! is held as long as they live.

use orch_core::{ResourceLimits, Resources, Timestamp};

use super::{Amounts, Purse, Refusal, Reservation, Settled, Spend, Unit};
use crate::sync::{Mutex, lock};

/// What processes use at most is their limits. Without a limit nobody knows, so an account that limits
/// the unit refuses.
impl From<&ResourceLimits> for Spend {
    fn from(limits: &ResourceLimits) -> Self {
        let worst = [(Unit::CpuMs, limits.cpu_ms), (Unit::MemoryBytes, limits.memory_bytes)];
        worst.into_iter().fold(Self::default(), |mut spend, (unit, most)| {
            match most {
                Some(most) => spend.amounts = spend.amounts.with(unit, most),
                None => spend = spend.with_unknown(unit),
            }
            spend
        })
    }
}

impl From<&Resources> for Amounts {
    fn from(used: &Resources) -> Self {
        Self::of(Unit::CpuMs, used.cpu_ms).with(Unit::MemoryBytes, used.memory_bytes)
    }
}

/// The account book of one attempt for the processes that it starts: their worst case is reserved
/// before they start, and settled at what they used when they have ended. One that is dropped in
/// between counts in full.
#[derive(Debug)]
pub struct ProcessBill {
    purse: Purse,
    held: Mutex<Option<Reservation>>,
}

impl ProcessBill {
    /// On these accounts.
    #[must_use]
    pub fn of(purse: Purse) -> Self {
        Self { purse, held: Mutex::new(None) }
    }

    /// Reserves what processes may use at most. What was reserved before and never settled counts in
    /// full.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the first account without room, or with a limit where there is none on the
    /// processes; nothing is charged then.
    pub fn reserve(&self, now: Timestamp, at_most: &ResourceLimits) -> Result<(), Refusal> {
        let reservation = self.purse.reserve(now, Spend::from(at_most))?;
        *lock(&self.held) = Some(reservation);
        Ok(())
    }

    /// Books what they used. Nothing to do, where nothing is reserved.
    pub fn settle(&self, used: &Resources) -> Settled {
        let held = lock(&self.held).take();
        held.map(|reservation| reservation.settle(&used.into())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use orch_core::MeasuredBy;

    use super::*;
    use crate::budget::{AccountName, Ledger, Limits, Why};

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn limits(cpu_ms: u64, memory_bytes: u64) -> ResourceLimits {
        ResourceLimits { cpu_ms: Some(cpu_ms), memory_bytes: Some(memory_bytes), processes: None }
    }

    fn used(cpu_ms: u64, memory_bytes: u64) -> Resources {
        Resources::new(cpu_ms, memory_bytes, 3, MeasuredBy::default())
    }

    /// A ledger whose run has this much of each, and two attempts at its expense.
    fn run(cpu_ms: u64, memory_bytes: u64) -> (Ledger, [ProcessBill; 2]) {
        let ledger = Ledger::new();
        let limits = Limits::none().with(Unit::CpuMs, cpu_ms).with(Unit::MemoryBytes, memory_bytes);
        let bill = || ProcessBill::of(Purse::of([ledger.open(AccountName::Run, limits, NOW)]));
        let bills = [bill(), bill()];
        (ledger, bills)
    }

    fn spent(ledger: &Ledger, unit: Unit) -> (u64, u64) {
        let balance = ledger.open(AccountName::Run, Limits::none(), NOW).balance();
        (balance.spent.get(unit), balance.reserved.get(unit))
    }

    #[test]
    fn processor_time_stays_spent_and_memory_comes_back() {
        let (ledger, [first, second]) = run(1_000, 100);
        first.reserve(NOW, &limits(600, 80)).unwrap();
        assert_eq!(second.reserve(NOW, &limits(600, 10)).unwrap_err().unit, Unit::CpuMs);
        assert_eq!(second.reserve(NOW, &limits(100, 30)).unwrap_err().unit, Unit::MemoryBytes);
        assert_eq!(first.settle(&used(250, 70)), Settled::default());
        assert_eq!(spent(&ledger, Unit::CpuMs), (250, 0));
        assert_eq!(spent(&ledger, Unit::MemoryBytes), (0, 0));
        second.reserve(NOW, &limits(750, 100)).unwrap();
    }

    #[test]
    fn processes_without_a_limit_are_refused_by_an_account_with_one() {
        let (_, [bill, _]) = run(1_000, 100);
        let refusal = bill.reserve(NOW, &ResourceLimits::default()).unwrap_err();
        assert_eq!(refusal.why, Why::Unknown);
    }

    #[test]
    fn what_was_never_settled_counts_in_full() {
        let (ledger, [first, second]) = run(1_000, 100);
        first.reserve(NOW, &limits(600, 80)).unwrap();
        drop(first);
        assert_eq!(spent(&ledger, Unit::CpuMs), (600, 0));
        second.reserve(NOW, &limits(100, 100)).unwrap();
        second.reserve(NOW, &limits(100, 100)).unwrap_err();
        assert_eq!(second.settle(&used(100, 1)), Settled::default());
        second.reserve(NOW, &limits(100, 100)).unwrap();
        second.reserve(NOW, &limits(100, 0)).unwrap();
        assert_eq!(spent(&ledger, Unit::CpuMs), (800, 100));
    }

    #[test]
    fn what_passed_its_limit_is_booked_as_it_was_and_told() {
        let (ledger, [bill, _]) = run(1_000, 100);
        bill.reserve(NOW, &limits(900, 10)).unwrap();
        let settled = bill.settle(&used(1_100, 10));
        assert_eq!((settled.overruns.len(), settled.overruns[0].above.len()), (1, 1));
        assert_eq!(spent(&ledger, Unit::CpuMs), (1_100, 0));
        assert_eq!(bill.settle(&used(5, 5)), Settled::default(), "it is settled once");
    }
}
