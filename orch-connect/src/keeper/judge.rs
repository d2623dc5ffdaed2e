//! Decides whether a program goes on, by what its processes use. Pure.
//!
//! ```text
//!                    ask it to end                    kill it at once
//! CPU time           at nine tenths of the limit      at the limit, less what all processors
//!                                                     can do until the next look
//! held by a kernel   when it refused something        never: there is nothing to pass
//! watched            above the limit                  above five quarters of it
//! ```

use std::time::Duration;

use orch_core::{LimitReached, Reached, Resource, ResourceLimits};

/// The shortest time between two looks: the longest for which a limit on CPU time is not looked at.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Between two looks where the kernel holds the limits, and we only have to hear of it.
const PAUSE_HELD: Duration = Duration::from_millis(20);
/// Between two looks that are for the figures alone.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// What a look saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) cpu_us: u64,
    pub(super) memory_bytes: u64,
    pub(super) processes: u64,
    /// How often the kernel killed one for its memory.
    pub(super) n_killed_for_memory: u64,
    /// How often the kernel refused one.
    pub(super) n_refused_processes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// It is to be asked to end, and ended if it does not.
    End(LimitReached),
    Kill(LimitReached),
}

/// The limits of a run, and who holds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    pub(super) limits: ResourceLimits,
    pub(super) is_memory_held: bool,
    pub(super) are_processes_held: bool,
    /// How many processors work at most at once.
    pub(super) n_processors: u64,
}

impl Judge {
    /// Judges what was seen: the worst of what each limit says.
    pub(super) fn judge(&self, seen: &Seen) -> Verdict {
        let all = [self.cpu(seen), self.memory(seen), self.processes(seen)];
        let kill = all.into_iter().find(|verdict| matches!(verdict, Verdict::Kill(_)));
        let end = || all.into_iter().find(|verdict| matches!(verdict, Verdict::End(_)));
        kill.or_else(end).unwrap_or(Verdict::GoOn)
    }

    /// Judges what all of it came to, when nothing is left: only what was refused or passed counts then,
    /// since nothing is to be asked to end any more.
    pub(super) fn judge_end(&self, seen: &Seen) -> Verdict {
        match self.judge(seen) {
            Verdict::End(reached) | Verdict::Kill(reached)
                if reached.resource == Resource::Cpu && reached.figure < reached.limit =>
            {
                let levels = [self.memory(seen), self.processes(seen)];
                let ended = levels.into_iter().find(|verdict| *verdict != Verdict::GoOn);
                ended.unwrap_or(Verdict::GoOn)
            }
            verdict => verdict,
        }
    }

    fn cpu(&self, seen: &Seen) -> Verdict {
        let Some(limit) = self.limits.cpu_ms else { return Verdict::GoOn };
        let reached =
            |how| LimitReached { resource: Resource::Cpu, figure: seen.cpu_us / 1_000, limit, how };
        if self.cpu_kill_us(limit) <= seen.cpu_us {
            Verdict::Kill(reached(Reached::UsedUp))
        } else if cpu_end_us(limit) <= seen.cpu_us {
            Verdict::End(reached(Reached::Nearly))
        } else {
            Verdict::GoOn
        }
    }

    fn memory(&self, seen: &Seen) -> Verdict {
        let Some(limit) = self.limits.memory_bytes else { return Verdict::GoOn };
        let n_refused = self.is_memory_held.then_some(seen.n_killed_for_memory);
        level(Resource::Memory, seen.memory_bytes, limit, n_refused)
    }

    fn processes(&self, seen: &Seen) -> Verdict {
        let Some(limit) = self.limits.processes else { return Verdict::GoOn };
        let n_refused = self.are_processes_held.then_some(seen.n_refused_processes);
        level(Resource::Processes, seen.processes, limit, n_refused)
    }

    /// Where killing begins. Its margin is what all processors can do in the shortest pause, and at most
    /// a twentieth of the limit, so that the end comes after the asking.
    fn cpu_kill_us(&self, limit_ms: u64) -> u64 {
        let limit = limit_ms.saturating_mul(1_000);
        let pause = u64::try_from(PAUSE_MIN.as_micros()).unwrap_or(u64::MAX);
        limit - self.n_processors.saturating_mul(pause).min(limit / 20)
    }

    /// When to look next, after `pause` was the last time between two looks.
    pub(super) fn pause(&self, seen: &Seen, pause: Duration) -> Duration {
        let longer = (pause * 2).min(PAUSE_MAX);
        let until = |line_us: u64| {
            // A program cannot use more in that time, however many processes it has.
            let left = line_us.checked_sub(seen.cpu_us).filter(|left| *left > 0)?;
            Some(Duration::from_micros(left / self.n_processors.max(1)))
        };
        let cpu = self
            .limits
            .cpu_ms
            .and_then(|limit| until(cpu_end_us(limit)).or_else(|| until(self.cpu_kill_us(limit))));
        let level = |limit: Option<u64>, is_held: bool| {
            limit.map(|_| if is_held { PAUSE_HELD } else { PAUSE_MIN })
        };
        let memory = level(self.limits.memory_bytes, self.is_memory_held);
        let processes = level(self.limits.processes, self.are_processes_held);
        let soonest = [cpu, memory, processes].into_iter().flatten().min();
        soonest.map_or(longer, |soonest| soonest.min(longer)).max(PAUSE_MIN)
    }
}

fn cpu_end_us(limit_ms: u64) -> u64 {
    let limit = limit_ms.saturating_mul(1_000);
    limit - limit / 10
}

/// A figure that goes up and down. `n_refused` is what a kernel that holds the limit refused.
fn level(resource: Resource, figure: u64, limit: u64, n_refused: Option<u64>) -> Verdict {
    let reached = |how| LimitReached { resource, figure, limit, how };
    match n_refused {
        Some(0) => Verdict::GoOn,
        Some(_) => Verdict::End(reached(Reached::Refused)),
        None if figure > limit.saturating_add(limit / 4) => {
            Verdict::Kill(reached(Reached::SeenAbove))
        }
        None if figure > limit => Verdict::End(reached(Reached::SeenAbove)),
        None => Verdict::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn judge(cpu_ms: Option<u64>, processes: Option<u64>, is_held: bool) -> Judge {
        Judge {
            limits: ResourceLimits { cpu_ms, memory_bytes: None, processes },
            is_memory_held: is_held,
            are_processes_held: is_held,
            n_processors: 2,
        }
    }

    fn cpu(cpu_us: u64) -> Seen {
        Seen { cpu_us, ..Seen::default() }
    }

    fn how(verdict: Verdict) -> Option<(bool, Reached)> {
        match verdict {
            Verdict::GoOn => None,
            Verdict::End(reached) => Some((false, reached.how)),
            Verdict::Kill(reached) => Some((true, reached.how)),
        }
    }

    #[test]
    fn a_limit_on_cpu_time_ends_a_program_before_it_is_passed() {
        let judge = judge(Some(30_000), None, false);
        assert_eq!(how(judge.judge(&cpu(27 * SECOND - 1))), None);
        assert_eq!(how(judge.judge(&cpu(27 * SECOND))), Some((false, Reached::Nearly)));
        // Two processors can do 20 ms of work in the 10 ms until the next look.
        assert_eq!(how(judge.judge(&cpu(29_980_000 - 1))), Some((false, Reached::Nearly)));
        assert_eq!(how(judge.judge(&cpu(29_980_000))), Some((true, Reached::UsedUp)));
    }

    /// Whatever a tree does that uses at most all processors: nothing is seen at or above the limit,
    /// and each line is seen within the shortest pause.
    #[test]
    fn looks_come_in_time_for_any_use_of_the_processors() {
        for n_processors in [1, 2, 8] {
            for limit_ms in [1_000, 1_001, 7_777, 60_000] {
                let judge = Judge { n_processors, ..judge(Some(limit_ms), None, false) };
                let (mut used, mut pause, mut asked) = (0, PAUSE_MIN, false);
                loop {
                    pause = judge.pause(&cpu(used), pause);
                    used += n_processors * u64::try_from(pause.as_micros()).unwrap();
                    match judge.judge(&cpu(used)) {
                        Verdict::GoOn => assert!(!asked),
                        Verdict::End(_) => asked = true,
                        Verdict::Kill(_) => break,
                    }
                }
                let slack = n_processors * 10_000;
                let margin = slack.min(limit_ms * 50);
                assert!(asked || margin < slack, "it was not asked first");
                assert!(used <= limit_ms * 1_000 + slack - margin, "{used} of {limit_ms} ms");
            }
        }
    }

    #[test]
    fn a_level_that_is_held_ends_a_program_when_something_was_refused() {
        let judge = judge(None, Some(32), true);
        let seen = Seen { processes: 32, ..Seen::default() };
        assert_eq!(how(judge.judge(&seen)), None);
        let refused = Seen { n_refused_processes: 1, ..seen };
        assert_eq!(how(judge.judge(&refused)), Some((false, Reached::Refused)));
    }

    #[test]
    fn a_level_that_is_watched_has_a_quarter_in_which_it_is_asked() {
        let judge = judge(None, Some(32), false);
        let at = |processes| how(judge.judge(&Seen { processes, ..Seen::default() }));
        assert_eq!(at(32), None);
        assert_eq!(at(33), Some((false, Reached::SeenAbove)));
        assert_eq!(at(40), Some((false, Reached::SeenAbove)));
        assert_eq!(at(41), Some((true, Reached::SeenAbove)));
    }

    #[test]
    fn a_program_that_ended_by_itself_is_judged_by_what_it_passed() {
        let judge = judge(Some(10_000), Some(4), true);
        assert_eq!(how(judge.judge_end(&cpu(9_990_000))), None);
        assert_eq!(how(judge.judge_end(&cpu(10_000_000))), Some((true, Reached::UsedUp)));
        let refused = Seen { n_refused_processes: 1, ..cpu(9_990_000) };
        assert_eq!(how(judge.judge_end(&refused)), Some((false, Reached::Refused)));
    }

    #[test]
    fn without_a_limit_looks_become_rare() {
        let judge = judge(None, None, false);
        let pauses: Vec<u128> = std::iter::successors(Some(PAUSE_MIN), |pause| {
            Some(judge.pause(&Seen::default(), *pause))
        })
        .take(8)
        .map(|pause| pause.as_millis())
        .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250, 250]);
    }
}
