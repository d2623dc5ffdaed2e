//! Watches what the program of a keeper uses, and ends it when a limit is reached.

use std::ffi::OsString;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orch_core::{Resource, ResourceLimits};
use rustix::process::{Pid, Resource as Rlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::group::{self, Group};
use super::judge::{Judge, PAUSE_MIN, Verdict};
use super::meter::Meter;
use super::{Command, Report, Voice};

/// The first look comes early: most programs take their memory at once, and many are short.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// A look may take one part in so many of the time: with limits that are watched, and without.
const COST_PART_WATCHED: u32 = 10;
const COST_PART: u32 = 50;

/// What is to be watched, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Folders of control groups; the run gets a group below each.
    pub(crate) parents: Vec<OsString>,
    /// The name of its group.
    pub(crate) name: String,
    pub(crate) limits: ResourceLimits,
    /// Whether to start nothing unless all limits can be held.
    pub(crate) is_strict: bool,
}

impl Watch {
    /// Makes the group of the run, if there are folders for it.
    pub(super) fn make_group(&self) -> io::Result<Option<Group>> {
        let group = Group::make(&group::paths(&self.parents), &self.name)?;
        if self.is_strict && !group::holds(group.as_ref(), &self.limits) {
            return Err(io::Error::other("its limits cannot be held any more"));
        }
        Ok(group)
    }
}

/// Starts something in the group, with the limits of each single process as the second line behind
/// those of the tree: they hold also while the keeper does not get to run.
pub(super) fn start_in<T>(
    group: Option<&Group>,
    limits: &ResourceLimits,
    start: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let entered = group.map_or(Ok(()), |group| group.enter(limits));
    let before = entered.is_ok().then(|| limit_cpu(limits)).flatten();
    let started = entered.and_then(|()| start());
    if let Some(before) = before {
        // Gives back what was there before: it cannot fail.
        let _ = rustix::process::setrlimit(Rlimit::Cpu, before);
    }
    if let Some(group) = group {
        group.leave(limits)?;
    }
    started
}

/// Limits the processor time of each process that we start from now on: the kernel sends SIGXCPU. It
/// is soft, since what is lowered for good could not be raised for ourselves again. There is none on
/// memory: address space is taken in advance by many programs and says nothing of what they hold.
fn limit_cpu(limits: &ResourceLimits) -> Option<rustix::process::Rlimit> {
    let seconds = limits.cpu_ms?.div_ceil(1_000).saturating_add(1);
    let before = rustix::process::getrlimit(Rlimit::Cpu);
    let current = before.current.map_or(seconds, |before| before.min(seconds));
    let lower = rustix::process::Rlimit { current: Some(current), ..before };
    rustix::process::setrlimit(Rlimit::Cpu, lower).ok()?;
    Some(before)
}

/// Looks at what is used, and says when a limit is reached.
#[derive(Debug)]
pub(super) struct Watcher {
    meter: Meter,
    judge: Judge,
    group: Option<Group>,
    pause: Duration,
    is_reached: bool,
    is_killed: bool,
}

impl Watcher {
    pub(super) fn new(keeper: Pid, group: Option<Group>, limits: ResourceLimits) -> Self {
        let is_held = |resource| group.as_ref().is_some_and(|it| it.of(resource).is_some());
        let is_memory_held = is_held(Resource::Memory);
        let judge = Judge {
            limits,
            is_memory_held,
            are_processes_held: is_held(Resource::Processes),
            n_processors: std::thread::available_parallelism().map_or(1, |it| it.get() as u64),
        };
        let line = limits.memory_bytes.filter(|_| !is_memory_held);
        let meter = Meter::new(keeper, group.as_ref(), line);
        Self { meter, judge, group, pause: PAUSE_MIN, is_reached: false, is_killed: false }
    }

    /// Looks, tells, and kills if need be. Answers when to look again.
    fn look(&mut self, voice: &Voice, order: &Sender<Command>) -> Duration {
        let before = own_time();
        let mut seen = self.meter.look(self.group.as_ref());
        if self.judge.judge(&seen) != Verdict::GoOn {
            // What was reaped between two reads of one look was counted twice. Never in two looks.
            seen = self.meter.look(self.group.as_ref());
        }
        self.obey(self.judge.judge(&seen), voice, order);
        self.pause = self.judge.pause(&seen, self.pause);
        let cost = own_time().saturating_sub(before);
        let is_watched = !self.judge.limits.is_none();
        let part = if is_watched { COST_PART_WATCHED } else { COST_PART };
        self.pause.max(cost * part)
    }

    fn obey(&mut self, verdict: Verdict, voice: &Voice, order: &Sender<Command>) {
        let (reached, kill) = match verdict {
            Verdict::GoOn => return,
            Verdict::End(reached) => (reached, false),
            Verdict::Kill(reached) => (reached, true),
        };
        if kill && !self.is_killed {
            self.is_killed = true;
            // Before the host hears of it: each moment makes it more.
            let _ = order.send(Command::Kill);
        }
        if !self.is_reached {
            self.is_reached = true;
            voice.say(&Report::Reached(reached));
        }
    }

    /// Kills all of the group at once, where the kernel can.
    pub(super) fn kill_group(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Looks a last time when nothing is left, tells, and removes the group.
    pub(super) fn finish(&mut self, voice: &Voice, order: &Sender<Command>) {
        let seen = self.meter.finish(self.group.as_ref());
        self.obey(self.judge.judge_end(&seen), voice, order);
        voice.say(&Report::Used(self.meter.used()));
        self.group = None;
    }

    /// Looks, and tells what was used; peaks begin anew.
    fn mark(&mut self, voice: &Voice, order: &Sender<Command>) {
        self.look(voice, order);
        voice.say(&Report::Used(self.meter.used()));
        self.meter.mark();
        // A turn may begin now, and be short.
        self.pause = PAUSE_MIN / 2;
    }
}

/// Looks from time to time, and whenever somebody wants to know.
pub(super) fn watch(
    watcher: &Mutex<Watcher>,
    marks: &Receiver<()>,
    voice: &Voice,
    order: &Sender<Command>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match marks.recv_timeout(pause) {
            Ok(()) => {
                lock(watcher).mark(voice, order);
                pause = PAUSE_MIN;
            }
            Err(RecvTimeoutError::Timeout) => pause = lock(watcher).look(voice, order),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

pub(super) fn lock(watcher: &Mutex<Watcher>) -> MutexGuard<'_, Watcher> {
    watcher.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The processor time of this thread.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
