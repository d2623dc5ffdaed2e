//! What can be measured of the processes that a program starts, and which limits can be held.
//!
//! A limit is on all of them together: the program, what it forked, and what that forked, whatever
//! any of them did to get away. Only the kernel can hold such a limit exactly, and only in a control
//! group (cgroup). `orch` makes a group for each run of a program, below folders that an operator
//! has set aside for it ([`KeeperCommand::with_cgroups`](crate::KeeperCommand::with_cgroups)), and
//! nowhere else: it neither moves its host nor writes into groups that others look after.
//!
//! | | in a group | by looks at `/proc` |
//! |---|---|---|
//! | memory, processes | held by the kernel: what would pass is refused | refused as limits; measured |
//! | CPU time | held by ending the program early enough | refused as a limit; measured, without what a process used whose parent ignores SIGCHLD |
//!
//! With `enforce = "watch"` a user takes a limit that is watched instead of held: it is seen some 10
//! to 100 milliseconds late. `docs/guards.md` has what holds, and what can be passed by how much.

#[cfg(target_os = "linux")]
pub(crate) mod cgroup;
pub(crate) mod settings;

use orch_core::{Meter, Resource};

#[cfg(target_os = "linux")]
use self::cgroup::Place;
use crate::Containment;

/// What can be measured of the processes that programs start here, and which limits on them can be
/// held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceControl {
    /// Processor time.
    pub cpu: Control,
    /// Memory.
    pub memory: Control,
    /// Processes and threads.
    pub processes: Control,
}

/// What can be measured of one of them, and whether a limit on it can be held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Control {
    /// What measures it.
    pub meter: Meter,
    /// Whether a limit can be held.
    pub held: Held,
}

/// Whether a limit can be held for all processes of a program together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// The kernel refuses what would pass it.
    ByKernel,
    /// The program is ended before it can pass it.
    Early,
    /// It cannot.
    Not {
        /// Why.
        reason: String,
    },
}

impl Held {
    /// Why it cannot be held; `None` if it can.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::ByKernel | Self::Early => None,
            Self::Not { reason } => Some(reason),
        }
    }
}

impl Control {
    /// Whether anything measures it.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.meter != Meter::Nothing
    }

    fn not_held(meter: Meter, reason: &str) -> Self {
        Self { meter, held: Held::Not { reason: reason.to_owned() } }
    }
}

impl ResourceControl {
    /// What is possible with this containment. Where it names folders for groups, makes a group in
    /// each and removes it again.
    #[must_use]
    pub fn of(containment: &Containment) -> Self {
        match containment {
            #[cfg(target_os = "linux")]
            Containment::Keeper(keeper) => Self::in_places(&cgroup::try_out(&keeper.cgroups)),
            Containment::Group => {
                let reason = "without a keeper nobody knows which processes belong to a program";
                Self::all(&Control::not_held(Meter::Nothing, reason))
            }
        }
    }

    /// What is possible of one of them.
    #[must_use]
    pub fn get(&self, resource: Resource) -> &Control {
        match resource {
            Resource::Memory => &self.memory,
            Resource::Processes => &self.processes,
            _ => &self.cpu,
        }
    }

    fn all(control: &Control) -> Self {
        Self { cpu: control.clone(), memory: control.clone(), processes: control.clone() }
    }

    #[cfg(target_os = "linux")]
    fn in_places(found: &Result<Vec<Place>, String>) -> Self {
        let none = Vec::new();
        let (places, problem) = match found {
            Ok(places) => (places, None),
            Err(problem) => (&none, Some(problem.as_str())),
        };
        let control = |resource: Resource, by_proc: Meter, held: Held| {
            let place = places.iter().find(|place| place.has(resource));
            match place {
                Some(place) => Control { meter: place.meter(), held },
                None => Control::not_held(by_proc, &why_not(resource, problem)),
            }
        };
        Self {
            cpu: control(Resource::Cpu, Meter::Proc, Held::Early),
            memory: control(Resource::Memory, Meter::ProcPss, Held::ByKernel),
            processes: control(Resource::Processes, Meter::Proc, Held::ByKernel),
        }
    }
}

#[cfg(target_os = "linux")]
fn why_not(resource: Resource, problem: Option<&str>) -> String {
    match problem {
        Some(problem) => format!("no group can be made for the program: {problem}"),
        None => {
            format!("no control group that was set aside for orch (ORCH_CGROUP) has {resource}")
        }
    }
}
