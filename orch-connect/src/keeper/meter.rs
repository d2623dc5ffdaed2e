//! Measures what all processes below a keeper use.
//!
//! Where there is a group, the kernel counts. What no group counts is read from `/proc`: processor time
//! of the living with that of the children that they reaped, and of all that we reaped ourselves;
//! memory as PSS where it matters; processes with their threads. Two things are not seen there: what a
//! process used whose parent ignores SIGCHLD, and what lives between two looks only (but for its
//! processor time).

use std::io::ErrorKind;
use std::{fs, io};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use orch_core::{MeasuredBy, Meter as Source, Resource};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::census::{Stat, Tree};
use super::group::Group;
use super::judge::Seen;

/// What the processes used so far. The peaks are those since the last [mark](Meter::mark).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu_us: u64,
    pub(crate) memory_peak: u64,
    pub(crate) processes_peak: u64,
    pub(crate) by: MeasuredBy,
}

#[derive(Debug)]
pub(super) struct Meter {
    tree: Tree,
    /// Above this, memory is looked at more closely: the limit that is watched.
    memory_line: Option<u64>,
    used: Used,
    /// The RSS of all at the last look at their PSS.
    rss_looked_at: u64,
    is_marked: bool,
    /// Whether this kernel tells PSS at all.
    has_pss: bool,
}

impl Meter {
    pub(super) fn new(keeper: Pid, group: Option<&Group>, memory_line: Option<u64>) -> Self {
        let source = |resource, by_proc| match group.map(|group| group.meter(resource)) {
            None | Some(Source::Nothing) => by_proc,
            Some(meter) => meter,
        };
        let by = MeasuredBy {
            cpu: source(Resource::Cpu, Source::Proc),
            memory: source(Resource::Memory, Source::ProcPss),
            processes: source(Resource::Processes, Source::Proc),
        };
        Self {
            tree: Tree::new(keeper),
            memory_line,
            used: Used { by, ..Used::default() },
            rss_looked_at: 0,
            is_marked: false,
            has_pss: fs::exists("/proc/self/smaps_rollup").unwrap_or(false),
        }
    }

    /// Looks once.
    pub(super) fn look(&mut self, group: Option<&Group>) -> Seen {
        let mut seen = counted(group);
        let needs_tree = seen.iter().any(Option::is_none);
        if needs_tree {
            let members = group.and_then(Group::members);
            let alive = self.tree.look(members);
            let [cpu, memory, processes] = &mut seen;
            cpu.get_or_insert_with(|| reaped_us() + ticks_to_us(sum(&alive, |it| it.ticks)));
            processes.get_or_insert_with(|| sum(&alive, |it| it.n_threads));
            if memory.is_none() {
                *memory = Some(self.memory(&alive));
            }
        }
        self.note(seen.map(Option::unwrap_or_default), group)
    }

    /// Looks a last time, when nothing is left.
    pub(super) fn finish(&mut self, group: Option<&Group>) -> Seen {
        let [cpu, _, _] = counted(group);
        let seen = self.note([cpu.unwrap_or_else(reaped_us), 0, 0], group);
        if !self.is_marked {
            let peak = |resource| match (group.and_then(|group| group.of(resource)), resource) {
                (Some(place), Resource::Memory) => place.memory_peak(),
                (Some(place), _) => place.processes_peak(),
                (None, Resource::Memory) => reaped_rss(),
                (None, _) => None,
            };
            let used = &mut self.used;
            used.memory_peak = used.memory_peak.max(peak(Resource::Memory).unwrap_or(0));
            used.processes_peak = used.processes_peak.max(peak(Resource::Processes).unwrap_or(0));
            // The program ran, even if no look was quick enough to see it.
            used.processes_peak = used.processes_peak.max(1);
        }
        seen
    }

    pub(super) fn used(&self) -> Used {
        self.used
    }

    /// Begins peaks anew, with what is there now.
    pub(super) fn mark(&mut self) {
        (self.used.memory_peak, self.used.processes_peak) = (0, 0);
        (self.rss_looked_at, self.is_marked) = (0, true);
    }

    fn note(&mut self, [cpu_us, memory_bytes, processes]: [u64; 3], group: Option<&Group>) -> Seen {
        self.used.cpu_us = cpu_us;
        self.used.memory_peak = self.used.memory_peak.max(memory_bytes);
        self.used.processes_peak = self.used.processes_peak.max(processes);
        let of = |resource| group.and_then(|group| group.of(resource));
        Seen {
            cpu_us,
            memory_bytes,
            processes,
            n_killed_for_memory: of(Resource::Memory).map_or(0, |it| it.n_killed_for_memory()),
            n_refused_processes: of(Resource::Processes).map_or(0, |it| it.n_refused_processes()),
        }
    }

    /// The memory of all of them. RSS counts what they share for each of them, so it is an upper bound
    /// and cheap; PSS is exact and walks all pages, so it is read where the bound says too little: above
    /// the limit, and when the peak may have grown by a sixteenth.
    fn memory(&mut self, alive: &[Stat]) -> u64 {
        let rss = pages_to_bytes(sum(alive, |it| it.rss_pages));
        let is_above = self.memory_line.is_some_and(|line| rss > line);
        let has_grown = rss > self.rss_looked_at + self.rss_looked_at / 16;
        if !is_above && !has_grown {
            // Known to be no more than a sixteenth above what is noted as the peak.
            return rss.min(self.used.memory_peak);
        }
        self.rss_looked_at = self.rss_looked_at.max(rss);
        let mut by = Source::ProcPss;
        let all = alive.iter().map(|it| match pss(it.pid) {
            Ok(pss) => pss,
            // What ends meanwhile holds nothing any more.
            Err(error) if self.has_pss && error.kind() != ErrorKind::PermissionDenied => 0,
            Err(_) => {
                by = Source::ProcRss;
                pages_to_bytes(it.rss_pages)
            }
        });
        let memory = all.fold(0, u64::saturating_add);
        if memory > self.used.memory_peak {
            self.used.by.memory = by;
        }
        memory
    }
}

/// Processor time, memory and processes, as far as a group counts them.
fn counted(group: Option<&Group>) -> [Option<u64>; 3] {
    let of = |resource| group.and_then(|group| group.of(resource));
    [
        of(Resource::Cpu).and_then(|place| place.cpu_us()),
        of(Resource::Memory).and_then(|place| place.memory_bytes()),
        of(Resource::Processes).and_then(|place| place.processes()),
    ]
}

/// The processor time of all that we reaped, and of what those reaped.
fn reaped_us() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return 0 };
    let both = usage.user_time() + usage.system_time();
    u64::try_from(both.num_microseconds()).unwrap_or(0)
}

/// The most memory that one of those had; `None` if it cannot be told from our own, which a program
/// inherits the figure of.
fn reaped_rss() -> Option<u64> {
    let most = |who| Some(u64::try_from(getrusage(who).ok()?.max_rss()).ok()? << 10);
    let (theirs, ours) = (most(UsageWho::RUSAGE_CHILDREN)?, most(UsageWho::RUSAGE_SELF)?);
    (theirs > ours).then_some(theirs)
}

fn sum(alive: &[Stat], part: impl Fn(&Stat) -> u64) -> u64 {
    alive.iter().map(part).fold(0, u64::saturating_add)
}

fn ticks_to_us(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1)
}

fn pages_to_bytes(pages: u64) -> u64 {
    pages.saturating_mul(rustix::param::page_size() as u64)
}

fn pss(pid: Pid) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_pid()))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("it says nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_counted_once() {
        let own = rustix::process::getpid();
        let (rss, pss) = (Stat::of(own).unwrap().rss_pages, super::pss(own).unwrap());
        assert!(0 < pss && pss <= pages_to_bytes(rss) + (8 << 20), "{pss} of {rss} pages");
    }
}
