//! The control group of one run: made before the program starts, removed when nothing is left.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orch_core::{Meter, Resource, ResourceLimits};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::resources::cgroup::{self, Place};

/// Where keepers go once their program runs: a program's limits are its own, and a keeper must not be
/// killed with it. It stays when they are gone.
const KEEPERS: &str = "orch-keepers";
/// How often an empty group is tried to be removed: what was just reaped may still be in it.
const REMOVE_ROUNDS: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);
/// Rounds of [`sweep`].
const SWEEP_ROUNDS_MAX: u32 = 200;

/// A folder in each tree of groups that was set aside.
#[derive(Debug)]
pub(super) struct Group {
    places: Vec<Place>,
    keepers: Vec<Place>,
}

impl Group {
    /// Makes a group of this name below each of the folders; `None` if there is no folder.
    pub(super) fn make(parents: &[PathBuf], name: &str) -> io::Result<Option<Self>> {
        let mut group = Self { places: Vec::new(), keepers: Vec::new() };
        for parent in parents {
            // Dropped on an error, which removes what was made before.
            group.keepers.push(cgroup::make(parent, KEEPERS)?);
            group.places.push(cgroup::make(parent, name)?);
        }
        Ok((!group.places.is_empty()).then_some(group))
    }

    /// Sets the limits, and goes in, so that what is started next is in it from its first moment.
    ///
    /// The limit on processes is one higher as long as we count.
    pub(super) fn enter(&self, limits: &ResourceLimits) -> io::Result<()> {
        if let (Some(place), Some(most)) = (self.of(Resource::Memory), limits.memory_bytes) {
            place.limit_memory(most)?;
        }
        if let (Some(place), Some(most)) = (self.of(Resource::Processes), limits.processes) {
            place.limit_processes(most.saturating_add(1))?;
        }
        self.places.iter().try_for_each(Place::enter)
    }

    /// Goes out again.
    pub(super) fn leave(&self, limits: &ResourceLimits) -> io::Result<()> {
        if let (Some(place), Some(most)) = (self.of(Resource::Processes), limits.processes) {
            // Before we are out, so that there is no moment in which one too many could be made.
            place.limit_processes(most)?;
        }
        self.keepers.iter().try_for_each(Place::enter)
    }

    /// The folder that counts this resource.
    pub(super) fn of(&self, resource: Resource) -> Option<&Place> {
        self.places.iter().find(|place| place.has(resource))
    }

    pub(super) fn meter(&self, resource: Resource) -> Meter {
        self.of(resource).map_or(Meter::Nothing, Place::meter)
    }

    /// All that is in it.
    pub(super) fn members(&self) -> Option<Vec<Pid>> {
        self.places.first()?.members()
    }

    /// Kills all of it, where the kernel can.
    pub(super) fn kill(&self) {
        self.places.iter().for_each(Place::kill);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.places);
    }
}

fn remove(places: &[Place]) {
    for place in places {
        for _ in 0..REMOVE_ROUNDS {
            if place.remove().is_ok() {
                break;
            }
            std::thread::sleep(REMOVE_PAUSE);
        }
    }
}

/// Kills what is in a group whose keeper is gone, and removes it. Answers how many it killed.
pub(crate) fn sweep(parents: &[PathBuf], name: &str) -> usize {
    let found = |parent: &PathBuf| {
        let path = parent.join(name);
        path.exists().then(|| Place::at(path))
    };
    let places: Vec<Place> = parents.iter().filter_map(found).collect();
    let mut killed = HashSet::new();
    for _ in 0..SWEEP_ROUNDS_MAX {
        let members: Vec<Pid> = places.iter().filter_map(Place::members).flatten().collect();
        if members.is_empty() {
            break;
        }
        places.iter().for_each(Place::kill);
        for pid in members {
            // Held first and looked for again, so that the number is not another's by now.
            if let Ok(held) = pidfd_open(pid, PidfdFlags::empty())
                && places.iter().filter_map(Place::members).flatten().any(|it| it == pid)
                && pidfd_send_signal(&held, Signal::KILL).is_ok()
            {
                killed.insert(pid);
            }
        }
    }
    remove(&places);
    killed.len()
}

/// Whether all limits that only the kernel can hold are held by it.
pub(super) fn holds(group: Option<&Group>, limits: &ResourceLimits) -> bool {
    let is_held = |resource| group.is_some_and(|group| group.of(resource).is_some());
    Resource::ALL.into_iter().all(|resource| limits.get(resource).is_none() || is_held(resource))
}

/// The folders as paths.
pub(super) fn paths(parents: &[std::ffi::OsString]) -> Vec<PathBuf> {
    parents.iter().map(|parent| Path::new(parent).to_owned()).collect()
}
