//! What others do on this machine while we want to measure.

use std::time::Duration;

/// Busy cores of others above which a round waits.
const QUIET: f64 = 0.25;
/// How long one look takes. We do nothing meanwhile, so all that is busy is others.
const LOOK: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(2);

/// Waits while others are busy, within a budget that it uses up. Answers the busy cores of others at
/// the end.
pub(super) fn wait_for_quiet(budget: &mut Duration) -> f64 {
    loop {
        let others = busy_cores();
        if others <= QUIET || budget.is_zero() {
            return others;
        }
        std::thread::sleep(PAUSE);
        *budget = budget.saturating_sub(PAUSE + LOOK);
    }
}

pub(super) fn is_noisy(busy_cores: f64) -> bool {
    QUIET < busy_cores
}

/// Better than the load average, which remembers what we did ourselves for minutes.
fn busy_cores() -> f64 {
    let before = ticks();
    std::thread::sleep(LOOK);
    let after = ticks();
    match (before, after) {
        (Some(before), Some(after)) => after.busy_cores_since(&before),
        // Not Linux: nobody knows.
        _ => 0.0,
    }
}

/// The time of all cores since the machine started, in ticks.
#[derive(Debug, PartialEq)]
struct Ticks {
    busy: u64,
    all: u64,
    cores: usize,
}

impl Ticks {
    fn busy_cores_since(&self, earlier: &Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        let busy = self.busy.saturating_sub(earlier.busy);
        if all == 0 { 0.0 } else { busy as f64 / all as f64 * self.cores as f64 }
    }
}

fn ticks() -> Option<Ticks> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn parse(stat: &str) -> Option<Ticks> {
    let sum = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; what follows is part of the first two.
    let ticks: Vec<u64> =
        sum.split_whitespace().take(8).map(|it| it.parse().ok()).collect::<Option<_>>()?;
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let cores = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    Some(Ticks { busy: all - idle, all, cores })
}

/// The load averages, as the kernel prints them.
pub(super) fn averages() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let three: Vec<&str> = all.split(' ').take(3).collect();
    three.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_waiting_for_disks() {
        let before = "cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 5 0 5 35 5\ncpu1 5 0 5 35 5\nintr 1\n";
        let after = "cpu  30 0 20 75 20 0 0 5 9 9\ncpu0 5 0 5 35 5\ncpu1 5 0 5 35 5\nintr 1\n";
        let (before, after) = (parse(before).unwrap(), parse(after).unwrap());
        assert_eq!(before, Ticks { busy: 20, all: 100, cores: 2 });
        assert_eq!(after.busy_cores_since(&before), 35.0 / 50.0 * 2.0);
    }
}
